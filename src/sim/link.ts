/** A link that loses, repeats, delays and overtakes. */
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

export interface LinkOptions {
  readonly delayMs: number
  /** Added to the delay, evenly from 0 on: what is more than the distance of two packets lets them overtake. */
  readonly jitterMs: number
  /** Probabilities. */
  readonly loss: number
  readonly duplication: number
}

export class Link {
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #options: LinkOptions
  readonly #deliver: (packet: Uint8Array) => void

  constructor(scheduler: Scheduler, random: Random, options: LinkOptions, deliver: (packet: Uint8Array) => void) {
    this.#scheduler = scheduler
    this.#random = random
    this.#options = options
    this.#deliver = deliver
  }

  send(packet: Uint8Array): void {
    if (this.#random.chance(this.#options.loss)) return
    this.#carry(packet)
    if (this.#random.chance(this.#options.duplication)) this.#carry(packet)
  }

  #carry(packet: Uint8Array): void {
    const { delayMs, jitterMs } = this.#options
    this.#scheduler.after(delayMs + this.#random.next() * jitterMs, () => this.#deliver(packet))
  }
}
