/**
 * Holds doubtful segments until a second one agrees with them: a fixed number for all sessions of a worker, at most one
 * for each. If the table is full, the oldest is dropped, so forged packets cannot make it grow.
 */
import { copyAndSum } from '../../wire/checksum.ts'
import { Segment } from '../../wire/segment.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'

export const HELD_MAX = 64
/** Longest TCP header and payload that is held, in bytes. */
const LENGTH_MAX = 1 << 16
/** No ticket. */
export const NOT_HELD = 0

class Place {
  readonly segment = new Segment()
  readonly memory = new Uint8Array(LENGTH_MAX)
  ticket = NOT_HELD
}

export class HeldSegments {
  readonly #counters: Counters
  /** Made when first needed. */
  readonly #places: Place[] = []
  #ticket = NOT_HELD

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /** Copies a segment; its payload counts as pending. @returns its ticket; NOT_HELD: it is too long and was dropped */
  hold(segment: Segment): number {
    const { tcpAt, tcpLength, payloadAt, payloadLength } = segment
    if (tcpLength > LENGTH_MAX) {
      this.#counters.drop(Drop.Implausible, 0, payloadLength)
      return NOT_HELD
    }
    const place = this.#free()
    const { memory } = place
    const { sackEdges } = place.segment
    copyAndSum(segment.bytes, tcpAt, memory, 0, tcpLength)
    const moved = { bytes: memory, tcpAt: 0, payloadAt: payloadAt - tcpAt }
    Object.assign(place.segment, segment, moved, { sackEdges, sackCount: 0 })
    this.#counters.add(Counter.pendingBytes, payloadLength)
    place.ticket = ++this.#ticket
    return place.ticket
  }

  /**
   * Gives up a place. The segment's payload no longer counts as pending.
   * @returns the segment, valid until the next `hold`; undefined if it was dropped meanwhile
   */
  take(ticket: number): Segment | undefined {
    if (ticket === NOT_HELD) return undefined
    const place = this.#places.find((one) => one.ticket === ticket)
    if (place === undefined) return undefined
    place.ticket = NOT_HELD
    this.#counters.add(Counter.pendingBytes, -place.segment.payloadLength)
    return place.segment
  }

  drop(ticket: number): void {
    const segment = this.take(ticket)
    if (segment !== undefined) this.#counters.drop(Drop.Implausible, 0, segment.payloadLength)
  }

  /** A free place. If there is none, the oldest segment makes room. */
  #free(): Place {
    const free = this.#places.find((one) => one.ticket === NOT_HELD)
    if (free !== undefined) return free
    if (this.#places.length < HELD_MAX) {
      const place = new Place()
      this.#places.push(place)
      return place
    }
    const oldest = this.#places.reduce((first, one) => (one.ticket < first.ticket ? one : first))
    this.drop(oldest.ticket)
    return oldest
  }
}
