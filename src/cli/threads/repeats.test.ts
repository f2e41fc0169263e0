import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Repeats } from './repeats.ts'

test('a warning about a -x is logged once, whichever workers have it', () => {
  const repeats = new Repeats(['no use'])
  const one = { source: '*:80', target: '10.0.0.3:80' }
  assert.ok(!repeats.isRepeat('no use', one, 1, 0))
  assert.ok(repeats.isRepeat('no use', one, 0, 1000))
  assert.ok(repeats.isRepeat('no use', one, 2, 599_999))
  assert.ok(!repeats.isRepeat('no use', one, 1, 599_999), 'the worker knows that it is a new one')
  assert.ok(!repeats.isRepeat('no use', { ...one, source: '*:81' }, 0, 1000))
  assert.ok(!repeats.isRepeat('no use', one, 2, 1_200_000), 'much later')
  assert.ok(!repeats.isRepeat('another', one, 1, 0))
  assert.ok(!repeats.isRepeat('another', one, 2, 0))
})
