/**
 * tcpcopy's loop waits, takes a batch from the capture and from the channel, steps the sessions, and sends one batch.
 */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import type { CopyBytes } from '../../core/memory/send-pool.ts'
import type { Outbox } from '../../core/packets/outbox.ts'
import type { OwnAddresses } from '../../core/selection/own-addresses.ts'
import { hasIpv6Target } from '../../core/selection/settings.ts'
import type { SourceSockets } from '../../core/selection/source-sockets.ts'
import type { WorkerShare } from '../../core/selection/worker-share.ts'
import { assembleCopy, type Copy, type CopyTrace } from '../../core/sessions/assembly.ts'
import type { Sessions } from '../../core/sessions/sessions.ts'
import {
  type Capture,
  ChecksumState,
  type Clock,
  type Cryptography,
  type Log,
  type Network,
  type PacketSender,
  type Waiter
} from '../../ports.ts'
import { addressBook } from '../../wire/address-book.ts'
import { INSTANCE_LENGTH } from '../../wire/channel/channel-v2.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { isChecksumPartial, Segment, verifyChecksum } from '../../wire/segment.ts'
import { ChannelClient } from '../channel/channel-client.ts'
import type { ChannelEvents } from '../channel/client-connection.ts'
import type { Notices } from '../notices/notices.ts'
import { Diagnosis } from './diagnosis.ts'
import { HostWarnings } from './host-warnings.ts'
import { LimitWarnings } from './limit-warnings.ts'
import { reportLoops } from './loop-notices.ts'
import { MapWarnings } from './map-warnings.ts'
import { packetLimit, packetMax } from './packet-max.ts'
import type { CopierSettings } from './settings.ts'

/** Packets taken in one turn: enough to share the cost of a turn, few enough to keep answers prompt. */
const BATCH = 256
/**
 * Packets taken before sessions are stepped: usually, while the capture fills up, and while it fills up and the pool is
 * less than half full. A request takes two turns, so long turns slow the copy down, and a slow copy lets the capture
 * fill up even more: with 4096 and 32,768, a copy of 20 KB requests started at a fifth of the rate.
 */
const CAPTURE_FIRST = 512
const CAPTURE_MOST = 4096
const CAPTURE_MOST_WITH_ROOM = 16_384
/** Bytes sent, or sessions stepped, before the capture is checked again. */
const FLUSH_BYTES = 1 << 20
const STEPS_MOST = 256
const HOUSEKEEPING_MS = 1000

export interface CopierPorts {
  readonly capture: Capture
  readonly sender: PacketSender
  readonly network: Network
  readonly cryptography: Cryptography
  readonly clock: Clock
  readonly waiter: Waiter
  readonly notices: Notices
  /** Gets the notices once a turn. */
  readonly log: Log
  /** Copies long payloads; default: a loop. */
  readonly copy?: CopyBytes
}

/** What a worker needs in addition to its settings. */
export interface CopierMeans {
  /** Memory of `copyMemoryLength`, also mapped for the sender. */
  readonly memory: Uint8Array
  readonly counters: Counters
  /** Undefined: this is the only worker. */
  readonly share?: WorkerShare | undefined
  /** Undefined: the source is not this host, so its kernel cannot be asked. */
  readonly source?: SourceSockets | undefined
  /** The addresses of this host; undefined: unknown. */
  readonly own?: OwnAddresses | undefined
  /** Identifies this tcpcopy to intercept, `INSTANCE_LENGTH` bytes; default: random. */
  readonly instance?: Uint8Array | undefined
  readonly trace?: CopyTrace | undefined
}

export class Copier {
  readonly sessions: Sessions<Segment>
  readonly outbox: Outbox
  readonly #ports: CopierPorts
  readonly #settings: CopierSettings
  readonly #counters: Counters
  readonly #copy: Copy<Segment>
  readonly #channel: ChannelClient
  readonly #diagnosis: Diagnosis
  readonly #mapWarnings: MapWarnings
  readonly #hostWarnings: HostWarnings
  readonly #limitWarnings: LimitWarnings
  readonly #own: OwnAddresses | undefined
  readonly #segment = new Segment()
  #now: number
  #housekeepingAt: number
  /** Sessions stepped since the capture was checked. */
  #stepCount = 0
  /** Length of the longest packet that arrived truncated. */
  #truncatedLength = 0
  readonly #takePacket = this.#onPacket.bind(this)
  readonly #channelEvents: ChannelEvents = {
    answered: (segment) => this.sessions.onTarget(segment, this.#now),
    taken: (flow) => this.sessions.onPortTaken(flow, this.#now)
  }

  constructor(ports: CopierPorts, settings: CopierSettings, means: CopierMeans) {
    const { sender, network, cryptography, notices } = ports
    const { memory, counters, share, source, own, trace } = means
    this.#ports = ports
    this.#settings = settings
    this.#counters = counters
    this.#own = own
    this.#now = ports.clock.now()
    this.#housekeepingAt = this.#now
    const copyMeans = {
      memory,
      counters,
      copy: ports.copy,
      share,
      source,
      own,
      trace,
      flush: () => this.#flush(),
      // A trace shows each packet as it appears on the wire.
      canSegment: (target: number) => trace === undefined && sender.canSegment(target),
      mtu: (target: number) => packetMax(sender.mtu(target), packetLimit(settings.packets, target))
    }
    this.#copy = assembleCopy(settings, copyMeans, this.#now)
    this.sessions = this.#copy.sessions
    this.outbox = this.#copy.outbox
    const { maps } = settings.selection
    const { reach, mapCounts } = this.#copy
    this.#mapWarnings = new MapWarnings(maps, mapCounts, notices)
    this.#hostWarnings = new HostWarnings(counters, sender, notices)
    this.#limitWarnings = new LimitWarnings(counters, notices)
    const { options } = settings.channel
    const instance = means.instance ?? cryptography.random(INSTANCE_LENGTH)
    const hasIpv6 = hasIpv6Target(settings.selection)
    const context = { options, cryptography, instance, counters, hasIpv6 }
    this.#channel = new ChannelClient(network, settings.channel, context, this.sessions, notices)
    const sources = {
      maps,
      intercepts: settings.channel.intercepts.map(({ address }) => address),
      reach,
      mapCounts,
      counters,
      sender,
      assistants: this.#channel,
      truncatedLength: () => this.#truncatedLength
    }
    this.#diagnosis = new Diagnosis(sources, notices, this.#now)
  }

  /** Runs until `shouldStop` returns true, then resets all copied connections. */
  run(shouldStop: () => boolean): void {
    while (!shouldStop()) this.turn()
    this.stop()
  }

  /** One turn of the loop. */
  turn(): void {
    const { capture, clock, waiter, notices, log } = this.#ports
    const deadline = Math.min(this.sessions.deadline, this.#channel.deadline, this.#housekeepingAt)
    const waitMs = Math.max(0, Math.min(deadline, capture.deadline ?? deadline) - clock.now())
    waiter.wait(this.sessions.ready.isEmpty ? waitMs : 0)
    this.#now = clock.now()
    this.#capture()
    this.#channel.receive(this.#channelEvents, this.#now)
    this.sessions.settle(this.#now, this.#shouldPause)
    this.sessions.onTimer(this.#now)
    this.#channel.onTimer(this.#now)
    this.#flush()
    if (this.#now >= this.#housekeepingAt) this.#keepHouse()
    notices.drain(log, this.#now)
  }

  /** Takes packets. The ring goes first while the pool has space: the ring may lose packets, the pool does not. */
  #capture(): void {
    const { capture } = this.#ports
    let taken = 0
    let packets = BATCH
    while (packets === BATCH && (taken < CAPTURE_FIRST || (taken < this.#captureMost && this.#isFilling()))) {
      packets = capture.receive(this.#takePacket, BATCH)
      taken += packets
    }
    this.#stepCount = 0
    if (taken > 0) this.#counters.add(Counter.capturedPackets, taken)
  }

  get #captureMost(): number {
    return this.#copy.pool.fill < 1 / 2 ? CAPTURE_MOST_WITH_ROOM : CAPTURE_MOST
  }

  #isFilling(): boolean {
    return this.#ports.capture.isFilling?.() ?? false
  }

  /** Interrupts long sends and long rounds of sessions when the capture fills up. */
  readonly #shouldPause = (): boolean => {
    this.#stepCount += 1
    if (this.outbox.payloadBytes < FLUSH_BYTES && this.#stepCount < STEPS_MOST) return false
    this.#stepCount = 0
    this.#flush()
    return this.#isFilling()
  }

  /**
   * Whether there is certainly space for another packet. A file can wait until there is. Without intercept nothing is
   * delivered, so no packet is taken.
   */
  get hasRoom(): boolean {
    const { poolBytes, sessionsMax } = this.#settings.limits
    const isConnected = this.#counters.get(Counter.channelsOpen) > 0
    return isConnected && this.#copy.pool.usedBytes * 4 <= poolBytes && this.sessions.count * 2 <= sessionsMax
  }

  /** Resets all copied connections. The loop may continue. */
  endSessions(): void {
    this.#now = this.#ports.clock.now()
    this.sessions.shutdown(this.#now)
    this.#flush()
  }

  /** Ends all sessions and closes the channel. The other ports stay open. */
  stop(): void {
    this.endSessions()
    const { capture, notices, log } = this.#ports
    this.#counters.set(Counter.captureDropped, capture.dropped())
    this.#channel.close()
    notices.drain(log, this.#now)
  }

  /** Sends routes, then packets: an answer may arrive before the next turn. */
  #flush(): void {
    const { sender, clock } = this.#ports
    const { routes, latency } = this.#copy
    if (!routes.isEmpty) routes.drain(this.#channel)
    this.#channel.flush(this.#now)
    if (this.outbox.count === 0) return
    sender.flush(this.outbox)
    if (latency.hasDepartures) latency.departed(clock.now())
    this.#counters.set(Counter.sentPackets, sender.sentCount)
    let refused = 0
    for (const count of sender.refused.values()) refused += count
    this.#counters.set(Counter.sendRefused, refused)
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number, checksum: ChecksumState): void {
    const segment = this.#segment
    const flaw = parseIp(bytes, at, captured, length, false, segment)
    if (flaw !== Flaw.None) {
      this.#counters.drop(flaw, 1, 0)
      if (flaw === Flaw.Truncated) this.#truncatedLength = Math.max(this.#truncatedLength, length)
      return
    }
    if (isDamaged(segment, checksum)) {
      this.#counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      this.#counters.drop(Drop.BadChecksum, 1, segment.payloadLength)
      return
    }
    this.sessions.onSource(segment, this.#now)
  }

  #keepHouse(): void {
    const { capture, sender, notices } = this.#ports
    this.#housekeepingAt = this.#now + HOUSEKEEPING_MS
    this.#counters.set(Counter.captureDropped, capture.dropped())
    sender.refresh()
    if (addressBook.isReclaimDue) {
      addressBook.reclaim((keep) => {
        this.sessions.eachAddress(keep)
        this.#diagnosis.eachAddress(keep)
        capture.eachAddress?.(keep)
      })
    }
    this.#own?.refresh(this.#now)
    reportLoops(this.#copy.loops, notices)
    this.#diagnosis.onTimer(this.#now)
    this.#hostWarnings.onTimer(this.#now)
    this.#mapWarnings.onTimer(this.#now)
    this.#limitWarnings.onTimer(this.#now)
  }
}

function isDamaged(segment: Segment, checksum: ChecksumState): boolean {
  if (checksum === ChecksumState.Valid || checksum === ChecksumState.Partial) return false
  if (verifyChecksum(segment) === Flaw.None) return false
  return checksum === ChecksumState.Unknown || !isChecksumPartial(segment)
}
