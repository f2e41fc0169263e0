/**
 * Decides when octets of the client that were not captured are missed for good. A client sends again what the network
 * lost, so a hole is given time; where the capture says that it lost packets, or the client has ended, less.
 */
import { Counter, type Counters } from './counters.ts'

const PATIENCE_MS = 2000
const PATIENCE_AFTER_END_MS = 1000
/** Where the capture lost packets: disorder is over after so long. */
const PATIENCE_LEAST_MS = 10
const ROUND_TRIPS = 4
const NEVER = Number.POSITIVE_INFINITY

export class HoleWatch {
  readonly #counters: Counters
  #since = NEVER
  /** Packets that the capture had lost when the hole opened. */
  #lostBefore = 0

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /**
   * @param aheadSince when octets beyond the hole were captured, which may be long ago; NaN: only its end is known
   */
  update(isMissing: boolean, aheadSince: number, now: number): void {
    if (!isMissing) {
      this.#since = NEVER
      return
    }
    if (this.#since === NEVER) this.#lostBefore = this.#counters.get(Counter.captureDropped)
    if (!Number.isNaN(aheadSince)) this.#since = aheadSince
    else if (this.#since === NEVER) this.#since = now
  }

  /** When the hole at hand is missed for good; Infinity if there is none. */
  limit(clientRttMs: number, isClientDone: boolean): number {
    if (this.#since === NEVER) return NEVER
    const roundTrips = ROUND_TRIPS * clientRttMs
    const hasLost = this.#counters.get(Counter.captureDropped) > this.#lostBefore
    if (hasLost) return this.#since + Math.max(PATIENCE_LEAST_MS, roundTrips)
    return this.#since + (isClientDone ? PATIENCE_AFTER_END_MS : Math.max(PATIENCE_MS, roundTrips))
  }
}
