import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Coalescing } from './coalescing.ts'

/** Runs turns of 0.5 ms, each with answers to some clients. @returns the pauses before the turns */
function pauses(coalescing: Coalescing, fromMs: number, turns: number, clients: (turn: number) => number[]): number[] {
  return Array.from({ length: turns }, (_, turn) => {
    const pause = coalescing.pauseMs(fromMs + turn / 2)
    for (const port of clients(turn)) coalescing.answered(port)
    return pause
  })
}

test('answers of one connection or a few dozen never wait, however fast they arrive', () => {
  for (const count of [1, 2, 7, 27]) {
    const ports = Array.from({ length: count }, (_, index) => 40_000 + 2 * index)
    const found = pauses(new Coalescing(), 1000, 100, () => [...ports, ...ports])
    assert.ok(found.every((pause) => pause === 0))
  }
})

test('answers of many connections wait for each other briefly, whatever the spacing of their ports', () => {
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

test('answers of many connections do not wait if they are rare', () => {
  const found = pauses(new Coalescing(), 1000, 400, (turn) => (turn % 4 === 0 ? [turn] : []))
  assert.ok(found.every((pause) => pause === 0))
})

test('when many connections have become quiet, the next answer does not wait', () => {
  const coalescing = new Coalescing()
  const many = () => Array.from({ length: 64 }, (_, index) => index)
  assert.ok(pauses(coalescing, 1000, 40, many).at(-1) !== 0)
  assert.equal(coalescing.pauseMs(1030), 0)
})
