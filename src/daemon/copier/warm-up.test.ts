import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter } from '../../core/books/counters.ts'
import { cryptography } from '../../io/cryptography.ts'
import { copyOctets } from '../../io/linux/system/native-copy.ts'
import { warmUp } from './warm-up.ts'

test('a warm-up delivers every request and answer, and opens and closes every connection', () => {
  let acts = 0
  const counters = warmUp(cryptography, copyOctets, () => acts++ < 3)
  assert.equal(counters.get(Counter.sessionsStarted), 48)
  assert.equal(counters.get(Counter.sessionsClosed), 48)
  assert.equal(counters.get(Counter.epochs), 3 * 480)
  assert.equal(counters.get(Counter.deliveredBytes), counters.get(Counter.capturedPayloadBytes))
  assert.ok(counters.get(Counter.deliveredBytes) > 0)
})
