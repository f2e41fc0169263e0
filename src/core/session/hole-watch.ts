/**
 * Decides when octets of the client that were not captured are missed for good. A client sends again what the network
 * lost, so a hole is given time; where the capture says that it lost packets, or the client has ended, less.
 */
import { Counter, type Counters } from '../books/counters.ts'

/** How long octets that were not captured are waited for. What is undefined follows from the client's round trip. */
export interface HolePatience {
  /** `--hole-timeout`; undefined: 2 s or four round trips, what is longer. */
  readonly timeoutMs: number | undefined
  /** `--hole-timeout-at-end`: at most, once the client has sent FIN or RST. */
  readonly atEndMs: number
  /** `--hole-timeout-after-drops`: at most, where the capture lost packets; undefined: four round trips. */
  readonly afterDropsMs: number | undefined
}

const TIMEOUT_MS = 2000
/** Where the capture lost packets: disorder is over after so long. */
const AFTER_DROPS_LEAST_MS = 10
const ROUND_TRIPS = 4
const NEVER = Number.POSITIVE_INFINITY

export class HoleWatch {
  readonly #patience: HolePatience
  readonly #counters: Counters
  #since = NEVER
  /** Packets that the capture had lost when the hole opened. */
  #lostBefore = 0

  constructor(patience: HolePatience, counters: Counters) {
    this.#patience = patience
    this.#counters = counters
  }

  /** Bytes are missing. */
  get isOpen(): boolean {
    return this.#since !== NEVER
  }

  /**
   * Bytes are missing, or still are.
   * @param aheadSince when bytes beyond the hole were captured, which may be long ago; NaN: only its end is known
   */
  update(aheadSince: number, now: number): void {
    if (!this.isOpen) this.#lostBefore = this.#counters.get(Counter.captureDropped)
    if (!Number.isNaN(aheadSince)) this.#since = aheadSince
    else if (!this.isOpen) this.#since = now
  }

  /** No bytes are missing any more. */
  close(): void {
    this.#since = NEVER
  }

  /** When the hole at hand is missed for good; Infinity if there is none. */
  limit(clientRttMs: number, isClientDone: boolean): number {
    if (this.#since === NEVER) return NEVER
    const { timeoutMs, atEndMs, afterDropsMs } = this.#patience
    const roundTripsMs = ROUND_TRIPS * clientRttMs
    let patienceMs = timeoutMs ?? Math.max(TIMEOUT_MS, roundTripsMs)
    if (isClientDone) patienceMs = Math.min(patienceMs, atEndMs)
    if (this.#counters.get(Counter.captureDropped) > this.#lostBefore) {
      patienceMs = Math.min(patienceMs, afterDropsMs ?? Math.max(AFTER_DROPS_LEAST_MS, roundTripsMs))
    }
    return this.#since + patienceMs
  }
}
