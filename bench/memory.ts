/**
 * The memory of an idle session: opens 100,000 sessions, each idle after one request and its answer, and prints bytes for
 * each.
 * `node --expose-gc dist/bench/memory.js`; `--snapshot FILE` adds a heap snapshot for DevTools.
 */
import { parseArgs } from 'node:util'
import { writeHeapSnapshot } from 'node:v8'
import { idleSessions } from './loads/idle-sessions.ts'

const { values } = parseArgs({
  options: { count: { type: 'string', default: '100000' }, snapshot: { type: 'string' } }
})
const { bytesEach, heapEach, rig } = idleSessions(Number(values.count))
console.log(`${bytesEach.toFixed(0)} bytes a session, ${heapEach.toFixed(0)} of them objects`)
if (values.snapshot !== undefined) writeHeapSnapshot(values.snapshot)
console.log(`${rig.sessionCount} sessions, ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MB resident`)
