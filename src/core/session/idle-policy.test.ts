import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HIBERNATE_AFTER_MS, IdlePolicy } from './idle-policy.ts'

test('sessions stay awake for long while few are, and hardly while many are', () => {
  const idlePolicy = new IdlePolicy(HIBERNATE_AFTER_MS)
  idlePolicy.count = 2048
  assert.equal(idlePolicy.hibernateAfterMs, HIBERNATE_AFTER_MS)
  idlePolicy.count = 2049
  assert.equal(idlePolicy.hibernateAfterMs, 100)
})

test('those that are to lie down sooner yet do so, and those that are to stay awake stay so', () => {
  for (const hibernateAfterMs of [0, 1, Number.POSITIVE_INFINITY]) {
    const idlePolicy = new IdlePolicy(hibernateAfterMs)
    idlePolicy.count = 1_000_000
    assert.equal(idlePolicy.hibernateAfterMs, hibernateAfterMs)
  }
})
