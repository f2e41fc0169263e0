/**
 * Books the requests of one session: each waits, is sent, and ends in exactly one outcome. The gate says which; the client
 * stream says what is given up before it is sent.
 */

import type { Seq } from '../../wire/seq.ts'
import { seq } from '../../wire/seq.ts'
import type { Drop } from '../books/drop.ts'
import { type RequestBooks, RequestCount } from '../books/request-books.ts'
import { OverdueRequests } from './overdue-requests.ts'
import { RequestStarts } from './request-starts.ts'
import type { Snapshot } from './snapshot.ts'

export class SessionRequests {
  readonly starts = new RequestStarts()
  /** Sent, with nothing sent after them; usually one at most. */
  current = 0
  /** Offset after the last byte sent, when a connection has ended. Written by the session. */
  sentEnd: Seq = seq(0)
  /** Answer bytes of the target that are due for all that were overtaken on the connection. */
  overdueEnd = 0
  /** Created when first needed. */
  #overdue: OverdueRequests | undefined
  readonly #books: RequestBooks
  readonly #map: number

  /** @param map index of the `-x` */
  constructor(books: RequestBooks, map: number) {
    this.#books = books
    this.#map = map
  }

  /** See `Snapshot`. Only while none waits. Those that were overtaken are saved as one. */
  save(snapshot: Snapshot): void {
    this.starts.save(snapshot)
    this.current = snapshot.whole(this.current)
    const overdue = this.overdueCount
    const count = snapshot.whole(overdue)
    this.overdueEnd = snapshot.number(this.overdueEnd)
    if (count > 0 && overdue === 0) this.#overdueOnes().add(this.overdueEnd, count, Number.NEGATIVE_INFINITY)
  }

  /** Sent requests without an outcome. */
  get open(): number {
    return this.current + this.overdueCount
  }

  /** Of these, those that were overtaken by others. */
  get overdueCount(): number {
    return this.#overdue === undefined ? 0 : this.#overdue.count
  }

  /** A request was captured and waits. */
  begin(): void {
    this.#books.began(this.#map)
  }

  /** Bytes were captured and do not become part of the stream. @param ack their acknowledgment number */
  refuse(ack: Seq, reason: Drop): void {
    if (this.starts.refuses(ack)) this.#books.refuse(this.#map, reason)
  }

  /** A waiting request is given up. */
  giveUp(reason: Drop): void {
    this.#books.giveUp(this.#map, reason)
  }

  /** The next waiting request is sent. */
  release(): void {
    this.current += 1
  }

  /** The request that was sent last waits again, for another connection. @returns false: all have outcomes already */
  takeBack(): boolean {
    if (this.open === 0) return false
    if (this.current > 0) this.current -= 1
    else this.#overdue?.removeNewest()
    return true
  }

  /** The current ones have ended so. */
  settle(outcome: RequestCount): void {
    this.#books.settle(this.#map, outcome, this.current)
    this.current = 0
  }

  /**
   * The next one is sent although the current ones are not answered.
   * @param due, since see `OverdueRequests`
   */
  overtake(due: number, since: number): void {
    this.#overdueOnes().add(due, this.current, since)
    this.overdueEnd = due
    this.current = 0
  }

  /**
   * Settles those that were overtaken and are answered meanwhile.
   * @param received answer bytes of the target; @param lateBefore those whose clients had read earlier are late
   */
  settleOverdue(received: number, lateBefore: number): void {
    const overdue = this.#overdue
    if (overdue === undefined) return
    for (let count = overdue.takeAnswered(received); count > 0; count = overdue.takeAnswered(received)) {
      const isLate = overdue.takenSince <= lateBefore
      this.#books.settle(this.#map, isLate ? RequestCount.AnsweredLate : RequestCount.Answered, count)
    }
  }

  /** Those that are sent get no answer. */
  leaveUnanswered(reason: Drop): void {
    this.overdueEnd = 0
    const count = this.current + (this.#overdue?.takeAll() ?? 0)
    this.current = 0
    if (count > 0) this.#books.leaveUnanswered(this.#map, reason, count)
  }

  #overdueOnes(): OverdueRequests {
    this.#overdue ??= new OverdueRequests()
    return this.#overdue
  }
}
