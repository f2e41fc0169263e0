import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stepOf, stepStart } from './log-linear.ts'

const MAX = 0x7fffffff
const bits = fc.integer({ min: 1, max: 8 })

test('a value lies within its step, and no step is wider than its share of the value', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: MAX }), bits, (value, count) => {
      const step = stepOf(value, count)
      const start = stepStart(step, count)
      const next = stepStart(step + 1, count)
      assert.ok(start <= value && value < next, `${start} ${value} ${next}`)
      assert.ok(next - start === 1 || (next - start) * 2 ** count <= start)
    }),
    { seed: 1, numRuns: 5000 }
  )
})

test('steps are numbered without gaps, in the order of the values', () => {
  for (let value = 0; value < 5000; value++) assert.ok(stepOf(value + 1, 3) - stepOf(value, 3) <= 1)
  assert.deepEqual(
    [0, 1, 7, 8, 15, 16, 17, 18, 31, 32].map((value) => stepOf(value, 3)),
    [0, 1, 7, 8, 15, 16, 16, 17, 23, 24]
  )
  assert.equal(stepOf(MAX, 3), 231)
})
