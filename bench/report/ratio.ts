/** How two programs compare that were run in turn: the ratio of each pair of runs, since a machine's speed drifts. */
import { median } from './facts.ts'

/** The median of paired ratios, and an interval that holds it with at least 95 %, whatever their distribution. */
export interface Ratio {
  readonly median: number
  readonly low: number
  readonly high: number
}

const CONFIDENCE = 0.95

/** @returns undefined if there are no pairs; with fewer than six the interval is all that was seen, and holds less */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): Ratio | undefined {
  const pairs = Math.min(ours.length, theirs.length)
  const ratios = Array.from(
    { length: pairs },
    (_, index) => (ours[index] ?? Number.NaN) / (theirs[index] ?? Number.NaN)
  )
    .filter((ratio) => !Number.isNaN(ratio))
    .sort((a, b) => a - b)
  if (ratios.length === 0) return undefined
  const skipped = skippedAtEachEnd(ratios.length)
  return {
    median: median(ratios),
    low: ratios[skipped] ?? Number.NaN,
    high: ratios[ratios.length - 1 - skipped] ?? Number.NaN
  }
}

/**
 * How many of `count` ordered values may be left out at each end so that the median lies between the rest with the wanted
 * confidence: each value is above it as likely as below, so their number is binomial (the sign test).
 */
function skippedAtEachEnd(count: number): number {
  let skipped = 0
  let probability = 2 ** -count
  let outside = 2 * probability
  while (outside <= 1 - CONFIDENCE) {
    skipped += 1
    probability *= (count - skipped + 1) / skipped
    outside += 2 * probability
  }
  return Math.max(0, skipped - 1)
}

export function ratioText(ratio: Ratio): string {
  const [middle, low, high] = [ratio.median, ratio.low, ratio.high].map((value) => value.toFixed(3))
  return `${middle} (${low} to ${high})`
}
