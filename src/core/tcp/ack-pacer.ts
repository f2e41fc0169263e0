/**
 * Delays acknowledgments, so that a client with a long round trip is as slow for the target as for the source. It keeps
 * a queue of edges of the answer, each with the time from which it may be acknowledged.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import { type Seq, seq } from '../../wire/seq.ts'

/** With a full queue, a new edge replaces the latest one. */
const EDGES_MAX = 64

export class AckPacer {
  readonly #edges = new Int32Array(EDGES_MAX)
  readonly #dueAt = new Float64Array(EDGES_MAX)
  #first = 0
  #count = 0
  /** When the latest edge is due; or when `take` returned it, if that was later. */
  lastAt = Number.NEGATIVE_INFINITY

  /** Allows to acknowledge everything before `edge` from `dueAt` on. Earlier edges that are due later are dropped. */
  note(edge: Seq, dueAt: number): void {
    while (this.#count > 0 && float64At(this.#dueAt, this.#last()) >= dueAt) this.#count -= 1
    if (this.#count < EDGES_MAX) this.#count += 1
    const last = this.#last()
    this.#edges[last] = edge
    this.#dueAt[last] = dueAt
    this.lastAt = dueAt
  }

  /** When the next edge is due; Infinity if the queue is empty. */
  get nextAt(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : float64At(this.#dueAt, this.#first)
  }

  /** Removes all edges that are due. @returns the latest of them, or `otherwise` if none is due */
  take(now: number, otherwise: Seq): Seq {
    let edge = otherwise
    while (this.nextAt <= now) {
      this.lastAt = Math.max(this.lastAt, now)
      edge = seq(int32At(this.#edges, this.#first))
      this.#first = (this.#first + 1) % EDGES_MAX
      this.#count -= 1
    }
    return edge
  }

  clear(): void {
    this.#count = 0
  }

  #last(): number {
    return (this.#first + this.#count - 1) % EDGES_MAX
  }
}
