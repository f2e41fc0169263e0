import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ReplayClock } from './replay-clock.ts'

function dueTimes(speed: number, gapMaxMs: number, capturedMs: readonly number[]): number[] {
  const clock = new ReplayClock({ speed, gapMaxMs }, 1000)
  return capturedMs.map((time) => clock.due(time))
}

test('packets are due at the pace of the capture', () => {
  assert.deepEqual(dueTimes(1, Infinity, [5000, 5010, 5010, 7000.5]), [1000, 1010, 1010, 3000.5])
})

test('the pace can be faster or slower', () => {
  assert.deepEqual(dueTimes(4, Infinity, [0, 8, 16]), [1000, 1002, 1004])
  assert.deepEqual(dueTimes(0.5, Infinity, [0, 8, 16]), [1000, 1016, 1032])
})

test('long pauses are shortened before they are scaled', () => {
  assert.deepEqual(dueTimes(2, 10, [0, 8, 1008, 1010]), [1000, 1004, 1009, 1010])
})

test("if the file's clock goes back, no packet is due earlier, and no time passes twice", () => {
  assert.deepEqual(dueTimes(1, Infinity, [100, 110, 90, 115]), [1000, 1010, 1010, 1015])
})
