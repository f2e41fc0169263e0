/** One direction of a byte stream: everything arrives once and in order. Where a link would lose, it is later. */
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { LinkWeather, Trouble } from '../scenario/weather.ts'

const RETRANSMISSION_MS = 200

export class OrderedLink {
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #weather: LinkWeather
  readonly #outages: readonly Trouble[]
  #lastAt = 0

  /** @param outages of the other end, by the scheduler's clock. What would arrive during one arrives after it */
  constructor(scheduler: Scheduler, random: Random, weather: LinkWeather, outages: readonly Trouble[] = []) {
    this.#scheduler = scheduler
    this.#random = random
    this.#weather = weather
    this.#outages = outages
  }

  send(deliver: () => void): void {
    this.#lastAt = Math.max(this.#lastAt, this.#arrival())
    this.#scheduler.at(this.#lastAt, deliver)
  }

  #arrival(): number {
    const { delayMs, jitterMs, loss } = this.#weather
    let at = this.#scheduler.now() + delayMs + this.#random.next() * jitterMs
    const isLost = (): boolean =>
      this.#random.chance(loss) || this.#outages.some((one) => at >= one.at && at < one.at + one.forMs)
    for (let waitMs = RETRANSMISSION_MS; isLost(); waitMs *= 2) at += waitMs
    return at
  }
}
