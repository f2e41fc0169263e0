/**
 * Decides when octets of the client that were not captured are missed for good. A client sends again what the network
 * lost, so a hole is given time; where the capture says that it lost packets, or the client has ended, less.
 */
const PATIENCE_MS = 2000
const PATIENCE_AFTER_END_MS = 1000
/** Where the capture lost packets: disorder is over after so long. */
const PATIENCE_LEAST_MS = 10
const ROUND_TRIPS = 4
const NEVER = Number.POSITIVE_INFINITY

export class HoleWatch {
  #since = NEVER
  /** Packets that the capture had lost when the hole opened. */
  #lostBefore = 0

  /** @param lostPackets what the capture has lost so far */
  update(isMissing: boolean, now: number, lostPackets: number): void {
    if (!isMissing) this.#since = NEVER
    else if (this.#since === NEVER) {
      this.#since = now
      this.#lostBefore = lostPackets
    }
  }

  /** When the hole at hand is missed for good; Infinity if there is none. */
  limit(clientRttMs: number, isClientDone: boolean, lostPackets: number): number {
    if (this.#since === NEVER) return NEVER
    const roundTrips = ROUND_TRIPS * clientRttMs
    if (lostPackets > this.#lostBefore) return this.#since + Math.max(PATIENCE_LEAST_MS, roundTrips)
    return this.#since + (isClientDone ? PATIENCE_AFTER_END_MS : Math.max(PATIENCE_MS, roundTrips))
  }
}
