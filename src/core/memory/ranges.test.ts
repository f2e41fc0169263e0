import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { add, seq } from '../../wire/seq.ts'
import { Ranges } from './ranges.ts'

test('ranges are the bytes that were added, sorted and disjoint, across the wrap of sequence numbers', () => {
  const step = fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 9 }), fc.boolean())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const base = seq(0x7fffffe0)
      const ranges = new Ranges()
      const model = new Set<number>()
      for (const [left, length, isDrop] of steps) {
        if (isDrop) {
          ranges.dropBefore(add(base, left))
          for (const byte of model) if (byte < left) model.delete(byte)
          continue
        }
        const bytes = Array.from({ length }, (_, index) => left + index)
        const isNew = bytes.some((byte) => !model.has(byte))
        assert.equal(ranges.add(add(base, left), add(base, left + length)), isNew)
        for (const byte of bytes) model.add(byte)
      }
      const held = new Set<number>()
      for (let index = 0; index < ranges.count; index++) {
        const left = (ranges.left(index) - base) | 0
        const right = (ranges.right(index) - base) | 0
        assert.ok(left < right && !held.has(left - 1))
        for (let byte = left; byte < right; byte++) held.add(byte)
        assert.equal(ranges.endOf(add(base, left)), ranges.right(index))
      }
      assert.deepEqual(held, model)
      if (ranges.count > 0) assert.ok(ranges.latest < ranges.count)
    }),
    { seed: 3 }
  )
})

test('the last range is dropped when there are too many', () => {
  const ranges = new Ranges()
  for (let index = 0; index < 20; index++) ranges.add(seq(index * 10), seq(index * 10 + 5))
  assert.equal(ranges.count, 16)
  assert.equal(ranges.right(15), 155)
  ranges.add(seq(-20), seq(-15))
  assert.deepEqual([ranges.count, ranges.left(0), ranges.left(15)], [16, -20, 140])
})
