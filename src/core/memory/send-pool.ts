/**
 * The one bounded store of captured client payload. A *piece* is a part of a captured segment, or several segments that
 * segmentation would make of one, at most `PIECE_MAX` octets, with what the headers said; it lives from its capture until
 * the target has acknowledged it.
 *
 * Pieces are small integers; what belongs to them lies in typed arrays, and their octets in blocks of a memory that
 * the sender can reach. Both are touched only when used, so an idle pool costs nothing.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import { copyAndSum, fold } from '../../wire/checksum.ts'
import { PSH, payloadSeq, type Segment, SYN, URG, urgentPointer } from '../../wire/segment.ts'
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import { BLOCK_MAX, BlockStore, PAGE } from './block-store.ts'

/** Most octets of one piece. */
export const PIECE_MAX = BLOCK_MAX
/** Octets of memory for each page of the pool. */
export const POOL_PAGE = PAGE
/** No piece. */
export const NONE = -1

/** Pieces for each page. Of the smallest blocks three of four can be in use: bookkeeping costs a sixth at most. */
const PIECES_A_PAGE = 240
/** Shorter payload is summed while it is copied; of longer one a copy alone is many times faster, and who sends may
 * have the sum made by the kernel or the network card. */
const SUMMED_BELOW = 192

/** Copies `length` octets; the ranges do not overlap. */
export type CopyBytes = (from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number) => void

/** What a captured segment's headers said, beside its payload. */
const IS_PUSHED = 1
const HAS_TIMESTAMPS = 2
const DONT_FRAGMENT = 4
const IS_FROM_SYN = 8
const HAS_SUM = 16
const IS_URGENT = 32

export class SendPool {
  readonly memory: Uint8Array
  readonly piecesMax: number
  usedCount = 0
  /** There was no room for a piece, since this was last reset. */
  hasRefused = false
  /** The instant of the batch at hand: that of the pieces made now. */
  now = 0
  readonly #blocks: BlockStore
  readonly #copy: CopyBytes
  readonly #pagesMax: number
  #free = NONE
  /** Pieces never used yet begin here: a fresh pool needs no list of all its pieces. */
  #untouched = 0
  readonly #next: Int32Array
  readonly #at: Float64Array
  readonly #capturedAt: Float64Array
  readonly #offset: Int32Array
  readonly #length: Int32Array
  readonly #ack: Int32Array
  readonly #tsVal: Int32Array
  /** Checksum of the payload, folded, and the window: both 16 bits. */
  readonly #sumAndWindow: Int32Array
  /** IP id, traffic class and flags. */
  readonly #header: Int32Array
  /** Of the few pieces that are urgent: how far behind their first octet the urgent ones end. */
  readonly #urgentEnd = new Map<number, number>()

  /**
   * @param blocksAt where in `memory` the `pagesMax × POOL_PAGE` octets for payload begin
   * @param copy for longer payloads
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
   * @param offset of the first byte in the client's stream
   * @param from where it is in the payload; @param length at most PIECE_MAX
   * @param number which segment of the captured super-packet it begins with: its IP id is that much later
   * @returns the piece, with no next; NONE when the pool is full
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
   * Puts a captured payload behind the piece that it goes on with, if cutting both into segments makes the same packets
   * again: they were captured in one batch, and their headers differ only in what segmentation counts up. As one piece
   * they are kept, sent and freed at once.
   * @param segmentMax octets of a segment to the target
   * @returns false if it is not so, or there is no room
   */
  extend(piece: number, segment: Segment, segmentMax: number): boolean {
    const before = this.length(piece)
    const length = before + segment.payloadLength
    const header = int32At(this.#header, piece)
    const isOfOneKind =
      (header & 0xffff) === kindOf(segment) &&
      (segment.flags & (SYN | URG)) === 0 &&
      this.capturedAt(piece) === this.now &&
      this.ack(piece) === segment.ack &&
      this.tsVal(piece) === segment.tsVal &&
      int32At(this.#sumAndWindow, piece) === segment.window
    if (!isOfOneKind || before % segmentMax !== 0 || length > PIECE_MAX) return false
    const firstId = header >>> 16
    const nextId = (firstId + before / segmentMax) & 0xffff
    // 0 is no id: of a piece that begins with it no segment has one.
    const isNextId = segment.ipId === 0 ? firstId === 0 : firstId !== 0 && segment.ipId === nextId
    if (!isNextId || !this.#makeRoom(piece, before, length)) return false
    this.#copy(segment.bytes, segment.payloadAt, this.memory, this.at(piece) + before, segment.payloadLength)
    this.#length[piece] = length
    if (segment.flags & PSH) this.#header[piece] = header | IS_PUSHED
    return true
  }

  /** Moves a piece of `before` octets to a larger block if its own does not hold `length`. @returns false: none is free */
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

  /** Octets of memory in use. */
  get usedBytes(): number {
    return this.#blocks.usedBytes
  }

  /** How full it is, 0 to 1: whether octets or pieces, what is shorter counts. */
  get fill(): number {
    return Math.max(this.#blocks.usedBytes / (this.#pagesMax * PAGE), this.usedCount / this.piecesMax)
  }

  /** @param end how far behind the piece's first octet the urgent octets end. @returns the flag for its header */
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
  /** Where it begins in the client's stream. */
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
  /** The acknowledgment number that the client sent with these octets. */
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
  /** Folded one's complement sum of the octets. */
  sum(piece: number): number {
    return int32At(this.#sumAndWindow, piece) >>> 16
  }
  /** The window field, as captured. */
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
  /** They came in the SYN (RFC 7413), so there is no acknowledgment number to them. */
  isFromSyn(piece: number): boolean {
    return (int32At(this.#header, piece) & IS_FROM_SYN) !== 0
  }
  /** How far behind its first octet the urgent octets end (RFC 9293 §3.8.5), which may be beyond its last; 0: none are. */
  urgentEnd(piece: number): number {
    return int32At(this.#header, piece) & IS_URGENT ? (this.#urgentEnd.get(piece) ?? 0) : 0
  }
  /** Where in `memory` the octets begin. */
  at(piece: number): number {
    return float64At(this.#at, piece)
  }
}

/** What a captured segment's header says of all packets that it may be cut into: traffic class and flags. */
function kindOf(segment: Segment): number {
  const flags = (segment.hasTimestamps ? HAS_TIMESTAMPS : 0) | (segment.dontFragment ? DONT_FRAGMENT : 0)
  return (segment.trafficClass << 8) | flags
}

/** The IP id of the segment of this number in a captured super-packet; 0 stays 0. */
function ipIdOf(segment: Segment, number: number): number {
  return segment.ipId === 0 ? 0 : (segment.ipId + number) & 0xffff
}
