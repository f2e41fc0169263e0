/** What sessions cost that have nothing to do: a source may hold very many of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { idleSessions } from '../bench/idle-sessions.ts'

const COUNT = 50_000
const OCTETS_MAX = 1000

// As of --expose-gc, which a test file cannot ask for.
setFlagsFromString('--expose-gc')
globalThis.gc = runInNewContext('gc')

test('an idle session costs less than 1 KB, its share of the tables included', () => {
  const { octetsEach, rig } = idleSessions(COUNT)
  assert.equal(rig.sessionCount, COUNT)
  assert.ok(octetsEach < OCTETS_MAX, `${octetsEach.toFixed(0)} octets`)
})
