/**
 * The hole watch decides when to give up bytes of the client that were not captured. The client retransmits what the
 * network lost, so a hole gets time; it gets less if the capture reported losses or the client has ended.
 */
import { Counter, type Counters } from '../books/counters.ts'

/** How long to wait for bytes that were not captured. The defaults depend on the client's round trip. */
export interface HolePatience {
  /** `--hole-timeout`; undefined: 2 s, or four round trips if that is longer. */
  readonly timeoutMs: number | undefined
  /** `--hole-timeout-at-end`: limit once the client has sent FIN or RST. */
  readonly atEndMs: number
  /** `--hole-timeout-after-drops`: limit if the capture lost packets; undefined: four round trips, at least 10 ms. */
  readonly afterDropsMs: number | undefined
}

const TIMEOUT_MS = 2000
/** Reordered packets have arrived after this time. */
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

  /** True while bytes are missing. */
  get isOpen(): boolean {
    return this.#since !== NEVER
  }

  /**
   * Opens the hole, or updates it while bytes are missing.
   * @param aheadSince when the first bytes beyond the hole were captured; NaN: only the client's end is known
   */
  update(aheadSince: number, now: number): void {
    if (!this.isOpen) this.#lostBefore = this.#counters.get(Counter.captureDropped)
    if (!Number.isNaN(aheadSince)) this.#since = aheadSince
    else if (!this.isOpen) this.#since = now
  }

  /** Closes the hole: no bytes are missing. */
  close(): void {
    this.#since = NEVER
  }

  /** When to give up the hole; Infinity if there is none. */
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
