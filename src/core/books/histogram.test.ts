import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Histogram } from './histogram.ts'

test('quantiles are exact to 3 percent', () => {
  const values = fc.array(fc.integer({ min: 0, max: 0x7fffffff }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(values, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1), (given, share) => {
      const histogram = new Histogram(new Float64Array(Histogram.slotCount))
      for (const value of given) histogram.add(value)
      assert.equal(histogram.count, given.length)
      const sorted = [...given].sort((one, other) => one - other)
      const exact = sorted[Math.ceil(given.length * share) - 1] ?? 0
      assert.ok(Math.abs(histogram.quantile(share) - exact) <= exact / 32)
      const most = sorted.at(-1) ?? 0
      assert.ok(histogram.most >= most && histogram.most - most <= most / 32)
    }),
    { seed: 1, numRuns: 1000 }
  )
})

test('histograms add up slot by slot, and invalid numbers are counted too', () => {
  const slots = [new Float64Array(Histogram.slotCount), new Float64Array(Histogram.slotCount)] as const
  const [one, other] = slots.map((each) => new Histogram(each))
  for (const value of [5, -1, Number.NaN]) one?.add(value)
  for (const value of [1000, 1e12]) other?.add(value)
  const sum = new Histogram(slots[0].map((count, step) => count + (slots[1][step] ?? 0)))
  assert.equal(sum.count, 5)
  assert.deepEqual([sum.quantile(0.4), sum.quantile(0.6), sum.most], [0, 5, 0x7fffffff])
  assert.deepEqual([new Histogram(new Float64Array(Histogram.slotCount)).quantile(0.5)], [0])
})
