/**
 * The send pool is the one bounded store of captured client payload. A piece is a part of a captured segment's payload,
 * or that of several consecutive segments, up to `PIECE_MAX` bytes, with the fields of its headers. It lives from its
 * capture until the target has acknowledged it.
 *
 * A piece is a small integer. Its fields are in typed arrays, and its bytes in blocks of memory that the packet sender
 * can read. Neither is touched before it is used, so an idle pool takes no memory.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import { copyAndSum, fold } from '../../wire/checksum.ts'
import { PSH, payloadSeq, type Segment, SYN, URG, urgentPointer } from '../../wire/segment.ts'
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import { BLOCK_MAX, BlockStore, PAGE } from './block-store.ts'

/** Largest piece, in bytes. */
export const PIECE_MAX = BLOCK_MAX
/** Bytes of memory for each page of the pool. */
export const POOL_PAGE = PAGE
/** No piece. */
export const NONE = -1

/** Pieces for each page. So at most 3/4 of the smallest blocks can be in use, and bookkeeping takes at most a sixth. */
const PIECES_A_PAGE = 240
/**
 * Shorter payload is summed while it is copied. For longer payload a plain copy is many times faster, and the kernel or
 * the network card may compute the checksum.
 */
const SUMMED_BELOW = 192

/** Copies `length` bytes between ranges that do not overlap. */
export type CopyBytes = (from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number) => void

/** Flags of a piece, in the low byte of `#header`. */
const IS_PUSHED = 1
const HAS_TIMESTAMPS = 2
const DONT_FRAGMENT = 4
const IS_FROM_SYN = 8
const HAS_SUM = 16
const IS_URGENT = 32
/** A request begins with the piece; and it was sent on the current connection. */
const IS_START = 64
const IS_RELEASED = 128
/** Flags that say nothing of the header. */
const MARKS = IS_START | IS_RELEASED

export class SendPool {
  readonly memory: Uint8Array
  readonly piecesMax: number
  usedCount = 0
  /** A piece was refused because the pool was full. The owner resets this. */
  hasRefused = false
  /** The instant of the current batch, which becomes the capture time of new pieces. Set by the owner. */
  now = 0
  readonly #blocks: BlockStore
  readonly #copy: CopyBytes
  readonly #pagesMax: number
  #free = NONE
  /** Pieces from here on were never used, so a new pool needs no list of all its pieces. */
  #untouched = 0
  readonly #next: Int32Array
  readonly #at: Float64Array
  readonly #capturedAt: Float64Array
  readonly #offset: Int32Array
  readonly #length: Int32Array
  readonly #ack: Int32Array
  readonly #tsVal: Int32Array
  /** Folded sum of the payload in the upper 16 bits, window field in the lower. */
  readonly #sumAndWindow: Int32Array
  /** IP id in the upper 16 bits, then traffic class and flags. */
  readonly #header: Int32Array
  /** For the few urgent pieces: how far after their first byte the urgent data ends. */
  readonly #urgentEnd = new Map<number, number>()

  /**
   * @param blocksAt where in `memory` the `pagesMax × POOL_PAGE` bytes for payload begin
   * @param copy copies longer payloads
   */
  constructor(memory: Uint8Array, blocksAt: number, pagesMax: number, copy: CopyBytes = copyAndSum) {
    this.memory = memory
    this.#copy = copy
    this.#pagesMax = pagesMax
    this.#blocks = new BlockStore(blocksAt, pagesMax)
    const piecesMax = pagesMax * PIECES_A_PAGE
    this.piecesMax = piecesMax
    this.#at = new Float64Array(piecesMax)
    this.#capturedAt = new Float64Array(piecesMax)
    this.#next = new Int32Array(piecesMax)
    this.#offset = new Int32Array(piecesMax)
    this.#length = new Int32Array(piecesMax)
    this.#ack = new Int32Array(piecesMax)
    this.#tsVal = new Int32Array(piecesMax)
    this.#sumAndWindow = new Int32Array(piecesMax)
    this.#header = new Int32Array(piecesMax)
  }

  /**
   * Copies a part of a captured payload into a new piece.
   * @param offset offset of its first byte in the client's stream
   * @param from where the part begins in the payload; @param length at most PIECE_MAX
   * @param number index of its first segment in the captured super-packet, which is added to the IP id
   * @returns the piece, not linked to another; NONE if the pool is full
   */
  add(segment: Segment, offset: Seq, from: number, length: number, number: number, isPushed: boolean): number {
    const at = this.#blocks.take(length)
    const piece = at < 0 ? NONE : this.#take()
    if (piece === NONE) {
      if (at >= 0) this.#blocks.give(at)
      this.hasRefused = true
      return NONE
    }
    this.#at[piece] = at
    this.#capturedAt[piece] = this.now
    const isSummed = length < SUMMED_BELOW
    const bytesAt = segment.payloadAt + from
    const sum = isSummed ? fold(copyAndSum(segment.bytes, bytesAt, this.memory, at, length)) : 0
    if (!isSummed) this.#copy(segment.bytes, bytesAt, this.memory, at, length)
    this.#next[piece] = NONE
    this.#offset[piece] = offset
    this.#length[piece] = length
    this.#ack[piece] = segment.ack
    this.#tsVal[piece] = segment.tsVal
    this.#sumAndWindow[piece] = (sum << 16) | segment.window
    const flags =
      (isPushed ? IS_PUSHED : 0) |
      (segment.flags & SYN ? IS_FROM_SYN : 0) |
      (isSummed ? HAS_SUM : 0) |
      (segment.flags & URG
        ? this.#markUrgent(piece, distance(add(segment.seq, urgentPointer(segment)), add(payloadSeq(segment), from)))
        : 0)
    this.#header[piece] = (ipIdOf(segment, number) << 16) | kindOf(segment) | flags
    return piece
  }

  /**
   * Appends a captured payload to the piece that it follows, if segmentation of the result produces the same packets
   * again: both were captured in one batch, and their headers differ only in what segmentation counts up. One piece is
   * stored, sent and freed at once.
   * @param segmentMax segment size towards the target, in bytes
   * @returns false if this is not the case, or if no larger block is free
   */
  extend(piece: number, segment: Segment, segmentMax: number): boolean {
    const before = this.length(piece)
    const length = before + segment.payloadLength
    const header = int32At(this.#header, piece)
    const isOfOneKind =
      (header & 0xffff & ~MARKS) === kindOf(segment) &&
      (segment.flags & (SYN | URG)) === 0 &&
      this.capturedAt(piece) === this.now &&
      this.ack(piece) === segment.ack &&
      this.tsVal(piece) === segment.tsVal &&
      int32At(this.#sumAndWindow, piece) === segment.window
    if (!isOfOneKind || before % segmentMax !== 0 || length > PIECE_MAX) return false
    const firstId = header >>> 16
    const nextId = (firstId + before / segmentMax) & 0xffff
    // An IP id of 0 stands for none. If the first segment of a piece has none, no segment of it has one.
    const isNextId = segment.ipId === 0 ? firstId === 0 : firstId !== 0 && segment.ipId === nextId
    if (!isNextId || !this.#makeRoom(piece, before, length)) return false
    this.#copy(segment.bytes, segment.payloadAt, this.memory, this.at(piece) + before, segment.payloadLength)
    this.#length[piece] = length
    if (segment.flags & PSH) this.#header[piece] = header | IS_PUSHED
    return true
  }

  /**
   * Moves a piece of `before` bytes to a larger block if its own is too small for `length`.
   * @returns false: none is free
   */
  #makeRoom(piece: number, before: number, length: number): boolean {
    const from = this.at(piece)
    if (length <= this.#blocks.size(from)) return true
    const to = this.#blocks.take(Math.min(PIECE_MAX, length + (length >>> 2)))
    if (to < 0) return false
    this.#copy(this.memory, from, this.memory, to, before)
    this.#blocks.give(from)
    this.#at[piece] = to
    return true
  }

  /** Bytes of blocks in use. */
  get usedBytes(): number {
    return this.#blocks.usedBytes
  }

  /** Bytes of all blocks. */
  get capacity(): number {
    return this.#pagesMax * PAGE
  }

  /** How full the pool is, 0 to 1, by bytes or by pieces, whichever is more. */
  get fill(): number {
    return Math.max(this.#blocks.usedBytes / (this.#pagesMax * PAGE), this.usedCount / this.piecesMax)
  }

  /** @param end how far after the piece's first byte the urgent data ends @returns the flag for `#header` */
  #markUrgent(piece: number, end: number): number {
    if (end <= 0) return 0
    this.#urgentEnd.set(piece, end)
    return IS_URGENT
  }

  free(piece: number): void {
    if (int32At(this.#header, piece) & IS_URGENT) this.#urgentEnd.delete(piece)
    this.#blocks.give(float64At(this.#at, piece))
    this.usedCount -= 1
    this.#next[piece] = this.#free
    this.#free = piece
  }

  #take(): number {
    const piece = this.#free
    if (piece !== NONE) this.#free = int32At(this.#next, piece)
    else if (this.#untouched === this.piecesMax) return NONE
    this.usedCount += 1
    return piece !== NONE ? piece : this.#untouched++
  }

  next(piece: number): number {
    return int32At(this.#next, piece)
  }
  setNext(piece: number, next: number): void {
    this.#next[piece] = next
  }
  /** Offset of its first byte in the client's stream. */
  offset(piece: number): Seq {
    return seq(int32At(this.#offset, piece))
  }
  length(piece: number): number {
    return int32At(this.#length, piece)
  }
  end(piece: number): Seq {
    return seq(int32At(this.#offset, piece) + int32At(this.#length, piece))
  }
  capturedAt(piece: number): number {
    return float64At(this.#capturedAt, piece)
  }
  /** The acknowledgment number that the client sent with these bytes. */
  ack(piece: number): Seq {
    return seq(int32At(this.#ack, piece))
  }
  tsVal(piece: number): Seq {
    return seq(int32At(this.#tsVal, piece))
  }
  /** Whether `sum` is known. */
  hasSum(piece: number): boolean {
    return (int32At(this.#header, piece) & HAS_SUM) !== 0
  }
  /** Folded ones' complement sum of the bytes; only if `hasSum`. */
  sum(piece: number): number {
    return int32At(this.#sumAndWindow, piece) >>> 16
  }
  /** The captured window field, not scaled. */
  window(piece: number): number {
    return int32At(this.#sumAndWindow, piece) & 0xffff
  }
  ipId(piece: number): number {
    return int32At(this.#header, piece) >>> 16
  }
  trafficClass(piece: number): number {
    return (int32At(this.#header, piece) >>> 8) & 0xff
  }
  isPushed(piece: number): boolean {
    return (int32At(this.#header, piece) & IS_PUSHED) !== 0
  }
  hasTimestamps(piece: number): boolean {
    return (int32At(this.#header, piece) & HAS_TIMESTAMPS) !== 0
  }
  dontFragment(piece: number): boolean {
    return (int32At(this.#header, piece) & DONT_FRAGMENT) !== 0
  }
  /** The bytes were in the SYN (RFC 7413), so they have no acknowledgment number. */
  isFromSyn(piece: number): boolean {
    return (int32At(this.#header, piece) & IS_FROM_SYN) !== 0
  }
  /** Whether a request begins with it. */
  isStart(piece: number): boolean {
    return (int32At(this.#header, piece) & IS_START) !== 0
  }
  markStart(piece: number): void {
    this.#header[piece] = int32At(this.#header, piece) | IS_START
  }
  /** Whether the request that begins with it was sent on the current connection. */
  isReleased(piece: number): boolean {
    return (int32At(this.#header, piece) & IS_RELEASED) !== 0
  }
  markReleased(piece: number): void {
    this.#header[piece] = int32At(this.#header, piece) | IS_RELEASED
  }
  clearMarks(piece: number): void {
    this.#header[piece] = int32At(this.#header, piece) & ~MARKS
  }
  /**
   * How far after its first byte the urgent data ends (RFC 9293 §3.8.5), possibly beyond the piece; 0: there is none.
   */
  urgentEnd(piece: number): number {
    return int32At(this.#header, piece) & IS_URGENT ? (this.#urgentEnd.get(piece) ?? 0) : 0
  }
  /** Where in `memory` the bytes begin. */
  at(piece: number): number {
    return float64At(this.#at, piece)
  }
}

/** Traffic class and flags of a captured segment, which all packets made of it share. */
function kindOf(segment: Segment): number {
  const flags = (segment.hasTimestamps ? HAS_TIMESTAMPS : 0) | (segment.dontFragment ? DONT_FRAGMENT : 0)
  return (segment.trafficClass << 8) | flags
}

/** The IP id of a segment of a captured super-packet, by its index; 0 stays 0. */
function ipIdOf(segment: Segment, number: number): number {
  return segment.ipId === 0 ? 0 : (segment.ipId + number) & 0xffff
}
