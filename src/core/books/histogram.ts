/**
 * How often values came, in steps of at most 3 %. The counts are slots of an array that another thread may read while
 * they grow; histograms of several threads add up slot by slot.
 */
import { float64At } from '../../wire/bytes.ts'
import { stepOf, stepStart } from '../../wire/channel/log-linear.ts'

const BITS = 5
const VALUE_MAX = 0x7fffffff

export class Histogram {
  static readonly slotCount = stepOf(VALUE_MAX, BITS) + 1
  readonly #slots: Float64Array

  /** @param slots of `slotCount`, all 0 at first */
  constructor(slots: Float64Array) {
    this.#slots = slots
  }

  /** @param value what is below 0 counts as 0, what is above 2^31 − 1 as that, and NaN as 0 */
  add(value: number): void {
    const step = stepOf(value > 0 ? Math.min(value, VALUE_MAX) | 0 : 0, BITS)
    this.#slots[step] = float64At(this.#slots, step) + 1
  }

  get count(): number {
    let total = 0
    for (let step = 0; step < Histogram.slotCount; step++) total += float64At(this.#slots, step)
    return total
  }

  /**
   * The value below which this share of all lies, as the middle of its step; 0 if there is none.
   * @param share above 0 to 1
   */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(this.count * share))
    for (let step = 0; step < Histogram.slotCount; step++) {
      left -= float64At(this.#slots, step)
      if (left <= 0) return (stepStart(step, BITS) + lastOf(step)) / 2
    }
    return 0
  }

  /** The end of the last step in which there is something; 0 if there is none. */
  get most(): number {
    let step = Histogram.slotCount - 1
    while (step > 0 && float64At(this.#slots, step) === 0) step--
    return lastOf(step)
  }
}

function lastOf(step: number): number {
  return stepStart(step + 1, BITS) - 1
}
