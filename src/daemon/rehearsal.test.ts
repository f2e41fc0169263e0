import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter } from '../core/counters.ts'
import { cryptography } from '../io/cryptography.ts'
import { copyOctets } from '../io/linux/native-copy.ts'
import { rehearse } from './rehearsal.ts'

test('in a rehearsal every request is delivered and answered, and every connection opens and closes', () => {
  let acts = 0
  const counters = rehearse(cryptography, copyOctets, () => acts++ < 3)
  assert.equal(counters.get(Counter.sessionsStarted), 48)
  assert.equal(counters.get(Counter.sessionsClosed), 48)
  assert.equal(counters.get(Counter.epochs), 3 * 480)
  assert.equal(counters.get(Counter.deliveredBytes), counters.get(Counter.capturedPayloadBytes))
  assert.ok(counters.get(Counter.deliveredBytes) > 0)
})
