/** What sessions cost that have nothing to do: a source may hold very many of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { idleSessions } from '../bench/loads/idle-sessions.ts'

const COUNT = 50_000
const OCTETS_MAX = 600
/** Some thousand begin in the time after which sessions lie down while many are awake. */
const AWAKE_MAX = 4096

// As of --expose-gc, which a test file cannot ask for.
setFlagsFromString('--expose-gc')
globalThis.gc = runInNewContext('gc')

test('an idle session costs 600 octets at most, its share of the tables included, and few are awake at once', () => {
  const { bytesEach, rig } = idleSessions(COUNT)
  assert.equal(rig.sessionCount, COUNT)
  assert.ok(bytesEach < OCTETS_MAX, `${bytesEach.toFixed(0)} octets`)
  assert.ok(rig.awakeMost < AWAKE_MAX, `${rig.awakeMost} awake`)
})
