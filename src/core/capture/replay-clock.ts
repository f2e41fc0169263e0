/** The replay clock says when each packet of a file is due: at the pace of its capture, or another. */

export interface ReplayPace {
  /** `-a`: factor of the captured pace, above 0. */
  readonly speed: number
  /**
   * `-I`: longest pause between two packets, in milliseconds of the capture; longer ones are shortened. Infinity: none.
   */
  readonly gapMaxMs: number
}

export class ReplayClock {
  readonly #pace: ReplayPace
  #dueAt: number
  #lastMs = Number.NaN

  /** @param beginAt when the first packet is due */
  constructor(pace: ReplayPace, beginAt: number) {
    this.#pace = pace
    this.#dueAt = beginAt
  }

  /**
   * @param capturedMs when the next packet was captured, on the clock of the file. If that clock goes back, the packet
   *   is due together with the previous one
   * @returns when it is due, on the clock of `beginAt`
   */
  due(capturedMs: number): number {
    const gap = Number.isNaN(this.#lastMs) ? 0 : Math.max(0, capturedMs - this.#lastMs)
    this.#dueAt += Math.min(gap, this.#pace.gapMaxMs) / this.#pace.speed
    this.#lastMs = Number.isNaN(this.#lastMs) ? capturedMs : Math.max(this.#lastMs, capturedMs)
    return this.#dueAt
  }

  /** Makes all further packets due later. */
  slip(ms: number): void {
    this.#dueAt += ms
  }
}
