/**
 * The client's byte stream, put together from captured segments: retransmissions, overlaps, disorder and
 * super-packets vanish here. Pieces are kept in order of their sequence numbers, from the first octet that the target
 * has not acknowledged; of octets that came twice the first stay.
 */
import { PSH, payloadSeq, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'
import type { Counters } from '../books/counters.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { Ranges } from '../memory/ranges.ts'
import { NONE, PIECE_MAX, type SendPool } from '../memory/send-pool.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** How far beyond the contiguous part octets are held: as far as a window can reach (RFC 7323 §2.3), halved. */
const AHEAD_MAX = 1 << 29

export class ClientStream {
  /** The first piece that is not wholly acknowledged, or NONE. */
  head = NONE
  /** The last piece of the contiguous part, or NONE: then pieces behind `#ahead` wait for what comes before them. */
  tail = NONE
  /** The first piece beyond a hole; the pieces behind `tail` go on there. */
  #ahead = NONE
  /** The last piece of all, while there is one beyond a hole. */
  #last = NONE
  /** One beyond the last contiguous octet captured. */
  end: Seq
  /** One beyond the farthest octet that was taken, across holes. */
  #farthest: Seq
  /** Where the client's FIN stands, if `hasFin`. */
  hasFin = false
  finSeq: Seq = seq(0)
  /**
   * After octets were missed: everything is dropped until an epoch surely begins, so that the target never gets the
   * rest of a request whose beginning is lost.
   */
  isSeeking = false
  /** Why octets are dropped while seeking. */
  #seekReason: Drop = Drop.None
  /** What came before the first piece: where it ended, the acknowledgment with it, and whether it had PSH. */
  #lastEnd: Seq
  #lastAck: Seq = seq(0)
  /** The client's first acknowledgment: octets of a SYN (RFC 7413) have none of their own. */
  firstAck: Seq = seq(0)
  #isLastPushed = true
  /** Nothing came before it: an epoch begins there. */
  #isAtStart = true
  /** What the pool had no room for; made when first needed. */
  #refused: Ranges | undefined
  readonly #pool: SendPool
  readonly #counters: Counters

  constructor(start: Seq, pool: SendPool, counters: Counters) {
    this.end = start
    this.#farthest = start
    this.#lastEnd = start
    this.#pool = pool
    this.#counters = counters
  }

  /** See `Snapshot`. Only while there are no pieces, and no FIN. */
  save(snapshot: Snapshot): void {
    this.end = snapshot.seq(this.end)
    this.#farthest = snapshot.seq(this.#farthest)
    this.isSeeking = snapshot.flag(this.isSeeking)
    this.#seekReason = snapshot.short(this.#seekReason) as Drop // as: it was one when it was written
    this.#lastEnd = snapshot.seq(this.#lastEnd)
    this.#lastAck = snapshot.seq(this.#lastAck)
    this.firstAck = snapshot.seq(this.firstAck)
    this.#isLastPushed = snapshot.flag(this.#isLastPushed)
    this.#isAtStart = snapshot.flag(this.#isAtStart)
  }

  /** True while octets are missing between the contiguous part and what was captured beyond it. */
  get hasHole(): boolean {
    return this.#ahead !== NONE || (this.hasFin && isBefore(this.end, this.finSeq))
  }

  /** True if the hole was captured and dropped, since there was no room for it: nobody sends it again. */
  get isHoleOurs(): boolean {
    return this.hasHole && this.lacksRefused
  }

  /** True if what comes next was captured and dropped, whether or not anything was captured beyond it. */
  get lacksRefused(): boolean {
    return this.#refused !== undefined && this.#refused.endOf(this.end) !== this.end
  }

  /** When the first octets beyond a hole were captured; NaN if there are none. */
  get aheadSince(): number {
    return this.#ahead === NONE ? Number.NaN : this.#pool.capturedAt(this.#ahead)
  }

  get isComplete(): boolean {
    return this.hasFin && this.end === this.finSeq
  }

  /**
   * Takes a captured segment's payload, and counts each of its octets as pending, as duplicate, or dropped.
   * @param segmentMax most octets of a segment to the target: longer pieces are a whole number of them, as far as can be
   * @returns None if anything new was kept
   */
  insert(segment: Segment, segmentMax: number): Drop {
    if (this.isSeeking && !this.#finds(segment)) return this.#seekReason
    const begin = payloadSeq(segment)
    const end = add(begin, segment.payloadLength)
    let from = later(begin, this.end)
    this.#countDuplicate(distance(isBefore(end, from) ? end : from, begin))
    if (!isAfter(end, from)) return Drop.Duplicate
    if (this.hasFin && isAfter(end, this.finSeq)) return this.#refuse(Drop.BeyondEnd, distance(end, from))
    // Of its beginning: half the numbers away, the end of a segment would look as if it lay before.
    if (distance(from, this.end) > AHEAD_MAX) return this.#refuse(Drop.TooFarAhead, distance(end, from))
    // Behind a hole the stream mostly goes on where it ended, however much waits there.
    const isBehindAll = this.#ahead !== NONE && !isBefore(from, this.#pool.end(this.#last))
    let before = isBehindAll ? this.#last : this.tail
    let next = isBehindAll ? NONE : this.#ahead
    if (next === NONE && from === begin && this.#goesOn(before, segment, segmentMax)) return Drop.None
    let result: Drop = Drop.Duplicate
    while (isBefore(from, end)) {
      // Skip pieces that lie before, then take what fits in front of the next.
      while (next !== NONE && !isAfter(this.#pool.seq(next), from)) {
        const covered = this.#pool.end(next)
        if (isAfter(covered, from)) {
          const stop = isBefore(covered, end) ? covered : end
          this.#countDuplicate(distance(stop, from))
          from = stop
        }
        before = next
        next = this.#pool.next(next)
      }
      if (!isBefore(from, end)) break
      const stop = next !== NONE && isBefore(this.#pool.seq(next), end) ? this.#pool.seq(next) : end
      const last = this.#keep(segment, from, stop, segmentMax, before, next)
      if (last === NONE) return result === Drop.None ? result : Drop.PoolFull
      result = Drop.None
      before = last
      from = stop
    }
    this.#extend()
    return result
  }

  /** Puts a segment's payload into the last piece, if it is more of the same. @returns false if it is not */
  #goesOn(last: number, segment: Segment, segmentMax: number): boolean {
    if (last === NONE || this.#pool.end(last) !== payloadSeq(segment)) return false
    if (!this.#pool.extend(last, segment, segmentMax)) return false
    const end = this.#pool.end(last)
    if (last === this.tail) this.end = end
    this.#farthest = later(this.#farthest, end)
    this.#counters.add(Counter.pendingBytes, segment.payloadLength)
    return true
  }

  /** Takes the client's FIN. @returns why not: octets beyond it were captured, or it came before */
  close(at: Seq): Drop {
    if (this.hasFin || isBefore(at, this.#farthest)) return Drop.Duplicate
    if (distance(at, this.end) > AHEAD_MAX) return Drop.TooFarAhead
    this.hasFin = true
    this.finSeq = at
    return Drop.None
  }

  /** Frees the pieces that lie wholly before `una`, which is not beyond `end`. */
  release(una: Seq): void {
    while (this.head !== NONE && !isAfter(this.#pool.end(this.head), una)) {
      const piece = this.head
      this.head = this.#pool.next(piece)
      if (piece === this.tail) this.tail = NONE
      this.#pass(piece)
      this.#pool.free(piece)
    }
  }

  /**
   * Gives up what cannot be delivered on a connection that has ended: octets up to the first epoch that begins at or
   * beyond `una`. If none does yet, the stream seeks one among what is captured later.
   * @param isSkipping the epoch that begins at `una` is given up too; @param isForgetting all that is held is
   */
  resume(una: Seq, isSkipping: boolean, isForgetting: boolean, reason: Drop): void {
    this.release(una)
    let lost = 0
    let isFirst = true
    while (this.head !== NONE) {
      const piece = this.head
      const isBoundary = this.#beginsEpoch(this.#pool.seq(piece), this.#pool.ack(piece))
      const isBroken = isBefore(this.#pool.seq(piece), una) || (isFirst && isSkipping && this.#pool.seq(piece) === una)
      if (isBoundary && !isBroken && !isForgetting) break
      isFirst = false
      lost += distance(this.#pool.end(piece), later(this.#pool.seq(piece), una))
      this.head = this.#pool.next(piece)
      this.#pass(piece)
      this.#pool.free(piece)
    }
    this.#counters.add(Counter.pendingBytes, -lost)
    if (lost > 0) this.#counters.drop(reason, 0, lost)
    this.tail = NONE
    this.#ahead = this.head
    this.end = this.head === NONE ? this.#lastEnd : this.#pool.seq(this.head)
    this.#seekReason = reason
    this.isSeeking = this.head === NONE
    this.#extend()
  }

  /** Remembers a piece that goes. */
  #pass(piece: number): void {
    this.#lastEnd = this.#pool.end(piece)
    this.#lastAck = this.#pool.isFromSyn(piece) ? this.firstAck : this.#pool.ack(piece)
    this.#isLastPushed = this.#pool.isPushed(piece)
    this.#isAtStart = false
  }

  /** True if octets at `at` that came with `ack` follow on the last ones, and the client had read more before them. */
  #beginsEpoch(at: Seq, ack: Seq): boolean {
    if (at !== this.#lastEnd) return false
    return this.#isAtStart || (this.#isLastPushed && isAfter(ack, this.#lastAck))
  }

  /** While seeking: true if an epoch begins with this segment; else its octets are counted and forgotten. */
  #finds(segment: Segment): boolean {
    const begin = payloadSeq(segment)
    const end = add(begin, segment.payloadLength)
    if (this.#beginsEpoch(begin, segment.ack)) {
      this.isSeeking = false
      this.end = begin
      return true
    }
    if (isAfter(end, this.#lastEnd)) {
      this.#counters.drop(this.#seekReason, 0, segment.payloadLength)
      this.#lastEnd = end
      this.#lastAck = segment.ack
      this.#isLastPushed = (segment.flags & PSH) !== 0
      this.#isAtStart = false
      this.end = end
      this.#farthest = end
    } else this.#countDuplicate(segment.payloadLength)
    return false
  }

  /** Frees everything, counting what lies beyond `una` as dropped for `reason`. */
  clear(una: Seq, reason: Drop): void {
    let lost = 0
    while (this.head !== NONE) {
      const piece = this.head
      const from = later(this.#pool.seq(piece), una)
      lost += Math.max(0, distance(this.#pool.end(piece), from))
      this.head = this.#pool.next(piece)
      this.#pool.free(piece)
    }
    this.tail = NONE
    this.#ahead = NONE
    this.#counters.add(Counter.pendingBytes, -lost)
    if (lost > 0) this.#counters.drop(reason, 0, lost)
  }

  /** Keeps octets [from, stop) between two pieces. @returns the last piece made; NONE: the pool is full */
  #keep(segment: Segment, from: Seq, stop: Seq, segmentMax: number, before: number, next: number): number {
    const cut = segmentMax > PIECE_MAX ? PIECE_MAX : PIECE_MAX - (PIECE_MAX % segmentMax)
    let last = before
    let at = from
    while (isBefore(at, stop)) {
      const offset = distance(at, payloadSeq(segment))
      const length = Math.min(cut, distance(stop, at))
      const isPushed = (segment.flags & PSH) !== 0 && offset + length === segment.payloadLength
      const piece = this.#pool.add(segment, offset, length, Math.floor(offset / segmentMax), isPushed)
      if (piece === NONE) {
        this.#extend()
        this.#refused ??= new Ranges()
        this.#refused.dropBefore(this.end)
        this.#refused.add(at, add(payloadSeq(segment), segment.payloadLength))
        this.#refuse(Drop.PoolFull, distance(add(payloadSeq(segment), segment.payloadLength), at))
        return NONE
      }
      this.#pool.setNext(piece, next)
      if (last !== NONE) this.#pool.setNext(last, piece)
      else this.head = piece
      if (last === this.tail) this.#ahead = piece
      if (next === NONE) this.#last = piece
      this.#counters.add(Counter.pendingBytes, length)
      last = piece
      at = add(at, length)
      this.#farthest = later(this.#farthest, at)
      if (this.#ahead === piece) this.#extend()
    }
    return last
  }

  /** Moves the end of the contiguous part over the pieces that touch it. */
  #extend(): void {
    while (this.#ahead !== NONE && this.#pool.seq(this.#ahead) === this.end) {
      this.tail = this.#ahead
      this.end = this.#pool.end(this.tail)
      this.#ahead = this.#pool.next(this.tail)
    }
  }

  #countDuplicate(octets: number): void {
    if (octets > 0) this.#counters.add(Counter.duplicateBytes, octets)
  }

  #refuse(reason: Drop, octets: number): Drop {
    this.#counters.drop(reason, 0, octets)
    return reason
  }
}
