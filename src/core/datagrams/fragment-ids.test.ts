import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FragmentIds } from './fragment-ids.ts'

const MOST = 0xffff

function some(count: number, from: number, worker: number, workers: number): number[] {
  const ids = new FragmentIds(from, { worker, workers })
  return Array.from({ length: count }, () => ids.next(MOST))
}

test('workers share no id, wherever they start, and each uses all of its ids before it repeats one', () => {
  for (const workers of [1, 2, 3, 64]) {
    const share = Math.floor(MOST / workers)
    for (const from of [0, 1, 40_000, MOST]) {
      const all = Array.from({ length: workers }, (_, worker) => some(share, from, worker, workers)).flat()
      assert.equal(new Set(all).size, workers * share)
      assert.ok(all.every((id) => id >= 1 && id <= MOST))
    }
  }
})

test('ids start again after the largest one of the IP version', () => {
  const ids = new FragmentIds(MOST, undefined)
  assert.ok(ids.next(0x7fffffff) > MOST)
  assert.equal(ids.next(MOST), 1)
  assert.equal(ids.next(MOST), 2)
})
