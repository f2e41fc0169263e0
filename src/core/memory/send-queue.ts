/**
 * The send queue holds pieces of the client's stream in order, from their capture until the target has acknowledged
 * them. Offsets are `Seq` and count from the first byte of the client's connection.
 *
 * The client side appends pieces, the gate admits them, the target side reads them, and the session frees them.
 */
import { add, distance, isAfter, isBefore, type Seq } from '../../wire/seq.ts'
import { Counter, type Counters } from '../books/counters.ts'
import type { Drop } from '../books/drop.ts'
import { NONE, type SendPool } from './send-pool.ts'
import { SessionRequests } from './session-requests.ts'
import type { Snapshot } from './snapshot.ts'

export class SendQueue {
  readonly pool: SendPool
  /** The first piece that is not completely acknowledged, or NONE. */
  head = NONE
  /** The last piece, or NONE. */
  tail = NONE
  /** Offset after the last byte. */
  end: Seq
  /** Offset after the last byte that the target has acknowledged. */
  acknowledgedEnd: Seq
  /** The last admitted piece, or NONE if it is freed. Bytes by which it grows are admitted too. */
  #admitted = NONE
  /** Where the last admitted piece ended, once it is freed. */
  #admittedEnd: Seq
  /** The bytes before the head: where they ended, their acknowledgment number, and whether they had PSH. */
  #frontEnd: Seq
  #frontAck: Seq
  #isFrontPushed = true
  /** Nothing was before the head, so a request begins there. */
  #isAtStart = true
  /** The client's first acknowledgment number. It stands in for that of bytes in a SYN (RFC 7413). */
  firstAck: Seq
  readonly #counters: Counters
  readonly #map: number
  /** Created when first needed, since many connections never get so far. */
  #requests: SessionRequests | undefined

  /** @param start offset of the first byte to deliver; @param map index of the `-x`, for the books of requests */
  constructor(start: Seq, pool: SendPool, counters: Counters, map = 0) {
    this.pool = pool
    this.#map = map
    this.#counters = counters
    this.end = start
    this.#admittedEnd = start
    this.acknowledgedEnd = start
    this.#frontEnd = start
    this.#frontAck = start
    this.firstAck = start
  }

  /** See `Snapshot`. Only while the queue is empty. */
  save(snapshot: Snapshot): void {
    this.end = snapshot.seq(this.end)
    this.#admittedEnd = this.end
    this.acknowledgedEnd = this.end
    this.#frontEnd = snapshot.seq(this.#frontEnd)
    this.#frontAck = snapshot.seq(this.#frontAck)
    this.firstAck = snapshot.seq(this.firstAck)
    this.#isFrontPushed = snapshot.flag(this.#isFrontPushed)
    this.#isAtStart = snapshot.flag(this.#isAtStart)
    this.requests.save(snapshot)
  }

  get requests(): SessionRequests {
    this.#requests ??= new SessionRequests(this.#counters.requests, this.#map)
    return this.#requests
  }

  /** Takes the client's first acknowledgment number. */
  connects(ack: Seq): void {
    this.firstAck = ack
    this.#requests?.starts.connects(ack)
  }

  /** Offset after the bytes before the head. */
  get frontEnd(): Seq {
    return this.#frontEnd
  }

  /** Takes ownership of a piece that begins at `end`. */
  append(piece: number): void {
    this.pool.setNext(piece, NONE)
    this.begins(piece)
    if (this.tail === NONE) this.head = piece
    else this.pool.setNext(this.tail, piece)
    this.tail = piece
    this.end = this.pool.end(piece)
  }

  /** Notes whether a request begins with the next piece of the stream. It may be shown again. */
  begins(piece: number): void {
    const { pool, requests } = this
    const { starts } = requests
    if (pool.isFromSyn(piece) ? !starts.beginsInSyn() : !starts.begins(pool.ack(piece))) return
    pool.markStart(piece)
    requests.begin()
  }

  /** The request that begins with a piece is given up, unless it was sent. The next to be given up follows it. */
  giveUp(piece: number, reason: Drop): void {
    const { pool, requests } = this
    // Pieces beyond a hole were not looked at yet.
    this.begins(piece)
    if (!pool.isStart(piece)) return
    if (pool.isReleased(piece)) {
      if (isBefore(pool.offset(piece), requests.sentEnd)) return
      if (!requests.takeBack()) return
    }
    requests.giveUp(reason)
  }

  /** The requests that begin with a piece and those linked to it wait again, for another connection. */
  takeBack(first: number): void {
    const { pool } = this
    for (let piece = first; piece !== NONE; piece = pool.next(piece)) {
      if (!pool.isReleased(piece)) continue
      pool.clearMarks(piece)
      if (this.requests.takeBack()) pool.markStart(piece)
    }
  }

  /** The last piece has grown. */
  grew(): void {
    this.end = this.pool.end(this.tail)
  }

  /** Offset after the last byte that may go to the target. */
  get admittedEnd(): Seq {
    return this.#admitted === NONE ? this.#admittedEnd : this.pool.end(this.#admitted)
  }

  /** The first piece that is not admitted yet, or NONE. */
  get nextToAdmit(): number {
    return this.#admitted === NONE ? this.head : this.pool.next(this.#admitted)
  }

  /** Admits `piece`, which is `nextToAdmit`: it may go to the target. */
  admit(piece: number): void {
    this.#admitted = piece
  }

  /** The target has all bytes before `offset`. Counts them as delivered and frees the pieces before it. */
  acknowledge(offset: Seq): void {
    const upTo = isAfter(offset, this.end) ? this.end : offset
    const byteCount = distance(upTo, this.acknowledgedEnd)
    if (byteCount <= 0) return
    this.acknowledgedEnd = upTo
    this.#counters.add(Counter.deliveredBytes, byteCount)
    this.#counters.add(Counter.pendingBytes, -byteCount)
    while (this.head !== NONE && !isAfter(this.pool.end(this.head), upTo)) {
      const piece = this.head
      this.head = this.pool.next(piece)
      if (piece === this.tail) this.tail = NONE
      if (piece === this.#admitted) {
        this.#admitted = NONE
        this.#admittedEnd = this.pool.end(piece)
      }
      this.discard(piece)
    }
  }

  /** Frees the piece that follows the bytes freed before, and remembers what `beginsRequest` needs of it. */
  discard(piece: number): void {
    const { pool } = this
    this.passed(pool.end(piece), pool.isFromSyn(piece) ? this.firstAck : pool.ack(piece), pool.isPushed(piece))
    pool.free(piece)
  }

  /** Bytes up to `end` have left the queue, or were never in it. */
  passed(end: Seq, ack: Seq, isPushed: boolean): void {
    this.#frontEnd = end
    this.#frontAck = ack
    this.#isFrontPushed = isPushed
    this.#isAtStart = false
  }

  /** True if a request certainly begins at `at`: it follows the last bytes, and the client had read more in between. */
  beginsRequest(at: Seq, ack: Seq): boolean {
    if (at !== this.#frontEnd) return false
    return this.#isAtStart || (this.#isFrontPushed && isAfter(ack, this.#frontAck))
  }

  /**
   * Whether a request certainly begins behind the last byte, with the client's next payload.
   * @param ack acknowledgment number of that payload
   */
  mayBeginNext(ack: Seq): boolean {
    const { tail, pool } = this
    if (tail === NONE) return this.end === this.#frontEnd && this.beginsRequest(this.end, ack)
    return pool.isPushed(tail) && isAfter(ack, pool.isFromSyn(tail) ? this.firstAck : pool.ack(tail))
  }

  /**
   * Acknowledgment number of the client's last request, or one that is less than that of the first; undefined if it
   * never acknowledged anything.
   */
  get lastRequestAck(): Seq | undefined {
    return this.#requests?.starts.lastAck ?? (this.firstAck === 0 ? undefined : add(this.firstAck, -1))
  }

  /** Nothing has left the queue yet. */
  get isAtStart(): boolean {
    return this.#isAtStart
  }

  /** Acknowledgment number of the bytes before the head; undefined if these did not end with PSH. */
  get pushedAck(): Seq | undefined {
    return this.#isFrontPushed ? this.#frontAck : undefined
  }

  /** Gives up ownership of all pieces, which stay linked. @returns the first, or NONE */
  takeAll(): number {
    const first = this.head
    this.head = NONE
    this.tail = NONE
    this.#admitted = NONE
    return first
  }

  /** Continues at another offset, for a new connection to the target. Only while the queue is empty. */
  restart(at: Seq): void {
    this.end = at
    this.#admittedEnd = at
    this.acknowledgedEnd = at
  }
}
