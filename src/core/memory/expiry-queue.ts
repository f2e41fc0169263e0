/** A queue of flows that expire after a fixed time. The oldest is always the first to expire, so it needs no timers. */
import { float64At, int32At } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'

/** Words of an entry: client address, server address, both ports, the value. */
const WORDS = 4

/** Takes an expired flow and its value. The flow is valid only during the call. */
export type TakeExpired = (flow: Flow, value: number) => void

export class ExpiryQueue {
  readonly #lifetimeMs: number
  #words = new Int32Array(256 * WORDS)
  #expiry = new Float64Array(256)
  #first = 0
  size = 0
  readonly #flow = new Flow()

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs
  }

  add(flow: Flow, value: number, now: number): void {
    if (this.size === this.#expiry.length) this.#grow()
    const index = (this.#first + this.size) % this.#expiry.length
    this.#words[index * WORDS] = flow.clientAddress
    this.#words[index * WORDS + 1] = flow.serverAddress
    this.#words[index * WORDS + 2] = flow.ports
    this.#words[index * WORDS + 3] = value
    this.#expiry[index] = now + this.#lifetimeMs
    this.size += 1
  }

  /** Removes up to `most` expired flows and passes them to `take`. */
  expire(now: number, most: number, take: TakeExpired): void {
    for (let count = 0; count < most && this.size > 0; count++) {
      if (float64At(this.#expiry, this.#first) > now) return
      this.removeOldest(take)
    }
  }

  /** Removes the oldest flow, of which there must be one, and passes it to `take`. */
  removeOldest(take: TakeExpired): void {
    const at = this.#first * WORDS
    this.#first = (this.#first + 1) % this.#expiry.length
    this.size -= 1
    const words = this.#words
    const flow = this.#flow.unpack(int32At(words, at), int32At(words, at + 1), int32At(words, at + 2))
    take(flow, int32At(words, at + 3))
  }

  #grow(): void {
    const length = this.#expiry.length
    const words = new Int32Array(length * 2 * WORDS)
    const expiry = new Float64Array(length * 2)
    for (let index = 0; index < this.size; index++) {
      const from = (this.#first + index) % length
      for (let word = 0; word < WORDS; word++) words[index * WORDS + word] = int32At(this.#words, from * WORDS + word)
      expiry[index] = float64At(this.#expiry, from)
    }
    this.#words = words
    this.#expiry = expiry
    this.#first = 0
  }
}
