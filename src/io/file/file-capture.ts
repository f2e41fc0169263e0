/** A capture that is a file: gives the packets of clients when they are due, and waits when the copy cannot take more. */
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

/** Packets looked at in one call, so that sessions have their turn while nothing in a file is for them. */
const LOOKS_MAX = 4096
/** While the end of a round is awaited. */
const END_POLL_MS = 10
/** Clients' ports in a round stand so far beyond those of the round before; prime to how many there are. */
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
  /** 0: until it is stopped. */
  readonly rounds: number
  /** False: packets are taken whatever their checksum says. */
  readonly isChecking: boolean
  /** Compiles `-F` for a link type; undefined: there is none. */
  readonly filterFor: ((linkType: number) => FilterProgram) | undefined
  /** Whether packets to this address and port are copied. */
  readonly isWanted: (address: number, port: number) => boolean
}

/** The copy that takes the packets. */
export interface Taker {
  /** Whether it can take another packet without losing anything. */
  hasRoom(): boolean
  /** Whether all that it took is delivered, or has failed. */
  isSettled(): boolean
  /** Ends all connections: the file begins again. */
  endRound(): void
}

export class FileCapture implements Capture {
  /** Infinity: more of the file, or an answer, wakes the waiter. */
  deadline: Millis = 0
  /** All rounds are given, and settled. */
  isDone = false
  /** Why the file could not be read to its end, as the end of a sentence about it; empty if it could. */
  failure = ''
  /** Packets of the file that `filterFor`, `from` and `to` let through. */
  chosenCount = 0
  /** Packets of the file that were towards a server of `isWanted`, as far as could be told. */
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
  /** Lost packets that the rounds before told of. */
  #lostBefore = 0
  /** All packets of the round were read; of its chunks some may be left if it could not be read to its end. */
  #isRoundRead = false
  #isRoundTaken = false
  /** A packet is at hand that was not given yet. */
  #isHeld = false
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #capturedLength = 0
  #wireLength = 0
  #checksum: ChecksumState = ChecksumState.Filed
  #dueAt = 0
  /** Since when the copy has no room for it; NaN: it has. */
  #blockedSince = Number.NaN

  constructor(options: FileCaptureOptions, chunks: ChunkSource, taker: Taker, clock: Clock, counters: Counters) {
    this.#options = options
    this.#chunks = chunks
    this.#taker = taker
    this.#clock = clock
    this.#counters = counters
  }

  /** True while only the copy can make the replay go on. */
  get isWaitingForCopy(): boolean {
    return this.#isRoundRead || !Number.isNaN(this.#blockedSince)
  }

  /** @inheritDoc What is not due yet, or finds no room, is given later. */
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

  /** @inheritDoc Such as the file itself tells of. */
  dropped(): number {
    return this.#lostBefore + this.#reader.lostCount
  }

  /** @inheritDoc Of the servers. */
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
      // The pauses of the file stay as long as they are.
      this.#schedule?.slip(now - this.#blockedSince)
      this.#blockedSince = Number.NaN
    }
    return hasRoom
  }

  /** Looks at the next packet, or at what is there instead. @returns false if there is nothing to do now */
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

  /** The round was read: ends the replay or begins the next round, as soon as the copy has settled. */
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

  /** Holds the packet that was read if it is for the copy; else counts what it is. */
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

  /** What is not IP at all is other traffic; the rest has a name. */
  #refuse(flaw: Flaw): void {
    if (flaw === Flaw.NotIpv4) this.#counters.add(Counter.fileLeftOut, 1)
    else this.#counters.drop(flaw, 1, 0)
  }

  #noteServer(bytes: Uint8Array, at: number, length: number, wireLength: number): void {
    if (parseIp(bytes, at, length, wireLength, true, this.#segment) === Flaw.None) this.servers.add(this.#segment)
  }

  /**
   * Gives the client another port in each round, so that its connection meets neither that of the round before nor what
   * the target remembers of it. The checksum, which would be wrong then, is looked at here.
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
