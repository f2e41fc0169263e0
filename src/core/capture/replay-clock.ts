/** When the packets of a file are due: at the pace of their capture, or another. */

export interface ReplayPace {
  /** `-a`: so many times as fast as captured, above 0. */
  readonly speed: number
  /** `-I`: longer pauses between two packets are cut to this, in milliseconds of the capture; Infinity: none is. */
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
   * @param capturedMs when the next packet was captured, on the clock of the file. Where that clock goes back the packet
   * is due with the one before it.
   * @returns when it is due, on the clock of `beginAt`
   */
  due(capturedMs: number): number {
    const gap = Number.isNaN(this.#lastMs) ? 0 : Math.max(0, capturedMs - this.#lastMs)
    this.#dueAt += Math.min(gap, this.#pace.gapMaxMs) / this.#pace.speed
    this.#lastMs = Number.isNaN(this.#lastMs) ? capturedMs : Math.max(this.#lastMs, capturedMs)
    return this.#dueAt
  }

  /** What follows is due so much later. */
  slip(ms: number): void {
    this.#dueAt += ms
  }
}
