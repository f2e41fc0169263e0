/**
 * Counts the requests of connections that have no session: they are left out, refused, not joined yet, or their copy has
 * ended before they did. Where no other table knows the connection, a table of fixed size remembers its last request. If
 * it loses its place there, a request may count twice or not at all.
 */

import { int32At } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'
import type { Segment } from '../../wire/segment.ts'
import { isAfter, type Seq, seq } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import type { RequestBooks } from '../books/request-books.ts'
import { RecentFlows } from '../memory/recent-flows.ts'
import type { Mapping } from '../selection/mapping.ts'

const PLACES = 1 << 12

export class UncopiedRequests {
  readonly #books: RequestBooks
  readonly #mapping: Mapping
  readonly #flows = new RecentFlows(PLACES)
  /** By place: the acknowledgment number of the last request. Allocated with the first flow. */
  #acks = new Int32Array(0)
  readonly #flow = new Flow()

  constructor(books: RequestBooks, mapping: Mapping) {
    this.#books = books
    this.#mapping = mapping
  }

  /** Passes both addresses of every flow to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#flows.eachAddress(take)
  }

  /** A request begins with a segment that is dropped. It counts once, for the first `-x`. */
  refuse({ toAddress, toPort }: Segment, reason: Drop): void {
    const [map] = this.#mapping.find(toAddress, toPort)
    if (map !== undefined) this.#books.refuse(map, reason)
  }

  /** Takes payload that is dropped, of a connection that only this table may know. */
  take(segment: Segment, reason: Drop, now: number): void {
    const flow = this.#flow.fromClient(segment)
    const place = this.#flows.find(flow)
    // What follows the end of a connection was sent before.
    if (place < 0 && reason === Drop.AfterEnd) return
    if (place >= 0 && !isAfter(segment.ack, seq(int32At(this.#acks, place)))) return
    this.leave(flow, segment.ack, now)
    this.refuse(segment, reason)
  }

  /** The copy of a connection has ended, and the connection continues. @param ack acknowledgment number of its last request */
  leave(flow: Flow, ack: Seq, now: number): void {
    if (this.#acks.length === 0) this.#acks = new Int32Array(PLACES)
    this.#acks[this.#flows.set(flow, now)] = ack
  }
}
