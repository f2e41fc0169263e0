import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ExpiryQueue } from './closed-flows.ts'

test('each is buried once, in order, not before its time and not many at once', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 900 }), (gaps) => {
      const stones = new ExpiryQueue(1000)
      const waiting: { key: string; at: number }[] = []
      let now = 0
      const bury = (...key: number[]) => {
        const first = waiting.shift()
        assert.equal(String(key), first?.key)
        assert.ok((first?.at ?? now) + 1000 <= now)
      }
      for (const [index, gap] of gaps.entries()) {
        now += gap
        stones.add(index, -index, index << 16, index * 2 + 1, now)
        waiting.push({ key: String([index, -index, index << 16, index * 2 + 1]), at: now })
        const before = waiting.length
        stones.expire(now, 3, bury)
        assert.ok(before - waiting.length <= 3)
        assert.equal(stones.size, waiting.length)
      }
      now += 1000
      stones.expire(now, 10_000, bury)
      assert.equal(stones.size, 0)
    }),
    { seed: 1, numRuns: 50 }
  )
})
