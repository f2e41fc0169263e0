import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Session } from '../session/session.ts'
import { State } from '../session/session-context.ts'
import { ReadyList } from './ready-list.ts'

/** As much of a session as the list looks at. */
function waiting(id: number): Session {
  return { id, isReady: false, state: State.Established } as Session // as: it is never stepped
}

test('under lasting load sessions are taken in order, each once, and the store stays as long as they are many', () => {
  const list = new ReadyList()
  let added = 0
  let taken = 0
  for (let round = 0; round < 10_000; round++) {
    // Never empty: 300 and then as many as are taken.
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

test('a session that is in the list already, or has ended, is not added', () => {
  const list = new ReadyList()
  const session = waiting(1)
  list.add(session)
  list.add(session)
  list.add({ ...waiting(2), state: State.Closed } as Session) // as: it is never stepped
  assert.equal(list.take(), session)
  assert.equal(list.take(), undefined)
})
