/**
 * Acknowledgments that are let out later than they could be, so that a client with a long round trip is slow for the
 * target as well: for each edge of the answer when it may be acknowledged.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import { type Seq, seq } from '../../wire/seq.ts'

/** When more wait, the latest are acknowledged together. */
const EDGES_MAX = 64

export class AckPacer {
  readonly #edges = new Int32Array(EDGES_MAX)
  readonly #dueAt = new Float64Array(EDGES_MAX)
  #first = 0
  #count = 0
  /** When the latest edge is due, or when one was let out later than that. */
  lastAt = Number.NEGATIVE_INFINITY

  /** Everything before `edge` may be acknowledged at `dueAt`; that covers edges before it that are due later. */
  note(edge: Seq, dueAt: number): void {
    while (this.#count > 0 && float64At(this.#dueAt, this.#last()) >= dueAt) this.#count -= 1
    if (this.#count < EDGES_MAX) this.#count += 1
    const last = this.#last()
    this.#edges[last] = edge
    this.#dueAt[last] = dueAt
    this.lastAt = dueAt
  }

  /** When the next edge is due; Infinity if none waits. */
  get nextAt(): number {
    return this.#count === 0 ? Number.POSITIVE_INFINITY : float64At(this.#dueAt, this.#first)
  }

  /** @returns the latest edge that is due, or `otherwise` */
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
