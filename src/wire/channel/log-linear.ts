/**
 * A logarithmic scale for whole numbers: below 2^bits each number is a step, and above that each doubling has 2^bits
 * steps. So a step is at most 1/2^bits as wide as the numbers in it.
 */

/** @param value 0 to 2^31 − 1 @returns the number of its step */
export function stepOf(value: number, bits: number): number {
  const shift = Math.max(0, 31 - Math.clz32(value) - bits)
  return (shift << bits) + (value >>> shift)
}

/** @returns the smallest number in a step */
export function stepStart(step: number, bits: number): number {
  const shift = Math.max(0, (step >>> bits) - 1)
  return (step - (shift << bits)) * 2 ** shift
}
