import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from './counters.ts'
import { Drop } from './drop.ts'
import { InterceptCounter, InterceptCounters } from './intercept-counters.ts'

test('every counter and every drop reason has its own slot', () => {
  const counters = new Counters()
  for (const [index, counter] of Object.values(Counter).entries()) counters.add(counter, index + 1)
  for (const [index, reason] of Object.values(Drop).entries()) counters.drop(reason, 1000 + index, 2000 + index)
  for (const [index, counter] of Object.values(Counter).entries()) assert.equal(counters.get(counter), index + 1)
  for (const [index, reason] of Object.values(Drop).entries()) {
    assert.deepEqual([counters.droppedPackets(reason), counters.droppedBytes(reason)], [1000 + index, 2000 + index])
  }
  assert.equal(counters.latency.count, 0)
})

test('every counter of intercept has its own slot, and counters add up one by one', () => {
  const counters = new InterceptCounters()
  for (const [index, counter] of Object.values(InterceptCounter).entries()) counters.add(counter, index + 1)
  const sum = InterceptCounters.sum([counters, counters])
  for (const [index, counter] of Object.values(InterceptCounter).entries()) {
    assert.deepEqual([counters.get(counter), sum.get(counter)], [index + 1, 2 * index + 2])
  }
})
