/**
 * How long it takes from an answer's arrival at the assistant until the client's next request, which waited for it, is
 * sent: what a copy is behind on a connection whose client does not pause. Requests that waited for nothing are none of
 * its business.
 */
import { float64At } from '../../wire/bytes.ts'
import type { Histogram } from './histogram.ts'

export class Latency {
  readonly #histogram: Histogram
  /** When the answers came for which the requests waited that are in the outbox. */
  readonly #arrivals: Float64Array
  #count = 0

  /**
   * @param histogram of microseconds
   * @param departuresMax requests in the outbox at once; of more the first are counted
   */
  constructor(histogram: Histogram, departuresMax: number) {
    this.#histogram = histogram
    this.#arrivals = new Float64Array(departuresMax)
  }

  /** A request is put into the outbox. @param arrivedAt when the answer came that it waited for */
  departs(arrivedAt: number): void {
    if (this.#count < this.#arrivals.length) this.#arrivals[this.#count++] = arrivedAt
  }

  /** Whether `departed` has something to count: that may spare a look at the clock. */
  get hasDepartures(): boolean {
    return this.#count > 0
  }

  /** All that was in the outbox has been sent. */
  departed(now: number): void {
    for (let index = 0; index < this.#count; index++)
      this.#histogram.add((now - float64At(this.#arrivals, index)) * 1000)
    this.#count = 0
  }
}
