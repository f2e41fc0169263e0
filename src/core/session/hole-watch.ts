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

/** The part of the client side that it reads. */
interface WatchedClient {
  /** The client's round trip, in ms. */
  readonly rttMs: number
  readonly isEnding: boolean
  /** Bytes are missing. */
  readonly lacksBytes: boolean
  readonly stream: { readonly aheadSince: number; readonly isHoleOurs: boolean }
}

export class HoleWatch {
  readonly #client: WatchedClient
  readonly #patience: HolePatience
  readonly #counters: Counters
  #since = NEVER
  /** Packets that the capture had lost when the hole opened. */
  #lostBefore = 0

  constructor(client: WatchedClient, patience: HolePatience, counters: Counters) {
    this.#client = client
    this.#patience = patience
    this.#counters = counters
  }

  /** True while bytes are missing. */
  get isOpen(): boolean {
    return this.#since !== NEVER
  }

  /** Opens the hole, updates it while bytes are missing, or closes it. */
  watch(now: number): void {
    if (!this.#client.lacksBytes) {
      this.#since = NEVER
      return
    }
    const { aheadSince } = this.#client.stream
    if (!this.isOpen) this.#lostBefore = this.#counters.get(Counter.captureDropped)
    // NaN: only the client's end is known.
    if (!Number.isNaN(aheadSince)) this.#since = aheadSince
    else if (!this.isOpen) this.#since = now
  }

  /** Closes the hole: no bytes are missing. */
  close(): void {
    this.#since = NEVER
  }

  /** The missing bytes are given up. */
  giveUp(): void {
    if (this.#client.stream.isHoleOurs) this.#counters.add(Counter.holesOfPool, 1)
  }

  /** When to give up the hole; Infinity if there is none. @param progressAt the session's last progress */
  limit(progressAt: number): number {
    if (this.#since === NEVER) return NEVER
    const { stream, rttMs, isEnding } = this.#client
    if (stream.isHoleOurs) return progressAt
    const { timeoutMs, atEndMs, afterDropsMs } = this.#patience
    const roundTripsMs = ROUND_TRIPS * rttMs
    let patienceMs = timeoutMs ?? Math.max(TIMEOUT_MS, roundTripsMs)
    if (isEnding) patienceMs = Math.min(patienceMs, atEndMs)
    if (this.#counters.get(Counter.captureDropped) > this.#lostBefore) {
      patienceMs = Math.min(patienceMs, afterDropsMs ?? Math.max(AFTER_DROPS_LEAST_MS, roundTripsMs))
    }
    return this.#since + patienceMs
  }
}
