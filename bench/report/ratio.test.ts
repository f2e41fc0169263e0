import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pairedRatio, ratioText } from './ratio.ts'

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

test('the interval of the median leaves out as many pairs as the sign test allows', () => {
  const ones = numbers(40).fill(1)
  // The tables of the sign test: of 20 the 6th to the 15th, of 10 the 2nd to the 9th, of 6 all.
  assert.deepEqual(pairedRatio(numbers(20), ones), { median: 10.5, low: 6, high: 15 })
  assert.deepEqual(pairedRatio(numbers(10), ones), { median: 5.5, low: 2, high: 9 })
  assert.deepEqual(pairedRatio(numbers(6), ones), { median: 3.5, low: 1, high: 6 })
  assert.deepEqual(pairedRatio(numbers(2), ones), { median: 1.5, low: 1, high: 2 })
})

test('ratios are those of pairs, and runs without a figure do not count', () => {
  const ratio = pairedRatio([10, Number.NaN, 3], [20, 1, 2])
  assert.deepEqual(ratio, { median: 1, low: 0.5, high: 1.5 })
  assert.equal(ratio && ratioText(ratio), '1.000 (0.500 to 1.500)')
  assert.equal(pairedRatio([], []), undefined)
})
