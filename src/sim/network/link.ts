/** A network link that loses, duplicates, delays and reorders packets. */

import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { LinkWeather } from '../scenario/weather.ts'

export class Link {
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #weather: LinkWeather
  readonly #deliver: (packet: Uint8Array, sentAt: number) => void

  constructor(
    scheduler: Scheduler,
    random: Random,
    weather: LinkWeather,
    deliver: (packet: Uint8Array, sentAt: number) => void
  ) {
    this.#scheduler = scheduler
    this.#random = random
    this.#weather = weather
    this.#deliver = deliver
  }

  send(packet: Uint8Array): void {
    if (this.#random.chance(this.#weather.loss)) return
    this.#carry(packet)
    if (this.#random.chance(this.#weather.duplication)) this.#carry(packet)
  }

  #carry(packet: Uint8Array): void {
    const { delayMs, jitterMs } = this.#weather
    const sentAt = this.#scheduler.now()
    this.#scheduler.after(delayMs + this.#random.next() * jitterMs, () => this.#deliver(packet, sentAt))
  }
}
