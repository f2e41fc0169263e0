/**
 * Sampling decides which new flows are copied, and how often (`-r`, `-g`, `-O`, `-n`): once for each flow, by counting
 * and not by chance.
 */
import { Drop } from '../books/drop.ts'

/** Shares are in millionths, so that counting them is exact. */
export const WHOLE = 1_000_000
/** `-g`: increase of the share each second. */
const RAMP_STEP = WHOLE / 100

export interface Selection {
  /** `-r`: the share of new flows to copy, in millionths. */
  readonly share: number
  /** `-O`: only flows whose SYN was captured. */
  readonly isOnlyNew: boolean
  /** `-g`: copy 1 % of new flows in the first second, and 1 % more each second. */
  readonly isRampUp: boolean
  /** `-n`: how often to copy each flow, in millionths; at least once. */
  readonly copies: number
}

export const ALL_FLOWS: Selection = { share: WHOLE, isOnlyNew: false, isRampUp: false, copies: WHOLE }

/**
 * Accepts a share of requests as evenly as possible: of any n in a row n × share, rounded up or down. It accepts the
 * first. Several threads may share one sequence.
 */
export class EvenShare {
  /** The sum of shares requested minus what was accepted: 1 − WHOLE to 0. */
  readonly #rest: Int32Array

  /** @param rest one word, zero at first, shared by all threads of the sequence */
  constructor(rest: Int32Array = new Int32Array(1)) {
    this.#rest = rest
  }

  /** @param share in millionths; may differ each time @returns true to accept */
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
  readonly #startedAt: number
  readonly #flows: EvenShare
  readonly #more: EvenShare
  /** Words that the constructor needs. */
  static readonly length = 2

  /** @param words `length` words, zero at first; workers that share them count together */
  constructor(selection: Selection, now: number, words: Int32Array = new Int32Array(Sampling.length)) {
    this.#selection = selection
    this.#startedAt = now
    this.#flows = new EvenShare(words.subarray(0, 1))
    this.#more = new EvenShare(words.subarray(1, 2))
  }

  /** Decides whether to copy a new flow. @returns None to copy it, otherwise why not */
  refusal(isSyn: boolean, now: number): Drop {
    const { isOnlyNew, isRampUp, share } = this.#selection
    if (isOnlyNew && !isSyn) return Drop.NotFromSyn
    const ramp = isRampUp ? (Math.floor((now - this.#startedAt) / 1000) + 1) * RAMP_STEP : WHOLE
    return this.#flows.take(Math.min(share, ramp)) ? Drop.None : Drop.SampledOut
  }

  /** `-O`, or `--join never` */
  get isOnlyNew(): boolean {
    return this.#selection.isOnlyNew
  }

  /** The most copies of a flow. */
  get copiesMax(): number {
    return Math.ceil(this.#selection.copies / WHOLE)
  }

  /** How often to copy the flow that `refusal` accepted. `-n 1.3` copies every flow once and 30 % of them twice. */
  copies(): number {
    const { copies } = this.#selection
    const part = copies % WHOLE
    return (copies - part) / WHOLE + (part > 0 && this.#more.take(part) ? 1 : 0)
  }
}
