/**
 * The client stream reassembles the client's bytes from captured segments, whatever retransmissions, overlaps,
 * reordering and super-packets there are. It appends contiguous pieces to the send queue at once and keeps pieces
 * beyond a hole in order. Where bytes arrive twice, the first copy stays.
 */
import { PSH, payloadSeq, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'
import { PendingFins } from '../belief/pending-fins.ts'
import type { Counters } from '../books/counters.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { Ranges } from '../memory/ranges.ts'
import { NONE, PIECE_MAX, type SendPool } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** How far beyond the contiguous part bytes are kept: half of the largest window (RFC 7323 §2.3). */
const AHEAD_MAX = 1 << 29
/** Result of `#keep`: the pool was full. */
const FULL = -2

export class ClientStream {
  /** Sequence number of the byte at offset 0. */
  base: Seq
  /** The first piece beyond a hole, linked to the others in order; or NONE. */
  #ahead = NONE
  /** The last piece beyond a hole; valid only if `#ahead` is. */
  #last = NONE
  /** Offset after the farthest byte that was taken, across holes. */
  #farthest: Seq
  /** The stream has reached the client's FIN at `finAt`. */
  hasFin = false
  finAt: Seq = seq(0)
  readonly #fins = new PendingFins()
  /**
   * After bytes were lost: bytes are dropped until a request certainly begins, so that the target never gets the rest
   * of a request whose beginning is lost.
   */
  isSeeking = false
  /** The session holds most of the pool: new bytes are dropped as if the pool were full. */
  isRefusing = false
  /** Why bytes are dropped while seeking. */
  #seekReason: Drop = Drop.None
  /** While seeking: no request is found before this time. */
  #seekFrom = 0
  /** Bytes that were dropped because the pool was full; created when first needed. */
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

  /** See `Snapshot`. Only while there are no pieces and no FIN. Doubtful FINs are forgotten. */
  save(snapshot: Snapshot): void {
    this.base = snapshot.seq(this.base)
    this.#farthest = snapshot.seq(this.#farthest)
    this.isSeeking = snapshot.flag(this.isSeeking)
    this.#seekReason = snapshot.short(this.#seekReason) as Drop // as: only a Drop is ever saved
    this.#queue.save(snapshot)
  }

  /** Offset after the last contiguous byte captured. */
  get end(): Seq {
    return this.#queue.end
  }

  /** The client's first acknowledgment number; 0: unknown. */
  get firstAck(): Seq {
    return this.#queue.firstAck
  }

  /** About how many bytes the stream holds. */
  get heldBytes(): number {
    return this.first === NONE ? 0 : (this.#farthest - this.#queue.acknowledgedEnd) >>> 0
  }

  /** The first piece, in the queue or beyond a hole; NONE if there is none. */
  get first(): number {
    return this.#queue.head === NONE ? this.#ahead : this.#queue.head
  }

  /** Offset of the first piece; of the end if there is none. */
  get firstAt(): Seq {
    return this.first === NONE ? this.end : this.#pool.offset(this.first)
  }

  /** True while bytes are missing between the contiguous part and a piece or FIN beyond it. */
  get hasHole(): boolean {
    return this.#ahead !== NONE || this.expectsFin
  }

  /** A FIN was captured beyond the contiguous part, and nothing speaks against it. */
  get expectsFin(): boolean {
    return !this.#fins.isEmpty && !this.#fins.isDoubtful
  }

  /** True if the hole's bytes were captured while the pool was full. The client does not send them again. */
  get isHoleOurs(): boolean {
    return this.hasHole && this.lacksRefused
  }

  /** True if the next bytes were captured while the pool was full, even if nothing was captured beyond them. */
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

  /** The offset of a sequence number of the client. */
  offsetOf(sequence: Seq): Seq {
    return seq(distance(sequence, this.base))
  }

  /**
   * Takes a captured segment's payload and counts each of its bytes as pending, duplicate or dropped.
   * @param unit segment size in bytes; longer pieces are a whole number of units where possible
   * @returns None if any new byte was kept
   */
  insert(segment: Segment, unit: number): Drop {
    const before = this.end
    const drop = this.isSeeking && !this.#finds(segment) ? this.#seekReason : this.#insert(segment, unit)
    if (!this.#fins.isEmpty) this.#reviewFins(before)
    return drop
  }

  #insert(segment: Segment, unit: number): Drop {
    const pool = this.#pool
    const queue = this.#queue
    const begin = this.offsetOf(payloadSeq(segment))
    const end = add(begin, segment.payloadLength)
    let from = later(begin, queue.end)
    this.#countDuplicate(distance(isBefore(end, from) ? end : from, begin))
    if (!isAfter(end, from)) return Drop.Duplicate
    if (this.hasFin && isAfter(end, this.finAt)) return this.#refuse(segment, Drop.BeyondEnd, distance(end, from))
    // Compare where it begins, because the end of a segment could be half the number space away and wrap.
    if (distance(from, queue.end) > AHEAD_MAX) return this.#refuse(segment, Drop.TooFarAhead, distance(end, from))
    if (this.isRefusing) return this.#refuseForPool(segment, from, end)
    // Beyond a hole, most segments follow the last piece. Do not walk the whole list for these.
    const isBehindAll = this.#ahead !== NONE && !isBefore(from, pool.end(this.#last))
    let before = isBehindAll ? this.#last : NONE
    let next = isBehindAll ? NONE : this.#ahead
    const isAtEnd = next === NONE && from === begin
    if (isAtEnd && this.#grows(isBehindAll ? this.#last : queue.tail, begin, segment, unit)) return Drop.None
    let result: Drop = Drop.Duplicate
    while (isBefore(from, end)) {
      // Skip the pieces before it, then take the bytes up to the next piece.
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
      // It filled the hole, and pieces beyond the hole may cover the rest of the segment.
      const reached = isBefore(queue.end, end) ? queue.end : end
      this.#countDuplicate(distance(reached, stop))
      from = later(stop, reached)
      next = this.#ahead
    }
    return result
  }

  /** Appends a segment's payload to the last piece if `SendPool.extend` allows it. @returns false if not */
  #grows(last: number, begin: Seq, segment: Segment, unit: number): boolean {
    if (last === NONE || this.#pool.end(last) !== begin) return false
    if (!this.#pool.extend(last, segment, unit)) return false
    if (last === this.#queue.tail) this.#queue.grew()
    this.#farthest = later(this.#farthest, this.#pool.end(last))
    this.#counters.add(Counter.pendingBytes, segment.payloadLength)
    return true
  }

  /** Takes the client's FIN at an offset, which the stream may still have to reach. @returns None, or why it is dropped */
  close(at: Seq): Drop {
    if (this.hasFin || isBefore(at, this.end)) return Drop.Duplicate
    if (at === this.end) {
      this.#freeFrom(this.#ahead, at, Drop.BeyondEnd)
      this.#ahead = NONE
      this.#endAt(at)
      return Drop.None
    }
    if (isBefore(at, this.#farthest)) return Drop.Duplicate
    if (distance(at, this.end) > AHEAD_MAX) return Drop.TooFarAhead
    this.#fins.add(at)
    return Drop.None
  }

  #endAt(at: Seq): void {
    this.hasFin = true
    this.finAt = at
    this.#fins.clear()
  }

  /** The stream has taken bytes while FINs are ahead of it. @param before its end before that */
  #reviewFins(before: Seq): void {
    const fins = this.#fins
    fins.passed(this.#farthest)
    if (fins.has(this.end)) this.#endAt(this.end)
    else if (this.end !== before) fins.isDoubtful = true
  }

  /**
   * Prepares the stream for another connection. Drops the bytes before the first request that begins at or after `una`.
   * If none is held, the stream seeks one in what is captured later.
   * @param una offset of the first unacknowledged byte
   * @param isSkipping drops a request that begins at `una` too; @param isForgetting drops everything that is held
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
      queue.giveUp(piece, reason)
      queue.discard(piece)
      piece = next
    }
    this.#countLost(lost, reason)
    queue.takeBack(piece)
    this.#ahead = piece
    queue.restart(piece === NONE ? queue.frontEnd : pool.offset(piece))
    this.#seekReason = reason
    // Before its first byte nothing is lost, and the first request begins there.
    this.isSeeking = piece === NONE && (isForgetting || !queue.isAtStart)
    this.#moveUp()
    // The bytes in front of a FIN may be what is given up.
    const isLast = piece === NONE && reason === Drop.Hole && this.expectsFin
    if (isLast || this.#fins.has(this.end)) this.#endAt(this.end)
  }

  /** Drops what is held and what is captured before `until`, then seeks. */
  pause(until: number): void {
    this.resume(this.#queue.acknowledgedEnd, false, true, Drop.ReconnectPaused)
    this.#seekFrom = until
  }

  /** While seeking: drops the segment's bytes unless a request begins with it. @returns true if one does */
  #finds(segment: Segment): boolean {
    const queue = this.#queue
    const begin = this.offsetOf(payloadSeq(segment))
    const end = add(begin, segment.payloadLength)
    if (this.#pool.now >= this.#seekFrom && queue.beginsRequest(begin, segment.ack)) {
      this.isSeeking = false
      queue.restart(begin)
      return true
    }
    if (isAfter(end, queue.frontEnd)) {
      this.#counters.drop(this.#seekReason, 0, segment.payloadLength)
      queue.requests.refuse(segment.ack, this.#seekReason)
      queue.passed(end, segment.ack, (segment.flags & PSH) !== 0)
      queue.restart(end)
      this.#farthest = end
    } else this.#countDuplicate(segment.payloadLength)
    return false
  }

  /** Frees all pieces. Unacknowledged bytes count as dropped for `reason`. @param una offset of the first of them */
  clear(una: Seq, reason: Drop): void {
    this.#freeFrom(this.#takeAll(), una, reason)
    this.#ahead = NONE
  }

  /** Frees a piece and those linked to it. Their bytes from `una` on count as dropped. */
  #freeFrom(first: number, una: Seq, reason: Drop): void {
    const pool = this.#pool
    let lost = 0
    for (let piece = first; piece !== NONE; ) {
      lost += Math.max(0, distance(pool.end(piece), later(pool.offset(piece), una)))
      const next = pool.next(piece)
      this.#queue.giveUp(piece, reason)
      pool.free(piece)
      piece = next
    }
    this.#countLost(lost, reason)
  }

  /**
   * Links the pieces of the queue, which is empty afterwards, and those beyond the hole.
   * @returns the first, or NONE
   */
  #takeAll(): number {
    const queued = this.#queue.tail
    if (queued === NONE) return this.#ahead
    this.#pool.setNext(queued, this.#ahead)
    return this.#queue.takeAll()
  }

  /**
   * Keeps bytes [from, stop) between the pieces `before` and `next`.
   * @param before NONE: before all pieces beyond the hole
   * @returns the last piece added; NONE if it was appended to the queue; or FULL
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
        this.#refuseForPool(segment, at, end)
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

  /** Moves pieces that have become contiguous to the queue. */
  #moveUp(): void {
    while (this.#ahead !== NONE && this.#pool.offset(this.#ahead) === this.end) {
      const piece = this.#ahead
      this.#ahead = this.#pool.next(piece)
      this.#queue.append(piece)
    }
  }

  /** Drops bytes [from, end) for which there is no space. The client does not send them again. */
  #refuseForPool(segment: Segment, from: Seq, end: Seq): Drop {
    this.#refused ??= new Ranges()
    this.#refused.dropBefore(this.end)
    this.#refused.add(from, end)
    return this.#refuse(segment, Drop.PoolFull, distance(end, from))
  }

  #countDuplicate(byteCount: number): void {
    if (byteCount > 0) this.#counters.add(Counter.duplicateBytes, byteCount)
  }

  #countLost(byteCount: number, reason: Drop): void {
    this.#counters.add(Counter.pendingBytes, -byteCount)
    if (byteCount > 0) this.#counters.drop(reason, 0, byteCount)
  }

  #refuse({ ack }: Segment, reason: Drop, byteCount: number): Drop {
    this.#counters.drop(reason, 0, byteCount)
    this.#queue.requests.refuse(ack, reason)
    return reason
  }
}
