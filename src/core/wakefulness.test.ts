import assert from 'node:assert/strict'
import { test } from 'node:test'
import { REST_AFTER_MS, Wakefulness } from './wakefulness.ts'

test('sessions stay awake for long while few are, and hardly while many are', () => {
  const wakefulness = new Wakefulness(REST_AFTER_MS)
  wakefulness.count = 2048
  assert.equal(wakefulness.restAfterMs, REST_AFTER_MS)
  wakefulness.count = 2049
  assert.equal(wakefulness.restAfterMs, 100)
})

test('those that are to lie down sooner yet do so, and those that are to stay awake stay so', () => {
  for (const restAfterMs of [0, 1, Number.POSITIVE_INFINITY]) {
    const wakefulness = new Wakefulness(restAfterMs)
    wakefulness.count = 1_000_000
    assert.equal(wakefulness.restAfterMs, restAfterMs)
  }
})
