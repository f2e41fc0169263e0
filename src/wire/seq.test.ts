import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { add, distance, isAfter, isBefore, later, seq } from './seq.ts'

const anySeq = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map(seq)
const step = fc.integer({ min: 1, max: 2 ** 31 - 1 })

test('sequence numbers are ordered by distance, even across the wrap', () => {
  fc.assert(
    fc.property(anySeq, step, (from, bytes) => {
      const to = add(from, bytes)
      assert.equal(distance(to, from), bytes)
      assert.ok(isAfter(to, from) && isBefore(from, to) && !isAfter(from, to) && !isAfter(from, from))
      assert.equal(later(from, to), to)
      assert.equal(later(to, from), to)
    }),
    { seed: 1 }
  )
})

test('any integer becomes a sequence number modulo 2³²', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), (value) => {
      assert.equal(seq(value) >>> 0, value % 2 ** 32)
    }),
    { seed: 1 }
  )
})
