import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BLOCK_MAX, BlockStore, PAGE } from './block-store.ts'

const START = 4096

test('blocks never overlap, lie within the memory, and are as large as requested', () => {
  const step = fc.oneof(fc.integer({ min: 1, max: BLOCK_MAX }), fc.constant(-1))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.nat(), (steps, dice) => {
      const store = new BlockStore(START, 2)
      const taken: { at: number; length: number }[] = []
      for (const [index, length] of steps.entries()) {
        if (length < 0) {
          const [block] = taken.splice((dice + index) % Math.max(1, taken.length), 1)
          if (block !== undefined) store.give(block.at)
          continue
        }
        const at = store.take(length)
        if (at < 0) continue
        assert.ok(at >= START && at + length <= START + 2 * PAGE)
        for (const other of taken) assert.ok(at + length <= other.at || other.at + other.length <= at)
        taken.push({ at, length })
      }
      for (const block of taken) store.give(block.at)
      assert.equal(store.usedBytes, 0)
    })
  )
})

test('memory that was full of small blocks can be filled with large ones', () => {
  const store = new BlockStore(0, 4)
  const small: number[] = []
  for (let at = store.take(100); at >= 0; at = store.take(100)) small.push(at)
  assert.equal(small.length, 4 * 320)
  assert.equal(store.take(1), -1)
  for (const at of small) store.give(at)
  const large: number[] = []
  for (let at = store.take(BLOCK_MAX); at >= 0; at = store.take(BLOCK_MAX - 1000)) large.push(at)
  assert.equal(large.length, 4 * 4)
  assert.equal(store.take(192), -1)
})

test('one full Ethernet segment, or ten in one block, waste less than a tenth of a page', () => {
  for (const segments of [1, 10]) {
    const store = new BlockStore(0, 10)
    let count = 0
    while (store.take(segments * 1448) >= 0) count++
    assert.ok(count * segments * 1448 > 0.9 * 10 * PAGE)
  }
})
