/** tcpcopy's loop with `--udp` waits, takes a batch from the capture, and sends its copies. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { DatagramWriter } from '../../core/datagrams/datagram-writer.ts'
import { Datagrams } from '../../core/datagrams/datagrams.ts'
import { FragmentIds } from '../../core/datagrams/fragment-ids.ts'
import { Outbox } from '../../core/packets/outbox.ts'
import type { OwnAddresses } from '../../core/selection/own-addresses.ts'
import type { SelectionSettings } from '../../core/selection/settings.ts'
import type { WorkerShare } from '../../core/selection/worker-share.ts'
import { type Capture, ChecksumState, type Clock, type Log, type PacketSender, type Waiter } from '../../ports.ts'
import { addressBook } from '../../wire/address-book.ts'
import { Datagram, isDatagramPartial, parseDatagram } from '../../wire/datagram.ts'
import { Flaw } from '../../wire/flaw.ts'
import type { Notices } from '../notices/notices.ts'
import { HostWarnings } from './host-warnings.ts'
import { reportLoops } from './loop-notices.ts'
import { packetMax } from './packet-max.ts'

const BATCH = 256
/** Most packets taken before timers are checked. */
const CAPTURE_FIRST = 4096
const FRAMES_MAX = 1024
/** Memory for the payload of a batch: 64 of the largest datagrams. */
const ARENA_LENGTH = 1 << 22
const HOUSEKEEPING_MS = 1000

export interface DatagramPorts {
  readonly capture: Capture
  readonly sender: PacketSender
  readonly clock: Clock
  readonly waiter: Waiter
  readonly notices: Notices
  /** Gets the notices once a turn. */
  readonly log: Log
}

export interface DatagramCopierOptions {
  readonly selection: SelectionSettings
  readonly flowsMax: number
  readonly mtuBytes: number | undefined
  /** Undefined: this is the only worker. */
  readonly share?: WorkerShare
  /** The addresses of this host; undefined: unknown. */
  readonly own?: OwnAddresses | undefined
  /** First IP id of fragmented datagrams, 0 to 65,535. */
  readonly fragmentIdsFrom?: number
}

/** Bytes of memory that it needs. Unused pages cost nothing. */
export const DATAGRAM_MEMORY_LENGTH = FRAMES_MAX * Outbox.headerStride + ARENA_LENGTH

export class DatagramCopier {
  readonly datagrams: Datagrams
  readonly outbox: Outbox
  readonly #ports: DatagramPorts
  readonly #counters: Counters
  readonly #writer: DatagramWriter
  readonly #own: OwnAddresses | undefined
  readonly #hostWarnings: HostWarnings
  readonly #datagram = new Datagram()
  #now: number
  #housekeepingAt: number
  readonly #takePacket = this.#onPacket.bind(this)

  /** @param memory of `DATAGRAM_MEMORY_LENGTH`, also mapped for the sender */
  constructor(ports: DatagramPorts, options: DatagramCopierOptions, memory: Uint8Array, counters: Counters) {
    this.#ports = ports
    this.#counters = counters
    this.#own = options.own
    this.#hostWarnings = new HostWarnings(counters, ports.sender, ports.notices)
    this.#now = ports.clock.now()
    this.#housekeepingAt = this.#now
    this.outbox = new Outbox(memory, 0, FRAMES_MAX)
    this.#writer = new DatagramWriter(
      this.outbox,
      FRAMES_MAX * Outbox.headerStride,
      ARENA_LENGTH,
      counters,
      () => this.#flush(),
      (target) => packetMax(ports.sender.mtu(target), options.mtuBytes),
      new FragmentIds(options.fragmentIdsFrom ?? 0, options.share)
    )
    this.datagrams = new Datagrams(options, this.#writer, counters, this.#now)
  }

  /** Runs until `shouldStop` returns true. */
  run(shouldStop: () => boolean): void {
    while (!shouldStop()) this.turn()
    this.stop()
  }

  /** One turn of the loop. */
  turn(): void {
    const { capture, clock, waiter, notices, log } = this.#ports
    waiter.wait(Math.max(0, Math.min(this.datagrams.deadline, this.#housekeepingAt) - clock.now()))
    this.#now = clock.now()
    let packets = capture.receive(this.#takePacket, BATCH)
    let taken = packets
    while (packets === BATCH && taken < CAPTURE_FIRST) {
      packets = capture.receive(this.#takePacket, BATCH)
      taken += packets
    }
    if (taken > 0) this.#counters.add(Counter.capturedPackets, taken)
    this.#flush()
    this.datagrams.onTimer(this.#now)
    if (this.#now >= this.#housekeepingAt) this.#keepHouse()
    notices.drain(log, this.#now)
  }

  /** Ends all flows. The ports stay open. */
  stop(): void {
    this.#flush()
    this.datagrams.shutdown()
    const { capture, notices, log } = this.#ports
    this.#counters.set(Counter.captureDropped, capture.dropped())
    notices.drain(log, this.#now)
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number, checksum: ChecksumState): void {
    const datagram = this.#datagram
    const flaw = parseDatagram(bytes, at, captured, length, datagram)
    if (flaw !== Flaw.None) {
      this.#counters.drop(flaw, 1, 0)
      return
    }
    if (this.#writer.take(datagram, isTrusted(datagram, checksum)) === Flaw.None) {
      this.datagrams.onSource(datagram, this.#now)
      return
    }
    this.#counters.add(Counter.capturedPayloadBytes, datagram.payloadLength)
    this.#counters.drop(Drop.BadChecksum, 1, datagram.payloadLength)
  }

  /** Sends all copies. Those that the kernel refuses are lost, because UDP does not retransmit. */
  #flush(): void {
    if (this.outbox.count === 0) return
    const { sender } = this.#ports
    const { refusedFrames, refusedBytes } = this.outbox
    sender.flush(this.outbox)
    const lostFrames = this.outbox.refusedFrames - refusedFrames
    const lostBytes = this.outbox.refusedBytes - refusedBytes
    this.#counters.add(Counter.deliveredBytes, this.#counters.get(Counter.pendingBytes) - lostBytes)
    this.#counters.set(Counter.pendingBytes, 0)
    this.#counters.drop(Drop.SendRefused, lostFrames, lostBytes)
    this.#counters.set(Counter.sentPackets, sender.sentCount)
    this.#counters.add(Counter.sendRefused, lostFrames)
  }

  #keepHouse(): void {
    const { capture, sender, notices } = this.#ports
    this.#housekeepingAt = this.#now + HOUSEKEEPING_MS
    this.#counters.set(Counter.captureDropped, capture.dropped())
    sender.refresh()
    if (addressBook.isReclaimDue) addressBook.reclaim((keep) => this.datagrams.eachAddress(keep))
    this.#own?.refresh(this.#now)
    reportLoops(this.datagrams.loops, notices)
    this.#hostWarnings.onTimer(this.#now)
  }
}

/** Whether the checksum need not be verified. */
function isTrusted(datagram: Datagram, checksum: ChecksumState): boolean {
  if (checksum === ChecksumState.Valid || checksum === ChecksumState.Partial) return true
  return checksum === ChecksumState.Filed && isDatagramPartial(datagram)
}
