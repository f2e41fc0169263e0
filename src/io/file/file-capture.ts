/** A capture from a file: delivers client packets when they are due, and waits while the copy cannot take more. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { Incomplete, PacketFinder } from '../../core/capture/packet-finder.ts'
import { ReplayClock, type ReplayPace } from '../../core/capture/replay-clock.ts'
import { ServersSeen } from '../../core/capture/servers-seen.ts'
import { type Capture, ChecksumState, type Clock, type Millis, type PacketSink } from '../../ports.ts'
import { addressBook } from '../../wire/address-book.ts'
import { i32, put16, u8, u16 } from '../../wire/bytes.ts'
import { type FilterProgram, runFilter } from '../../wire/capture-file/bpf.ts'
import { CaptureReader } from '../../wire/capture-file/capture-reader.ts'
import { CapturedPacket, Step } from '../../wire/capture-file/captured-packet.ts'
import { Flaw } from '../../wire/flaw.ts'
import { chain, followHeaders, parseIp } from '../../wire/ipv6.ts'
import { isChecksumPartial, Segment, TCP, verifyChecksum } from '../../wire/segment.ts'
import type { ChunkSource } from './chunks.ts'

/** Packets read per call, so that sessions get a turn while the file has nothing for them. */
const LOOKS_MAX = 4096
/** Poll interval at the end of a round. */
const END_POLL_MS = 10
/** Offset of client ports from one round to the next; coprime to the number of ports. */
const PORT_STRIDE = 19_619
const PORT_FIRST = 1024
const PORTS = 65_536 - PORT_FIRST

/** `--from` and `--to`: milliseconds since 1970, or since the first packet of the file. */
export interface FileTime {
  readonly ms: number
  readonly isRelative: boolean
}

export interface FileCaptureOptions {
  readonly pace: ReplayPace
  readonly from: FileTime | undefined
  readonly to: FileTime | undefined
  /** 0: until stopped. */
  readonly rounds: number
  /** False: accept packets with wrong checksums. */
  readonly isChecking: boolean
  /** Compiles `-F` for a link type; undefined without `-F`. */
  readonly filterFor: ((linkType: number) => FilterProgram) | undefined
  /** Whether packets to this address and port are copied. */
  readonly isWanted: (address: number, port: number) => boolean
}

/** The copy that takes the packets. */
export interface Taker {
  /** Whether it can take another packet without loss. */
  hasRoom(): boolean
  /** Whether everything it took is delivered or has failed. */
  isSettled(): boolean
  /** Ends all connections, because the file starts again. */
  endRound(): void
}

export class FileCapture implements Capture {
  /** Infinity: only more data or an answer wakes the waiter. */
  deadline: Millis = 0
  /** All rounds are delivered and settled. */
  isDone = false
  /** Why the file could not be read to its end, as the end of a sentence; empty if it could. */
  failure = ''
  /** Packets that `filterFor`, `from` and `to` include. */
  chosenCount = 0
  /** Packets to a server of `isWanted`, as far as known. */
  wantedCount = 0
  /** Servers of packets that were not wanted. */
  readonly servers = new ServersSeen()
  readonly #options: FileCaptureOptions
  readonly #chunks: ChunkSource
  readonly #taker: Taker
  readonly #clock: Clock
  readonly #counters: Counters
  #reader = new CaptureReader()
  #finder = new PacketFinder()
  #schedule: ReplayClock | undefined
  readonly #packet = new CapturedPacket()
  readonly #segment = new Segment()
  readonly #filters = new Map<number, FilterProgram>()
  #round = 0
  #firstMs = Number.NaN
  /** Lost packets that earlier rounds reported. */
  #lostBefore = 0
  /** All packets of the round were read. Chunks may remain if the file could not be read to its end. */
  #isRoundRead = false
  #isRoundTaken = false
  /** A packet was read but not delivered yet. */
  #isHeld = false
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #capturedLength = 0
  #wireLength = 0
  #checksum: ChecksumState = ChecksumState.Filed
  #dueAt = 0
  /** When the copy became full; NaN: it is not. */
  #blockedSince = Number.NaN

  constructor(options: FileCaptureOptions, chunks: ChunkSource, taker: Taker, clock: Clock, counters: Counters) {
    this.#options = options
    this.#chunks = chunks
    this.#taker = taker
    this.#clock = clock
    this.#counters = counters
  }

  /** True while the replay waits for the copy only. */
  get isWaitingForCopy(): boolean {
    return this.#isRoundRead || !Number.isNaN(this.#blockedSince)
  }

  /** @inheritDoc Packets that are not due, or do not fit, are delivered later. */
  receive(sink: PacketSink, packetsMax: number): number {
    const now = this.#clock.now()
    this.deadline = Number.POSITIVE_INFINITY
    let count = 0
    for (let looks = 0; looks < LOOKS_MAX && count < packetsMax; looks++) {
      if (!this.#isHeld && !this.#look(now)) return count
      if (!this.#isHeld) continue
      if (!this.#mayGive(now)) return count
      this.#isHeld = false
      count += 1
      sink(this.#bytes, this.#at, this.#capturedLength, this.#wireLength, this.#checksum)
    }
    this.deadline = now
    return count
  }

  /** @inheritDoc As reported in the file. */
  dropped(): number {
    return this.#lostBefore + this.#reader.lostCount
  }

  /** @inheritDoc Addresses of the servers. */
  eachAddress(take: (address: number) => void): void {
    this.servers.eachAddress(take)
  }

  close(): void {}

  #mayGive(now: Millis): boolean {
    if (this.#dueAt > now) {
      this.deadline = this.#dueAt
      return false
    }
    const hasRoom = this.#taker.hasRoom()
    if (!hasRoom && Number.isNaN(this.#blockedSince)) this.#blockedSince = now
    if (hasRoom && !Number.isNaN(this.#blockedSince)) {
      // Keep the pauses of the file at their length.
      this.#schedule?.slip(now - this.#blockedSince)
      this.#blockedSince = Number.NaN
    }
    return hasRoom
  }

  /** Processes the next packet or end of input. @returns false if there is nothing to do now */
  #look(now: Millis): boolean {
    if (this.#isRoundRead) return this.#hasBegunAgain(now)
    const step = this.#reader.next(this.#packet)
    if (step === Step.Packet) {
      this.#counters.add(Counter.filePackets, 1)
      this.#examine(now)
      return true
    }
    if (step === Step.More) return this.#refill()
    if (this.failure === '') this.failure = this.#reader.failure
    this.#isRoundRead = true
    this.#finder.finish()
    if (this.#finder.lostFragments > 0) this.#counters.drop(Drop.Fragment, this.#finder.lostFragments, 0)
    return true
  }

  #refill(): boolean {
    const chunk = this.#chunks.take()
    if (chunk === undefined) return false
    if ('buffer' in chunk) {
      this.#reader.append(new Uint8Array(chunk.buffer, 0, chunk.length))
      this.#chunks.giveBack(chunk.buffer)
      return true
    }
    this.#isRoundTaken = true
    if (this.failure === '') this.failure = chunk.failure
    this.#reader.finish()
    return true
  }

  /** After a round was read: ends the replay or starts the next round, once the copy has settled. */
  #hasBegunAgain(now: Millis): boolean {
    this.deadline = now + END_POLL_MS
    if (this.isDone || !this.#taker.isSettled()) return false
    if (this.#round + 1 === this.#options.rounds || this.wantedCount === 0) {
      this.isDone = true
      return false
    }
    while (!this.#isRoundTaken) {
      const chunk = this.#chunks.take()
      if (chunk === undefined) return false
      if ('buffer' in chunk) this.#chunks.giveBack(chunk.buffer)
      else this.#isRoundTaken = true
    }
    this.#taker.endRound()
    this.#round += 1
    this.#lostBefore += this.#reader.lostCount
    this.#reader = new CaptureReader()
    this.#finder = new PacketFinder()
    this.#schedule = undefined
    this.#isRoundRead = false
    this.#isRoundTaken = false
    return true
  }

  /** Keeps the packet if it is for the copy; otherwise counts why not. */
  #examine(now: Millis): void {
    const { bytes, at, capturedLength, wireLength, linkType, timeMs } = this.#packet
    if (!this.#isInTime(timeMs) || !this.#passesFilter()) {
      this.#counters.add(Counter.fileLeftOut, 1)
      return
    }
    this.chosenCount += 1
    const finder = this.#finder
    let finding = finder.find(bytes, at, capturedLength, wireLength, linkType)
    if (finding === Incomplete) finding = finder.join(timeMs)
    if (finding === Flaw.None) this.#examineIp(finder.bytes, finder.at, finder.length, finder.wireLength, now)
    else if (finding !== Incomplete) this.#refuse(finding)
  }

  #examineIp(bytes: Uint8Array, at: number, length: number, wireLength: number, now: Millis): void {
    const isIpv6 = u8(bytes, at) >>> 4 === 6
    const flaw = isIpv6 ? followHeaders(bytes, at, length, wireLength) : Flaw.None
    const protocol = isIpv6 ? chain.protocol : u8(bytes, at + 9)
    const tcpAt = at + (isIpv6 ? chain.length : (u8(bytes, at) & 0x0f) * 4)
    if (flaw === Flaw.None && protocol !== TCP) {
      this.#counters.add(Counter.fileLeftOut, 1)
      return
    }
    if (flaw !== Flaw.None || at + length < tcpAt + 4) {
      this.#refuse(flaw === Flaw.None ? Flaw.Truncated : flaw)
      return
    }
    const fromAddress = isIpv6 ? addressBook.intern(bytes, at + 8) : i32(bytes, at + 12)
    const toAddress = isIpv6 ? addressBook.intern(bytes, at + 24) : i32(bytes, at + 16)
    if (isIpv6 && (fromAddress === 0 || toAddress === 0)) {
      this.#refuse(Flaw.AddressesFull)
      return
    }
    const { isWanted, isChecking, pace } = this.#options
    if (!isWanted(toAddress, u16(bytes, tcpAt + 2))) {
      this.#counters.add(Counter.fileLeftOut, 1)
      if (!isWanted(fromAddress, u16(bytes, tcpAt))) this.#noteServer(bytes, at, length, wireLength)
      return
    }
    this.wantedCount += 1
    this.#isHeld = true
    this.#bytes = bytes
    this.#at = at
    this.#capturedLength = length
    this.#wireLength = wireLength
    this.#checksum = isChecking ? ChecksumState.Filed : ChecksumState.Partial
    if (this.#round > 0) this.#moveClient()
    this.#schedule ??= new ReplayClock(pace, now)
    this.#dueAt = this.#schedule.due(this.#packet.timeMs)
  }

  /** Non-IP packets are other traffic; other flaws have their own counter. */
  #refuse(flaw: Flaw): void {
    if (flaw === Flaw.NotIpv4) this.#counters.add(Counter.fileLeftOut, 1)
    else this.#counters.drop(flaw, 1, 0)
  }

  #noteServer(bytes: Uint8Array, at: number, length: number, wireLength: number): void {
    if (parseIp(bytes, at, length, wireLength, true, this.#segment) === Flaw.None) this.servers.add(this.#segment)
  }

  /**
   * Changes the client's port in each round, so that its connection meets neither that of the previous round nor the
   * target's memory of it. Checks the checksum first, because it is wrong afterwards.
   */
  #moveClient(): void {
    const segment = this.#segment
    if (parseIp(this.#bytes, this.#at, this.#capturedLength, this.#wireLength, false, segment) !== Flaw.None) return
    const isWrong = verifyChecksum(segment) !== Flaw.None && !isChecksumPartial(segment)
    if ((isWrong && this.#options.isChecking) || segment.fromPort < PORT_FIRST) return
    const port = PORT_FIRST + ((segment.fromPort - PORT_FIRST + this.#round * PORT_STRIDE) % PORTS)
    put16(this.#bytes, segment.tcpAt, port)
    this.#checksum = ChecksumState.Partial
  }

  #isInTime(timeMs: number): boolean {
    if (Number.isNaN(this.#firstMs)) this.#firstMs = timeMs
    const { from, to } = this.#options
    const instant = (limit: FileTime): number => (limit.isRelative ? this.#firstMs + limit.ms : limit.ms)
    return (from === undefined || timeMs >= instant(from)) && (to === undefined || timeMs < instant(to))
  }

  #passesFilter(): boolean {
    const { filterFor } = this.#options
    if (filterFor === undefined) return true
    const { bytes, at, capturedLength, wireLength, linkType } = this.#packet
    let program = this.#filters.get(linkType)
    if (program === undefined) {
      program = filterFor(linkType)
      this.#filters.set(linkType, program)
    }
    return runFilter(program, bytes, at, capturedLength, wireLength) !== 0
  }
}
