/** Which new flows are copied, and how often (`-r`, `-g`, `-O`, `-n`). Decided once for each flow, by counting and not by chance. */
import { Drop } from './drop.ts'

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
 * down or up. The first is a yes.
 */
export class EvenShare {
  #rest = WHOLE - 1

  /** @param share in millionths; it may differ from question to question */
  take(share: number): boolean {
    this.#rest += share
    if (this.#rest < WHOLE) return false
    this.#rest -= WHOLE
    return true
  }
}

export class Sampling {
  readonly #selection: Selection
  readonly #begunAt: number
  readonly #flows = new EvenShare()
  readonly #more = new EvenShare()

  constructor(selection: Selection, now: number) {
    this.#selection = selection
    this.#begunAt = now
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
