import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Coalescing } from './coalescing.ts'

/** Turns of 0.5 ms, in each of which some clients are answered. @returns the pauses before them */
function pauses(coalescing: Coalescing, fromMs: number, turns: number, clients: (turn: number) => number[]): number[] {
  return Array.from({ length: turns }, (_, turn) => {
    const pause = coalescing.pauseMs(fromMs + turn / 2)
    for (const port of clients(turn)) coalescing.answered(port)
    return pause
  })
}

test('one connection, or a few dozen, never wait, however fast they are', () => {
  for (const count of [1, 2, 7, 27]) {
    const ports = Array.from({ length: count }, (_, index) => 40_000 + 2 * index)
    const found = pauses(new Coalescing(), 1000, 100, () => [...ports, ...ports])
    assert.ok(found.every((pause) => pause === 0))
  }
})

test('many connections wait a moment for each other, whether their ports are even, odd, or what another worker left', () => {
  for (const step of [1, 2, 3, 16, 32, 1024]) {
    const found = pauses(new Coalescing(), 1000, 100, (turn) =>
      Array.from({ length: 12 }, (_, one) => 1024 + step * (12 * turn + one))
    )
    assert.ok(found.slice(0, 8).every((pause) => pause === 0))
    assert.ok(
      found.slice(20).every((pause) => pause > 0 && pause < 0.5),
      `ports ${step} apart`
    )
  }
})

test('many connections that speak seldom do not wait', () => {
  const found = pauses(new Coalescing(), 1000, 400, (turn) => (turn % 4 === 0 ? [turn] : []))
  assert.ok(found.every((pause) => pause === 0))
})

test('when the many have gone silent, the next one does not wait', () => {
  const coalescing = new Coalescing()
  const many = () => Array.from({ length: 64 }, (_, index) => index)
  assert.ok(pauses(coalescing, 1000, 40, many).at(-1) !== 0)
  assert.equal(coalescing.pauseMs(1030), 0)
})
