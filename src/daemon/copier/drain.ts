/** Decides when a replay is complete after its last packet, and when it is stalled. */
import { Counter, type Counters } from '../../core/books/counters.ts'

/** A copy that made no progress for this long is stalled. */
export const STALLED_MS = 30_000

export class Drain {
  readonly #counters: Counters
  readonly #quietMs: number
  #progress = Number.NaN
  #progressAt = 0

  /** @param quietMs longest wait for an answer to the last request */
  constructor(counters: Counters, quietMs: number) {
    this.#counters = counters
    this.#quietMs = quietMs
  }

  /** Whether all is delivered, and no connection can still get an answer. */
  isSettled(now: number): boolean {
    this.#update(now)
    const counters = this.#counters
    if (counters.get(Counter.sessionsStarted) === counters.get(Counter.sessionsEnded)) return true
    return counters.get(Counter.pendingBytes) === 0 && now - this.#progressAt >= this.#quietMs
  }

  /**
   * Must be polled.
   * @param isWaiting whether the replay waits for nothing but the copy
   * @returns whether the copy is stalled
   */
  isStalled(isWaiting: boolean, now: number): boolean {
    this.#update(now)
    if (!isWaiting) this.#progressAt = now
    return now - this.#progressAt >= STALLED_MS
  }

  /** Checks for progress: packets that the copy takes, and answers of the target. */
  #update(now: number): void {
    const progress = this.#counters.get(Counter.capturedPackets) + this.#counters.get(Counter.answers)
    if (progress !== this.#progress) this.#progressAt = now
    this.#progress = progress
  }
}
