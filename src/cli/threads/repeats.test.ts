import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Repeats } from './repeats.ts'

const PLACE = { source: '*:80', target: '10.0.0.2:80' }

test('of several workers that warn of the same, the first one is heard', () => {
  const repeats = new Repeats([{ messages: ['bad', 'worse'], over: 'good' }])
  const isHeard = (message: string, worker: number, fields = PLACE): boolean =>
    !repeats.isRepeat(message, fields, worker)
  assert.equal(isHeard('bad', 1), true)
  assert.equal(isHeard('bad', 0), false)
  assert.equal(isHeard('worse', 0), false)
  assert.equal(isHeard('bad', 1), true, 'a repetition after some time')
  assert.equal(isHeard('bad', 0, { ...PLACE, source: '*:81' }), true, 'another -x')
  assert.equal(isHeard('other', 0), true)
  assert.equal(isHeard('other', 1), true)
})

test('it is over when it is over for all workers, and another one is heard meanwhile', () => {
  const repeats = new Repeats([{ messages: ['bad'], over: 'good' }])
  const isHeard = (message: string, worker: number): boolean => !repeats.isRepeat(message, PLACE, worker)
  assert.equal(isHeard('bad', 1), true)
  assert.equal(isHeard('bad', 0), false)
  assert.equal(isHeard('good', 1), false)
  assert.equal(isHeard('bad', 0), true)
  assert.equal(isHeard('good', 0), true)
  assert.equal(isHeard('bad', 1), true)
})
