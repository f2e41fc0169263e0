/**
 * Requests of a session that others have overtaken before they were answered, in the order in which they were sent. Each
 * is answered once the target has answered so many bytes in all. Of many, the newest share one entry.
 */
import { float64At } from '../../wire/bytes.ts'

const ENTRIES = 16
/** Numbers of an entry: answer bytes of the target that are due, requests, and since when the client has its answer. */
const NUMBERS = 3

export class OverdueRequests {
  /** Requests in all entries. */
  count = 0
  /** Since when the client had the answer to the requests that were taken last. */
  takenSince = 0
  #first = 0
  #entries = 0
  readonly #numbers = new Float64Array(ENTRIES * NUMBERS)

  /**
   * @param due answer bytes of the target when they are answered; @param since when the client had read the source's
   * answer; −Infinity: so long ago that they are late
   */
  add(due: number, count: number, since: number): void {
    const isFull = this.#entries === ENTRIES
    if (!isFull) this.#entries += 1
    const at = this.#at(this.#entries - 1)
    this.#numbers[at] = due
    this.#numbers[at + 1] = count + (isFull ? float64At(this.#numbers, at + 1) : 0)
    if (!isFull) this.#numbers[at + 2] = since
    this.count += count
  }

  /** Removes the newest request. */
  removeNewest(): void {
    const at = this.#at(this.#entries - 1)
    const count = float64At(this.#numbers, at + 1) - 1
    this.#numbers[at + 1] = count
    this.count -= 1
    if (count === 0) this.#entries -= 1
  }

  /** Removes the oldest entry if it is answered. @returns how many requests it stands for, or 0 */
  takeAnswered(received: number): number {
    if (this.#entries === 0) return 0
    const at = this.#at(0)
    if (received < float64At(this.#numbers, at)) return 0
    const count = float64At(this.#numbers, at + 1)
    this.takenSince = float64At(this.#numbers, at + 2)
    this.#first = (this.#first + 1) % ENTRIES
    this.#entries -= 1
    this.count -= count
    return count
  }

  /** Removes all. @returns how many requests */
  takeAll(): number {
    const { count } = this
    this.count = 0
    this.#entries = 0
    return count
  }

  #at(index: number): number {
    return ((this.#first + index) % ENTRIES) * NUMBERS
  }
}
