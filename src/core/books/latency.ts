/**
 * Measures the latency of the copy: the time from an answer's arrival at the assistant until the client's next request,
 * which waited for it, is sent. This is how far the copy lags if the client does not pause. Requests that did not wait
 * are not included.
 */
import { float64At } from '../../wire/bytes.ts'
import type { Histogram } from './histogram.ts'

export class Latency {
  readonly #histogram: Histogram
  /** For each request in the outbox: when the answer that it waited for arrived. */
  readonly #arrivals: Float64Array
  #count = 0

  /**
   * @param histogram takes microseconds
   * @param departuresMax limit of requests in the outbox at once; further ones are not counted
   */
  constructor(histogram: Histogram, departuresMax: number) {
    this.#histogram = histogram
    this.#arrivals = new Float64Array(departuresMax)
  }

  /** A request was added to the outbox. @param arrivedAt when the answer that it waited for arrived, in ms */
  departs(arrivedAt: number): void {
    if (this.#count < this.#arrivals.length) this.#arrivals[this.#count++] = arrivedAt
  }

  /** Whether `departed` has something to count; if not, the caller need not read the clock. */
  get hasDepartures(): boolean {
    return this.#count > 0
  }

  /** Everything in the outbox was sent. */
  departed(now: number): void {
    for (let index = 0; index < this.#count; index++)
      this.#histogram.add((now - float64At(this.#arrivals, index)) * 1000)
    this.#count = 0
  }
}
