import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from '../../core/books/counters.ts'
import { Drain, STALLED_MS } from './drain.ts'

test('draining ends at once when no connection is left', () => {
  const counters = new Counters()
  const drain = new Drain(counters, 3000)
  counters.set(Counter.sessionsStarted, 2)
  counters.set(Counter.sessionsEnded, 1)
  assert.equal(drain.isSettled(1000), false)
  counters.set(Counter.sessionsEnded, 2)
  assert.equal(drain.isSettled(1000), true)
})

test('open connections get time for their last answer, once everything is delivered', () => {
  const counters = new Counters()
  const drain = new Drain(counters, 3000)
  counters.set(Counter.sessionsStarted, 1)
  counters.set(Counter.pendingBytes, 10)
  assert.equal(drain.isSettled(0), false)
  assert.equal(drain.isSettled(5000), false)
  counters.set(Counter.pendingBytes, 0)
  counters.add(Counter.answers, 1)
  assert.equal(drain.isSettled(5001), false)
  counters.add(Counter.answers, 1)
  assert.equal(drain.isSettled(8000), false)
  assert.equal(drain.isSettled(10_999), false)
  assert.equal(drain.isSettled(11_000), true)
})

test('a copy without progress is distinguished from a pause in the file', () => {
  const drain = new Drain(new Counters(), 3000)
  assert.equal(drain.isStalled(false, 0), false)
  assert.equal(drain.isStalled(false, STALLED_MS * 2), false)
  assert.equal(drain.isStalled(true, STALLED_MS * 3 - 1), false)
  assert.equal(drain.isStalled(true, STALLED_MS * 3), true)
})
