import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HIBERNATE_AFTER_MS, IdlePolicy } from './idle-policy.ts'

test('sessions hibernate late while there are few, and early while there are many', () => {
  const idlePolicy = new IdlePolicy(HIBERNATE_AFTER_MS)
  idlePolicy.count = 2048
  assert.equal(idlePolicy.hibernateAfterMs, HIBERNATE_AFTER_MS)
  idlePolicy.count = 2049
  assert.equal(idlePolicy.hibernateAfterMs, 100)
})

test('a shorter hibernation time, or none at all, applies to any number of sessions', () => {
  for (const hibernateAfterMs of [0, 1, Number.POSITIVE_INFINITY]) {
    const idlePolicy = new IdlePolicy(hibernateAfterMs)
    idlePolicy.count = 1_000_000
    assert.equal(idlePolicy.hibernateAfterMs, hibernateAfterMs)
  }
})
