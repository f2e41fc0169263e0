import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seq } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import { ReconnectPause } from './reconnect-pause.ts'

/** Connections that last for some time, each with what the source and the target answered. @returns pauses, in seconds */
function pausesOf(
  connections: readonly (readonly [source: number, target: number])[],
  lastingMs: number,
  reason: Drop
) {
  const pause = new ReconnectPause()
  let now = 0
  return connections.map(([source, target]) => {
    pause.opened(now)
    pause.use.ended(seq(7), target)
    pause.ended(now + lastingMs, reason)
    pause.use.complete(seq(7 + source))
    now += lastingMs
    const from = now
    if (!pause.begins(now)) return 0
    now = pause.until
    return (now - from) / 1000
  })
}

const { TargetClosed, TargetReset, Hole } = Drop

test('connections without use lead to pauses that double', () => {
  const useless = Array.from({ length: 9 }, () => [40, 1] as const)
  assert.deepEqual(pausesOf(useless, 5, TargetClosed), [0, 10, 20, 40, 80, 160, 320, 600, 600])
})

test('an answer of half to twice the length is of use and ends the row', () => {
  const mixed = [
    [40, 1],
    [40, 0],
    [40, 20],
    [40, 1],
    [40, 80],
    [40, 81],
    [40, 19],
    [40, 19]
  ] as const
  assert.deepEqual(pausesOf(mixed, 5, TargetReset), [0, 10, 0, 0, 0, 0, 10, 20])
})

test('clients that only send need connections that last', () => {
  const silent = [
    [0, 0],
    [0, 0],
    [0, 0]
  ] as const
  assert.deepEqual(pausesOf(silent, 9999, TargetReset), [0, 10, 20])
  assert.deepEqual(pausesOf(silent, 10_000, TargetReset), [0, 0, 0])
})

test('what the target did not end does not count', () => {
  assert.deepEqual(
    pausesOf(
      [
        [40, 0],
        [40, 0],
        [40, 0]
      ],
      5,
      Hole
    ),
    [0, 0, 0]
  )
})
