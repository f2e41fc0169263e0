import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Session } from '../session/session.ts'
import { ReadyList } from './ready-list.ts'

/** The part of a session that the list reads. */
function waiting(id: number): Session {
  return { id, isReady: false, hasEnded: false } as Session // as: the list never calls it
}

test('under constant load sessions are taken in order, each once, and the list does not outgrow their number', () => {
  const list = new ReadyList()
  let added = 0
  let taken = 0
  for (let round = 0; round < 10_000; round++) {
    // Never empty: 300 sessions, and one more for each that is taken.
    for (let count = round === 0 ? 300 : 256; count > 0; count--) list.add(waiting(added++))
    for (let count = 0; count < 256; count++) {
      const session = list.take()
      assert.equal(session?.id, taken++)
      assert.equal(session?.isReady, false)
    }
    assert.equal(list.isEmpty, false)
  }
  assert.ok(list.storeLength < 5000, `${list.storeLength} places`)
  while (list.take() !== undefined) taken++
  assert.equal(taken, added)
  assert.ok(list.isEmpty)
})

test('a session that is already in the list, or has ended, is not added', () => {
  const list = new ReadyList()
  const session = waiting(1)
  list.add(session)
  list.add(session)
  list.add({ ...waiting(2), hasEnded: true } as Session) // as: the list never calls it
  assert.equal(list.take(), session)
  assert.equal(list.take(), undefined)
})
