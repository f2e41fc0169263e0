/**
 * A histogram of whole numbers with steps of at most 3 %. The counts are slots of an array, which another thread may
 * read while they grow. Histograms of several threads add up slot by slot.
 */
import { float64At } from '../../wire/bytes.ts'
import { stepOf, stepStart } from '../../wire/channel/log-linear.ts'

const BITS = 5
const VALUE_MAX = 0x7fffffff

export class Histogram {
  static readonly slotCount = stepOf(VALUE_MAX, BITS) + 1
  readonly #slots: Float64Array

  /** @param slots array of `slotCount` zeros */
  constructor(slots: Float64Array) {
    this.#slots = slots
  }

  /** @param value limited to 0 … 2^31 − 1 and truncated; NaN counts as 0 */
  add(value: number): void {
    const step = stepOf(value > 0 ? Math.min(value, VALUE_MAX) | 0 : 0, BITS)
    this.#slots[step] = float64At(this.#slots, step) + 1
  }

  /** A copy that does not grow. */
  copy(): Histogram {
    return new Histogram(this.#slots.slice())
  }

  /** The values since an earlier copy; undefined: all. */
  since(before: Histogram | undefined): Histogram {
    const slots = this.#slots.slice()
    for (let step = 0; before !== undefined && step < slots.length; step++)
      slots[step] = float64At(slots, step) - float64At(before.#slots, step)
    return new Histogram(slots)
  }

  get count(): number {
    let total = 0
    for (let step = 0; step < Histogram.slotCount; step++) total += float64At(this.#slots, step)
    return total
  }

  /**
   * The quantile of a share, as the middle of its step; 0 if there are no values.
   * @param share more than 0, up to 1
   */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(this.count * share))
    for (let step = 0; step < Histogram.slotCount; step++) {
      left -= float64At(this.#slots, step)
      if (left <= 0) return (stepStart(step, BITS) + lastOf(step)) / 2
    }
    return 0
  }

  /** The largest value, as the end of its step; 0 if there are no values. */
  get most(): number {
    let step = Histogram.slotCount - 1
    while (step > 0 && float64At(this.#slots, step) === 0) step--
    return lastOf(step)
  }
}

function lastOf(step: number): number {
  return stepStart(step + 1, BITS) - 1
}
