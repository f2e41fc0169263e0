/**
 * What is to be delivered to the target, in order: pieces of the client's stream from their capture until the target has
 * acknowledged them. Offsets count from the first byte of the client's connection, as `Seq` does.
 *
 * The client side appends, the gate admits, the target side reads, and the session frees what the target has.
 */
import { distance, isAfter, type Seq } from '../../wire/seq.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { NONE, type SendPool } from './send-pool.ts'
import type { Snapshot } from './snapshot.ts'

export class SendQueue {
  readonly pool: SendPool
  /** The first piece that is not wholly acknowledged, or NONE. */
  head = NONE
  /** The last piece, or NONE. */
  tail = NONE
  /** One beyond the last byte. */
  end: Seq
  /** One beyond the last byte that the target has acknowledged. */
  acknowledgedEnd: Seq
  /** The last piece that was admitted, and is not freed; or NONE. What it grows by is admitted too. */
  #admitted = NONE
  /** Where it ended, once it is freed. */
  #admittedEnd: Seq
  /** What came before the head: where it ended, the acknowledgment with it, and whether it had PSH. */
  #frontEnd: Seq
  #frontAck: Seq
  #isFrontPushed = true
  /** Nothing came before the head: a request begins there. */
  #isAtStart = true
  /** The client's first acknowledgment: bytes of a SYN (RFC 7413) have none of their own. */
  firstAck: Seq
  readonly #counters: Counters

  /** @param start offset of the first byte */
  constructor(start: Seq, pool: SendPool, counters: Counters) {
    this.pool = pool
    this.#counters = counters
    this.end = start
    this.#admittedEnd = start
    this.acknowledgedEnd = start
    this.#frontEnd = start
    this.#frontAck = start
    this.firstAck = start
  }

  /** See `Snapshot`. Only while it is empty. */
  save(snapshot: Snapshot): void {
    this.end = snapshot.seq(this.end)
    this.#admittedEnd = this.end
    this.acknowledgedEnd = this.end
    this.#frontEnd = snapshot.seq(this.#frontEnd)
    this.#frontAck = snapshot.seq(this.#frontAck)
    this.firstAck = snapshot.seq(this.firstAck)
    this.#isFrontPushed = snapshot.flag(this.#isFrontPushed)
    this.#isAtStart = snapshot.flag(this.#isAtStart)
  }

  /** Where what came before the head ended. */
  get frontEnd(): Seq {
    return this.#frontEnd
  }

  /** Takes a piece that begins at `end`, which belongs to the queue from now on. */
  append(piece: number): void {
    this.pool.setNext(piece, NONE)
    if (this.tail === NONE) this.head = piece
    else this.pool.setNext(this.tail, piece)
    this.tail = piece
    this.end = this.pool.end(piece)
  }

  /** The last piece has grown. */
  grew(): void {
    this.end = this.pool.end(this.tail)
  }

  /** One beyond the last byte that may go to the target. */
  get admittedEnd(): Seq {
    return this.#admitted === NONE ? this.#admittedEnd : this.pool.end(this.#admitted)
  }

  /** The first piece that may not go yet, or NONE. */
  get nextToAdmit(): number {
    return this.#admitted === NONE ? this.head : this.pool.next(this.#admitted)
  }

  /** Lets `piece`, which is `nextToAdmit`, go to the target. */
  admit(piece: number): void {
    this.#admitted = piece
  }

  /** The target has all in front of `offset`: counts it as delivered, and frees the pieces that lie wholly there. */
  acknowledge(offset: Seq): void {
    const upTo = isAfter(offset, this.end) ? this.end : offset
    const bytes = distance(upTo, this.acknowledgedEnd)
    if (bytes <= 0) return
    this.acknowledgedEnd = upTo
    this.#counters.add(Counter.deliveredBytes, bytes)
    this.#counters.add(Counter.pendingBytes, -bytes)
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

  /** Frees a piece that came next behind what was freed before, and remembers what stands in front of the next one. */
  discard(piece: number): void {
    const { pool } = this
    this.passed(pool.end(piece), pool.isFromSyn(piece) ? this.firstAck : pool.ack(piece), pool.isPushed(piece))
    pool.free(piece)
  }

  /** Bytes up to `end` are not in front of the head any more, or were never put there. */
  passed(end: Seq, ack: Seq, isPushed: boolean): void {
    this.#frontEnd = end
    this.#frontAck = ack
    this.#isFrontPushed = isPushed
    this.#isAtStart = false
  }

  /** True if a request surely begins at `at`: it follows on what came last, and the client had read more before it. */
  beginsRequest(at: Seq, ack: Seq): boolean {
    if (at !== this.#frontEnd) return false
    return this.#isAtStart || (this.#isFrontPushed && isAfter(ack, this.#frontAck))
  }

  /** Gives all its pieces away, linked, and is empty. @returns the first, or NONE */
  takeAll(): number {
    const first = this.head
    this.head = NONE
    this.tail = NONE
    this.#admitted = NONE
    return first
  }

  /** Goes on at another offset, for a target that has nothing yet. Only while it is empty. */
  restart(at: Seq): void {
    this.end = at
    this.#admittedEnd = at
    this.acknowledgedEnd = at
  }
}
