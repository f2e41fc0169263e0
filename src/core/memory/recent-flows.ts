/**
 * A table of flows with a fixed size. Each flow has a few possible places; if all are in use, the flow that was set
 * longest ago gives up its place. So a flood of flows costs neither memory nor time, only older flows. The owner keeps
 * what it knows of a flow in arrays of its own, by place.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import type { Flow } from '../../wire/flow.ts'

/** Places of one flow. */
const WAYS = 8
/** Client address, server address, both ports. */
const WORDS = 3
const FREE = Number.NEGATIVE_INFINITY

export class RecentFlows {
  /** Flows in the table, with those that have expired and were not swept yet. */
  size = 0
  readonly #places: number
  /** Both are allocated with the first flow. */
  #words = new Int32Array(0)
  /** When the flow of a place was set; FREE: the place is free. */
  #setAt = new Float64Array(0)
  /** The next place to sweep. */
  #cursor = 0

  /** @param places a power of 2, at least 8 */
  constructor(places: number) {
    this.#places = places
  }

  /** @returns the place of a flow, or −1 */
  find(flow: Flow): number {
    if (this.size === 0) return -1
    const words = this.#words
    const { clientAddress, serverAddress, ports } = flow
    const first = this.#firstPlaceOf(flow)
    for (let place = first; place < first + WAYS; place++) {
      const at = place * WORDS
      const isOf =
        int32At(words, at + 2) === ports &&
        int32At(words, at) === clientAddress &&
        int32At(words, at + 1) === serverAddress
      if (isOf && float64At(this.#setAt, place) !== FREE) return place
    }
    return -1
  }

  /** Sets a flow, whether it is in the table or not. @returns its place */
  set(flow: Flow, now: number): number {
    if (this.#setAt.length === 0) {
      this.#words = new Int32Array(this.#places * WORDS)
      this.#setAt = new Float64Array(this.#places).fill(FREE)
    }
    const found = this.find(flow)
    const place = found >= 0 ? found : this.#placeFor(flow)
    if (float64At(this.#setAt, place) === FREE) this.size += 1
    const at = place * WORDS
    this.#words[at] = flow.clientAddress
    this.#words[at + 1] = flow.serverAddress
    this.#words[at + 2] = flow.ports
    this.#setAt[place] = now
    return place
  }

  /** When the flow of a place was set. */
  setAt(place: number): number {
    return float64At(this.#setAt, place)
  }

  free(place: number): void {
    if (float64At(this.#setAt, place) !== FREE) this.size -= 1
    this.#setAt[place] = FREE
  }

  /** Sweeps up to `most` places, and frees those of flows that were set before `since`. */
  sweep(since: number, most: number): void {
    for (let swept = 0; swept < most && this.size > 0; swept++) {
      if (float64At(this.#setAt, this.#cursor) < since) this.free(this.#cursor)
      this.#cursor = (this.#cursor + 1) & (this.#places - 1)
    }
  }

  /** Passes both addresses of every flow to `take`. */
  eachAddress(take: (address: number) => void): void {
    for (let place = 0; place < this.#setAt.length; place++) {
      if (float64At(this.#setAt, place) === FREE) continue
      take(int32At(this.#words, place * WORDS))
      take(int32At(this.#words, place * WORDS + 1))
    }
  }

  /** A place that is free, or the one that was set longest ago. */
  #placeFor(flow: Flow): number {
    const first = this.#firstPlaceOf(flow)
    let oldest = first
    for (let place = first + 1; place < first + WAYS; place++) {
      if (float64At(this.#setAt, place) < float64At(this.#setAt, oldest)) oldest = place
    }
    return oldest
  }

  #firstPlaceOf({ clientAddress, serverAddress, ports }: Flow): number {
    let bits =
      Math.imul(clientAddress, 0x9e3779b1) ^ Math.imul(serverAddress, 0x85ebca6b) ^ Math.imul(ports, 0xc2b2ae35)
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
    return (bits ^ (bits >>> 16)) & (this.#places - 1) & ~(WAYS - 1)
  }
}
