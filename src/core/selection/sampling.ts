/** Which new flows are copied, and how often (`-r`, `-g`, `-O`, `-n`). Decided once for each flow, by counting and not by chance. */
import { Drop } from '../books/drop.ts'

/** Shares are whole millionths, so that counting them is exact. */
export const WHOLE = 1_000_000
/** `-g`: so much more each second. */
const RAMP_STEP = WHOLE / 100

export interface Selection {
  /** `-r`: the share of new flows to copy, in millionths. */
  readonly share: number
  /** `-O`: only flows whose SYN was captured. */
  readonly isOnlyNew: boolean
  /** `-g`: in the first second one percent of new flows, and one percent more each second. */
  readonly isRampUp: boolean
  /** `-n`: how often to copy each of them, in millionths, at least once. */
  readonly copies: number
}

export const ALL_FLOWS: Selection = { share: WHOLE, isOnlyNew: false, isRampUp: false, copies: WHOLE }

/**
 * Says yes to a share of the questions, as evenly as whole questions allow: of any n in a row to n × share, rounded
 * down or up. The first is a yes. The questions may come from several threads: they are one row.
 */
export class EvenShare {
  /** What was asked for less what was given, in one word: 1 − WHOLE to 0. */
  readonly #rest: Int32Array

  /** @param rest a word, zero at first, that all have who ask */
  constructor(rest: Int32Array = new Int32Array(1)) {
    this.#rest = rest
  }

  /** @param share in millionths; it may differ from question to question */
  take(share: number): boolean {
    for (;;) {
      const before = Atomics.load(this.#rest, 0)
      const isGiven = before + share > 0
      const after = before + share - (isGiven ? WHOLE : 0)
      if (Atomics.compareExchange(this.#rest, 0, before, after) === before) return isGiven
    }
  }
}

export class Sampling {
  readonly #selection: Selection
  readonly #begunAt: number
  readonly #flows: EvenShare
  readonly #more: EvenShare
  /** Words that it counts in. */
  static readonly length = 2

  /** @param words of `length`, zero at first; workers that have the same count together */
  constructor(selection: Selection, now: number, words: Int32Array = new Int32Array(Sampling.length)) {
    this.#selection = selection
    this.#begunAt = now
    this.#flows = new EvenShare(words.subarray(0, 1))
    this.#more = new EvenShare(words.subarray(1, 2))
  }

  /** Decides about a new flow. @returns None if it is to be copied */
  refusal(isSyn: boolean, now: number): Drop {
    const { isOnlyNew, isRampUp, share } = this.#selection
    if (isOnlyNew && !isSyn) return Drop.NotFromSyn
    const ramp = isRampUp ? (Math.floor((now - this.#begunAt) / 1000) + 1) * RAMP_STEP : WHOLE
    return this.#flows.take(Math.min(share, ramp)) ? Drop.None : Drop.SampledOut
  }
  /** How often the flow is copied about which was decided: `-n 1.3` copies every flow once, 30 % of them twice. */
  copies(): number {
    const { copies } = this.#selection
    const part = copies % WHOLE
    return (copies - part) / WHOLE + (part > 0 && this.#more.take(part) ? 1 : 0)
  }
}
