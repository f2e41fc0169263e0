/**
 * The client's byte stream, put together from captured segments: retransmissions, overlaps, disorder and super-packets
 * vanish here. What is contiguous goes into the send queue at once; what is beyond a hole waits here, in order. Of bytes
 * that came twice the first are kept.
 */
import { PSH, payloadSeq, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'
import type { Counters } from '../books/counters.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { Ranges } from '../memory/ranges.ts'
import { NONE, PIECE_MAX, type SendPool } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** How far beyond the contiguous part bytes are held: as far as a window can reach (RFC 7323 §2.3), halved. */
const AHEAD_MAX = 1 << 29
/** The pool was full. */
const FULL = -2

export class ClientStream {
  /** Sequence number of the byte at offset 0. */
  base: Seq
  /** The first piece beyond a hole; the pieces behind it are in order. */
  #ahead = NONE
  /** The last piece of all, while there is one beyond a hole. */
  #last = NONE
  /** One beyond the farthest byte that was taken, across holes. */
  #farthest: Seq
  /** Where the client's FIN stands, if `hasFin`. */
  hasFin = false
  finAt: Seq = seq(0)
  /**
   * After bytes were missed: everything is dropped until a request surely begins, so that the target never gets the
   * rest of a request whose beginning is lost.
   */
  isSeeking = false
  /** Why bytes are dropped while seeking. */
  #seekReason: Drop = Drop.None
  /** What the pool had no room for; made when first needed. */
  #refused: Ranges | undefined
  readonly #queue: SendQueue
  readonly #pool: SendPool
  readonly #counters: Counters

  constructor(base: Seq, queue: SendQueue, counters: Counters) {
    this.base = base
    this.#farthest = queue.end
    this.#queue = queue
    this.#pool = queue.pool
    this.#counters = counters
  }

  /** See `Snapshot`. Only while there are no pieces, and no FIN. */
  save(snapshot: Snapshot): void {
    this.base = snapshot.seq(this.base)
    this.#farthest = snapshot.seq(this.#farthest)
    this.isSeeking = snapshot.flag(this.isSeeking)
    this.#seekReason = snapshot.short(this.#seekReason) as Drop // as: it was one when it was written
    this.#queue.save(snapshot)
  }

  /** One beyond the last contiguous byte captured. */
  get end(): Seq {
    return this.#queue.end
  }

  /** The first piece that is held: in the queue, or beyond a hole; NONE if none is. */
  get first(): number {
    return this.#queue.head === NONE ? this.#ahead : this.#queue.head
  }

  /** True while bytes are missing between the contiguous part and what was captured beyond it. */
  get hasHole(): boolean {
    return this.#ahead !== NONE || (this.hasFin && isBefore(this.end, this.finAt))
  }

  /** True if the hole was captured and dropped, since there was no room for it: nobody sends it again. */
  get isHoleOurs(): boolean {
    return this.hasHole && this.lacksRefused
  }

  /** True if what comes next was captured and dropped, whether or not anything was captured beyond it. */
  get lacksRefused(): boolean {
    return this.#refused !== undefined && this.#refused.endOf(this.end) !== this.end
  }

  /** When the first bytes beyond a hole were captured; NaN if there are none. */
  get aheadSince(): number {
    return this.#ahead === NONE ? Number.NaN : this.#pool.capturedAt(this.#ahead)
  }

  get isComplete(): boolean {
    return this.hasFin && this.end === this.finAt
  }

  /** The offset that a sequence number of the client stands for. */
  offsetOf(sequence: Seq): Seq {
    return seq(distance(sequence, this.base))
  }

  /**
   * Takes a captured segment's payload, and counts each of its bytes as pending, as duplicate, or dropped.
   * @param unit pieces longer than this are a whole number of units, as far as can be
   * @returns None if anything new was kept
   */
  insert(segment: Segment, unit: number): Drop {
    if (this.isSeeking && !this.#finds(segment)) return this.#seekReason
    const pool = this.#pool
    const queue = this.#queue
    const begin = this.offsetOf(payloadSeq(segment))
    const end = add(begin, segment.payloadLength)
    let from = later(begin, queue.end)
    this.#countDuplicate(distance(isBefore(end, from) ? end : from, begin))
    if (!isAfter(end, from)) return Drop.Duplicate
    if (this.hasFin && isAfter(end, this.finAt)) return this.#refuse(Drop.BeyondEnd, distance(end, from))
    // Of its beginning: half the numbers away, the end of a segment would look as if it lay before.
    if (distance(from, queue.end) > AHEAD_MAX) return this.#refuse(Drop.TooFarAhead, distance(end, from))
    // Behind a hole the stream mostly goes on where it ended, however much waits there.
    const isBehindAll = this.#ahead !== NONE && !isBefore(from, pool.end(this.#last))
    let before = isBehindAll ? this.#last : NONE
    let next = isBehindAll ? NONE : this.#ahead
    const isAtEnd = next === NONE && from === begin
    if (isAtEnd && this.#grows(isBehindAll ? this.#last : queue.tail, begin, segment, unit)) return Drop.None
    let result: Drop = Drop.Duplicate
    while (isBefore(from, end)) {
      // Skip pieces that lie before, then take what fits in front of the next.
      while (next !== NONE && !isAfter(pool.offset(next), from)) {
        const covered = pool.end(next)
        if (isAfter(covered, from)) {
          const stop = isBefore(covered, end) ? covered : end
          this.#countDuplicate(distance(stop, from))
          from = stop
        }
        before = next
        next = pool.next(next)
      }
      if (!isBefore(from, end)) break
      const stop = next !== NONE && isBefore(pool.offset(next), end) ? pool.offset(next) : end
      const kept = this.#keep(segment, from, stop, unit, before, next)
      if (kept === FULL) return result === Drop.None ? result : Drop.PoolFull
      result = Drop.None
      before = kept
      from = stop
      if (kept !== NONE) continue
      // It closed the hole, and what had waited behind it may reach farther.
      const reached = isBefore(queue.end, end) ? queue.end : end
      this.#countDuplicate(distance(reached, stop))
      from = later(stop, reached)
      next = this.#ahead
    }
    return result
  }

  /** Puts a segment's payload into the last piece, if it is more of the same. @returns false if it is not */
  #grows(last: number, begin: Seq, segment: Segment, unit: number): boolean {
    if (last === NONE || this.#pool.end(last) !== begin) return false
    if (!this.#pool.extend(last, segment, unit)) return false
    if (last === this.#queue.tail) this.#queue.grew()
    this.#farthest = later(this.#farthest, this.#pool.end(last))
    this.#counters.add(Counter.pendingBytes, segment.payloadLength)
    return true
  }

  /** Takes the client's FIN. @returns why not: bytes beyond it were captured, or it came before */
  close(at: Seq): Drop {
    if (this.hasFin || isBefore(at, this.#farthest)) return Drop.Duplicate
    if (distance(at, this.end) > AHEAD_MAX) return Drop.TooFarAhead
    this.hasFin = true
    this.finAt = at
    return Drop.None
  }

  /**
   * Gives up what cannot be delivered on a connection that has ended: bytes up to the first request that begins at or
   * beyond what is acknowledged. If none does yet, the stream seeks one among what is captured later.
   * @param una offset of the first byte that is not acknowledged
   * @param isSkipping the request that begins there is given up too; @param isForgetting all that is held is
   */
  resume(una: Seq, isSkipping: boolean, isForgetting: boolean, reason: Drop): void {
    const pool = this.#pool
    const queue = this.#queue
    let piece = this.#takeAll()
    let lost = 0
    let isFirst = true
    while (piece !== NONE) {
      const at = pool.offset(piece)
      const isBroken = isBefore(at, una) || (isFirst && isSkipping && at === una)
      if (queue.beginsRequest(at, pool.ack(piece)) && !isBroken && !isForgetting) break
      isFirst = false
      lost += distance(pool.end(piece), later(at, una))
      const next = pool.next(piece)
      queue.discard(piece)
      piece = next
    }
    this.#countLost(lost, reason)
    this.#ahead = piece
    queue.restart(piece === NONE ? queue.frontEnd : pool.offset(piece))
    this.#seekReason = reason
    this.isSeeking = piece === NONE
    this.#moveUp()
  }

  /** While seeking: true if a request begins with this segment; else its bytes are counted and forgotten. */
  #finds(segment: Segment): boolean {
    const queue = this.#queue
    const begin = this.offsetOf(payloadSeq(segment))
    const end = add(begin, segment.payloadLength)
    if (queue.beginsRequest(begin, segment.ack)) {
      this.isSeeking = false
      queue.restart(begin)
      return true
    }
    if (isAfter(end, queue.frontEnd)) {
      this.#counters.drop(this.#seekReason, 0, segment.payloadLength)
      queue.passed(end, segment.ack, (segment.flags & PSH) !== 0)
      queue.restart(end)
      this.#farthest = end
    } else this.#countDuplicate(segment.payloadLength)
    return false
  }

  /** Frees everything, counting what is not acknowledged as dropped for `reason`. @param una offset of the first such byte */
  clear(una: Seq, reason: Drop): void {
    const pool = this.#pool
    let lost = 0
    for (let piece = this.#takeAll(); piece !== NONE; ) {
      lost += Math.max(0, distance(pool.end(piece), later(pool.offset(piece), una)))
      const next = pool.next(piece)
      pool.free(piece)
      piece = next
    }
    this.#ahead = NONE
    this.#countLost(lost, reason)
  }

  /** All pieces in order: those of the queue, which is empty then, and those beyond the hole. @returns the first, or NONE */
  #takeAll(): number {
    const queued = this.#queue.tail
    if (queued === NONE) return this.#ahead
    this.#pool.setNext(queued, this.#ahead)
    return this.#queue.takeAll()
  }

  /**
   * Keeps bytes [from, stop) between two pieces beyond the hole. @param before NONE: in front of all of them
   * @returns the last piece made, NONE if that went into the queue, or FULL
   */
  #keep(segment: Segment, from: Seq, stop: Seq, unit: number, before: number, next: number): number {
    const pool = this.#pool
    const cut = unit > PIECE_MAX ? PIECE_MAX : PIECE_MAX - (PIECE_MAX % unit)
    const begin = this.offsetOf(payloadSeq(segment))
    const end = add(begin, segment.payloadLength)
    let last = before
    for (let at = from; isBefore(at, stop); ) {
      const offset = distance(at, begin)
      const length = Math.min(cut, distance(stop, at))
      const isPushed = (segment.flags & PSH) !== 0 && offset + length === segment.payloadLength
      const piece = pool.add(segment, at, offset, length, Math.floor(offset / unit), isPushed)
      if (piece === NONE) {
        this.#refused ??= new Ranges()
        this.#refused.dropBefore(this.end)
        this.#refused.add(at, end)
        this.#refuse(Drop.PoolFull, distance(end, at))
        return FULL
      }
      this.#counters.add(Counter.pendingBytes, length)
      at = add(at, length)
      this.#farthest = later(this.#farthest, at)
      if (last === NONE && pool.offset(piece) === this.end) {
        this.#queue.append(piece)
        continue
      }
      pool.setNext(piece, next)
      if (last === NONE) this.#ahead = piece
      else pool.setNext(last, piece)
      if (next === NONE) this.#last = piece
      last = piece
    }
    if (last === NONE) this.#moveUp()
    return last
  }

  /** Moves pieces that touch the contiguous part into the queue. */
  #moveUp(): void {
    while (this.#ahead !== NONE && this.#pool.offset(this.#ahead) === this.end) {
      const piece = this.#ahead
      this.#ahead = this.#pool.next(piece)
      this.#queue.append(piece)
    }
  }

  #countDuplicate(bytes: number): void {
    if (bytes > 0) this.#counters.add(Counter.duplicateBytes, bytes)
  }

  #countLost(bytes: number, reason: Drop): void {
    this.#counters.add(Counter.pendingBytes, -bytes)
    if (bytes > 0) this.#counters.drop(reason, 0, bytes)
  }

  #refuse(reason: Drop, bytes: number): Drop {
    this.#counters.drop(reason, 0, bytes)
    return reason
  }
}
