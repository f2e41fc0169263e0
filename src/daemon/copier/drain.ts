/** Tells when a replay whose packets were all given is over, and when it cannot go on. */
import { Counter, type Counters } from '../../core/books/counters.ts'

/** Nothing that is sent is answered for so long: it never will be. */
export const STALLED_MS = 30_000

export class Drain {
  readonly #counters: Counters
  readonly #quietMs: number
  #moved = Number.NaN
  #movedAt = 0

  /** @param quietMs for so long an answer to the last request may be awaited */
  constructor(counters: Counters, quietMs: number) {
    this.#counters = counters
    this.#quietMs = quietMs
  }

  /** All is delivered, and no connection is left that could still get an answer. */
  isSettled(now: number): boolean {
    this.#look(now)
    const counters = this.#counters
    if (counters.get(Counter.sessionsStarted) === counters.get(Counter.sessionsEnded)) return true
    return counters.get(Counter.pendingBytes) === 0 && now - this.#movedAt >= this.#quietMs
  }

  /**
   * To be asked all the time.
   * @param isWaiting nothing but the copy keeps the replay from going on
   * @returns whether the copy has not moved for so long that it never will
   */
  isStalled(isWaiting: boolean, now: number): boolean {
    this.#look(now)
    if (!isWaiting) this.#movedAt = now
    return now - this.#movedAt >= STALLED_MS
  }

  /** What moves while the copy gets anywhere: packets that it takes, and answers of the target. */
  #look(now: number): void {
    const moved = this.#counters.get(Counter.capturedPackets) + this.#counters.get(Counter.answers)
    if (moved !== this.#moved) this.#movedAt = now
    this.#moved = moved
  }
}
