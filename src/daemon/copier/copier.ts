/**
 * tcpcopy's loop: wait, take a batch from the capture and from the channel, step the sessions, send one batch.
 */

import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { Latency } from '../../core/books/latency.ts'
import { type CopyOctets, POOL_PAGE, SendPool } from '../../core/memory/send-pool.ts'
import { Frames } from '../../core/packets/frames.ts'
import { Outbox } from '../../core/packets/outbox.ts'
import { RateLimit } from '../../core/packets/rate-limit.ts'
import type { Mapping } from '../../core/selection/mapping.ts'
import type { Selection } from '../../core/selection/sampling.ts'
import type { WorkerShare } from '../../core/selection/worker-share.ts'
import type { EpochOptions } from '../../core/session/epochs.ts'
import type { HolePatience } from '../../core/session/hole-watch.ts'
import { HIBERNATE_AFTER_MS, IdlePolicy } from '../../core/session/idle-policy.ts'
import { LeastRoundTrips } from '../../core/session/least-round-trips.ts'
import type { PacketTrace, SessionContext, SessionTrace } from '../../core/session/session-context.ts'
import { Sessions } from '../../core/sessions/sessions.ts'
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
import { formatEndpoint } from '../../wire/address.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { float64At } from '../../wire/bytes.ts'
import { INSTANCE_LENGTH } from '../../wire/channel/channel-v2.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { isChecksumPartial, Segment, verifyChecksum } from '../../wire/segment.ts'
import { ChannelClient, type InterceptAddress } from '../channel/channel-client.ts'
import type { ChannelEvents } from '../channel/client-connection.ts'
import type { ChannelOptions } from '../channel/negotiation.ts'
import { packetLimit, packetMax, type SizeLimits } from './packet-max.ts'

/** Packets taken in one turn: enough to share the cost of a turn, few enough to keep answers prompt. */
const BATCH = 256
/**
 * Packets taken before sessions are stepped; at most, while the capture fills; and where the pool has room for more than it
 * holds. A request takes two turns, so long turns slow the copy down, and a copy that is slow leaves the source the more
 * time to fill the capture: with 4096 and 32,768 a copy of 20 KB requests began at a fifth of the rate that it has with
 * these.
 */
const CAPTURE_FIRST = 512
const CAPTURE_MOST = 4096
const CAPTURE_MOST_WITH_ROOM = 16_384
/** Octets sent at once, and sessions stepped: then the capture has to be looked at. */
const FLUSH_BYTES = 1 << 20
const STEPS_MOST = 256
const FRAMES_MAX = 1024
const HOUSEKEEPING_MS = 1000
/** The warning that a `-x` sends SYNs and gets no SYN-ACK; its fields are those of a `Silence`. */
export const NOTHING_COMES_BACK = 'no answers from the target'
/** The warning that connections are reset which the target had just accepted; its fields are those of a `Vanishing`. */
export const CONNECTIONS_VANISH = 'the target lost connections that it had just accepted'
const REPORT_MS = 60_000
const FIRST_REPORT_MS = 10_000

/** What is told of a `-x` for which nothing comes back. Counts are since the last time it was looked at. */
export interface Silence {
  readonly source: string
  readonly target: string
  readonly syns: number
  readonly synAcks: number
  /** Sessions that targets reset or refused, of all maps. */
  readonly resets: number
  /** Packets that the kernel refused to send, of all maps. */
  readonly sendRefused: number
  readonly channelsOpen: number
}

/** How many connections the target accepted since the last report, and how many of them it did not know soon after. */
export interface Vanishing {
  readonly synAcks: number
  readonly disowned: number
}

export interface CopierPorts {
  readonly capture: Capture
  readonly sender: PacketSender
  readonly network: Network
  readonly cryptography: Cryptography
  readonly clock: Clock
  readonly waiter: Waiter
  readonly log: Log
  /** For longer payloads; default: a loop. */
  readonly copy?: CopyOctets
}

export interface CopierOptions extends SizeLimits {
  readonly mapping: Mapping
  readonly selection: Selection
  readonly portShift: number
  /** Undefined: there is one worker. */
  readonly share?: WorkerShare
  /** What all connections of this tcpcopy tell intercept, of `INSTANCE_LENGTH`; default: random. */
  readonly instance?: Uint8Array
  readonly intercepts: readonly InterceptAddress[]
  readonly connectionsEach: number
  readonly channel: ChannelOptions
  readonly poolBytes: number
  readonly sessionsMax: number
  readonly timeoutMs: number
  readonly keepAliveMs: number
  /** Sessions with nothing to do lie down after so long; `HIBERNATE_AFTER_MS` if not given. */
  readonly hibernateAfterMs?: number
  readonly clientRttMs: number | undefined
  readonly epochs: EpochOptions
  readonly holes: HolePatience
  /** Clients' acknowledgments without payload are not captured. */
  readonly isWithoutAcks: boolean
  /** Infinity: no limit. */
  readonly bytesPerSecondMax: number
}

/** What `--trace` watches with. */
export interface CopierTrace extends PacketTrace, SessionTrace {}

/** Octets of memory that a copier with these options works in; pages not used cost nothing. */
export function copierMemoryLength(poolBytes: number): number {
  return FRAMES_MAX * Outbox.headerStride + pagesOf(poolBytes) * POOL_PAGE
}

function pagesOf(poolBytes: number): number {
  return Math.max(16, Math.floor(poolBytes / POOL_PAGE))
}

export class Copier {
  readonly sessions: Sessions
  readonly outbox: Outbox
  readonly #ports: CopierPorts
  readonly #counters: Counters
  readonly #channel: ChannelClient
  readonly #segment = new Segment()
  readonly #mapping: Mapping
  readonly #options: CopierOptions
  readonly #pool: SendPool
  readonly #latency: Latency
  readonly #synsByMap: Float64Array
  readonly #synAcksByMap: Float64Array
  #now: number
  /** SYNs and SYN-ACKs of each map at the last report, and when the next is due. */
  readonly #reported: { syns: number; synAcks: number }[]
  #reportAt: number
  #housekeepingAt: number
  /** Sessions stepped since the capture was looked at. */
  #stepCount = 0
  #refusedReported = 0
  #resetsReported = 0
  #vanishingReported: Vanishing = { synAcks: 0, disowned: 0 }
  readonly #takePacket = this.#onPacket.bind(this)
  readonly #channelEvents: ChannelEvents = {
    answered: (segment) => this.sessions.onTarget(segment, this.#now),
    taken: (...flow) => this.sessions.onPortTaken(...flow, this.#now)
  }

  /** @param memory of `copierMemoryLength`, which the sender can reach */
  constructor(ports: CopierPorts, options: CopierOptions, memory: Uint8Array, counters: Counters, trace?: CopierTrace) {
    this.#ports = ports
    this.#counters = counters
    this.#mapping = options.mapping
    this.#options = options
    this.#now = ports.clock.now()
    this.#synsByMap = new Float64Array(options.mapping.maps.length)
    this.#synAcksByMap = new Float64Array(options.mapping.maps.length)
    this.outbox = new Outbox(memory, 0, FRAMES_MAX)
    const pool = new SendPool(memory, FRAMES_MAX * Outbox.headerStride, pagesOf(options.poolBytes), ports.copy)
    this.#pool = pool
    this.#latency = new Latency(counters.latency, FRAMES_MAX)
    const context: SessionContext = {
      pool,
      latency: this.#latency,
      // A trace shows each packet as it is on the wire.
      frames: new Frames(
        this.outbox,
        pool,
        () => this.#flush(),
        (address) => trace === undefined && ports.sender.canSegment(address),
        new RateLimit(options.bytesPerSecondMax)
      ),
      counters,
      epochs: options.epochs,
      holes: options.holes,
      timeoutMs: options.timeoutMs,
      keepAliveMs: options.keepAliveMs,
      idlePolicy: new IdlePolicy(options.hibernateAfterMs ?? HIBERNATE_AFTER_MS),
      roundTrips: options.isWithoutAcks ? new LeastRoundTrips() : undefined,
      mtu: (target) => packetMax(ports.sender.mtu(target), packetLimit(options, target)),
      clientRttMs: options.clientRttMs,
      announce: (session) => {
        count(this.#synsByMap, session.identity.mapIndex)
        this.#channel.announce(session)
      },
      onOpen: (session) => count(this.#synAcksByMap, session.identity.mapIndex),
      withdraw: (session) => this.#channel.withdraw(session),
      onEnd: (session, now) => this.sessions.ended(session, now),
      trace
    }
    this.sessions = new Sessions(context, options, this.#now, trace)
    const { intercepts, connectionsEach, channel } = options
    const { network, cryptography, log } = ports
    const instance = options.instance ?? cryptography.random(INSTANCE_LENGTH)
    const hasIpv6 = options.mapping.maps.some((map) => isIpv6(map.targetAddress))
    this.#channel = new ChannelClient(
      network,
      intercepts,
      connectionsEach,
      { options: channel, cryptography, instance, counters, hasIpv6 },
      log,
      { routeFrom: (id) => this.sessions.startedFrom(id) }
    )
    this.#reported = options.mapping.maps.map(() => ({ syns: 0, synAcks: 0 }))
    this.#reportAt = this.#now + FIRST_REPORT_MS
    this.#housekeepingAt = this.#now
  }

  /** Runs until `shouldStop` says so, then resets all copied connections. */
  run(shouldStop: () => boolean): void {
    while (!shouldStop()) this.turn()
    this.stop()
  }

  /** One turn of the loop. */
  turn(): void {
    const { capture, clock, waiter } = this.#ports
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
  }

  /** What waits in the ring may be lost, what waits in the pool may not, as long as there is room: then the ring goes first. */
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
    return this.#pool.fill < 1 / 2 ? CAPTURE_MOST_WITH_ROOM : CAPTURE_MOST
  }

  #isFilling(): boolean {
    return this.#ports.capture.isFilling?.() ?? false
  }

  /** Long sends, and many sessions, leave no time to look at the capture: they are cut, and it goes first. */
  readonly #shouldPause = (): boolean => {
    this.#stepCount += 1
    if (this.outbox.payloadBytes < FLUSH_BYTES && this.#stepCount < STEPS_MOST) return false
    this.#stepCount = 0
    this.#flush()
    return this.#isFilling()
  }

  /**
   * Whether a packet finds room for sure: a capture that can wait loses nothing if it waits until there is some. Without
   * intercept nothing is delivered, so nothing may begin.
   */
  get hasRoom(): boolean {
    const { poolBytes, sessionsMax } = this.#options
    const isConnected = this.#counters.get(Counter.channelsOpen) > 0
    return isConnected && this.#pool.usedBytes * 4 <= poolBytes && this.sessions.count * 2 <= sessionsMax
  }

  /** Resets all copied connections, and goes on. */
  endSessions(): void {
    this.#now = this.#ports.clock.now()
    this.sessions.shutdown(this.#now)
    this.#flush()
  }

  /** Ends all sessions; the ports stay open. */
  stop(): void {
    this.endSessions()
    this.#counters.set(Counter.captureDropped, this.#ports.capture.dropped())
    this.#channel.close()
  }

  /** Routes first: an answer may be back before the next turn. */
  #flush(): void {
    const { sender, clock } = this.#ports
    this.#channel.flush(this.#now)
    if (this.outbox.count === 0) return
    sender.flush(this.outbox)
    if (this.#latency.hasDepartures) this.#latency.departed(clock.now())
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
    this.#housekeepingAt = this.#now + HOUSEKEEPING_MS
    this.#counters.set(Counter.captureDropped, this.#ports.capture.dropped())
    this.#ports.sender.refresh()
    if (addressBook.isReclaimDue) {
      addressBook.reclaim((keep) => {
        this.sessions.eachAddress(keep)
        this.#ports.capture.eachAddress?.(keep)
      })
    }
    if (this.#now < this.#reportAt) return
    this.#report()
    this.#reportVanishing()
  }

  /** Once a minute, if it is so of most new connections: one alone may be an accident of the target. */
  #reportVanishing(): void {
    const before = this.#vanishingReported
    const total = {
      synAcks: this.#counters.get(Counter.synAcks),
      disowned: this.#counters.get(Counter.sessionsDisowned)
    }
    this.#vanishingReported = total
    const since: Vanishing = { synAcks: total.synAcks - before.synAcks, disowned: total.disowned - before.disowned }
    if (since.disowned * 2 > since.synAcks) this.#ports.log('warn', CONNECTIONS_VANISH, { ...since })
  }

  /** Once a minute: says for which `-x` nothing comes back, and what the kernel refuses to send. */
  #report(): void {
    this.#reportAt = this.#now + REPORT_MS
    const refused = this.#counters.get(Counter.sendRefused)
    const refusedBefore = this.#refusedReported
    const resets =
      this.#counters.get(Counter.sessionsReset) + this.#counters.get(Counter.refusals) - this.#resetsReported
    this.#resetsReported += resets
    if (refused > refusedBefore) {
      const errnos = Object.fromEntries(this.#ports.sender.refused)
      this.#ports.log('warn', 'the kernel refused to send packets', { refused, errnos })
      this.#refusedReported = refused
    }
    for (const [index, map] of this.#mapping.maps.entries()) {
      const before = this.#reported[index]
      if (before === undefined) continue
      const syns = float64At(this.#synsByMap, index) - before.syns
      const synAcks = float64At(this.#synAcksByMap, index) - before.synAcks
      before.syns += syns
      before.synAcks += synAcks
      if (syns === 0 || synAcks > 0) continue
      const silence: Silence = {
        source: map.sourceAddress === 0 ? `*:${map.sourcePort}` : formatEndpoint(map.sourceAddress, map.sourcePort),
        target: formatEndpoint(map.targetAddress, map.targetPort),
        syns,
        synAcks,
        resets,
        sendRefused: refused - refusedBefore,
        channelsOpen: this.#counters.get(Counter.channelsOpen)
      }
      this.#ports.log('warn', NOTHING_COMES_BACK, { ...silence })
    }
  }
}

function isDamaged(segment: Segment, checksum: ChecksumState): boolean {
  if (checksum === ChecksumState.Valid || checksum === ChecksumState.Partial) return false
  if (verifyChecksum(segment) === Flaw.None) return false
  return checksum === ChecksumState.Unknown || !isChecksumPartial(segment)
}

function count(byMap: Float64Array, map: number): void {
  byMap[map] = float64At(byMap, map) + 1
}
