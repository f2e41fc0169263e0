import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Flow } from '../../wire/flow.ts'
import { ExpiryQueue } from './expiry-queue.ts'

test('flows expire once, in order, not early and few at a time', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 900 }), (gaps) => {
      const flows = new ExpiryQueue(1000)
      const waiting: { key: string; at: number }[] = []
      const flow = new Flow()
      let now = 0
      const onExpired = ({ clientAddress, serverAddress, ports }: Flow, value: number) => {
        const key = [clientAddress, serverAddress, ports, value]
        const first = waiting.shift()
        assert.equal(String(key), first?.key)
        assert.ok((first?.at ?? now) + 1000 <= now)
      }
      for (const [index, gap] of gaps.entries()) {
        now += gap
        flows.add(flow.set(index, index, -index, 0), index * 2 + 1, now)
        waiting.push({ key: String([index, -index, index << 16, index * 2 + 1]), at: now })
        const before = waiting.length
        flows.expire(now, 3, onExpired)
        assert.ok(before - waiting.length <= 3)
        assert.equal(flows.size, waiting.length)
      }
      now += 1000
      flows.expire(now, 10_000, onExpired)
      assert.equal(flows.size, 0)
    }),
    { seed: 1, numRuns: 50 }
  )
})
