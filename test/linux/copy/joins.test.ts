/** tcpcopy started while its clients are busy. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openCopyLab, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { findMissingEnds } from '../../../lab/loads/server.ts'
import { finishCopy } from '../support/books.ts'
import { stopCleanly, untilCounter, untilRequests } from '../support/waiting.ts'

const busyClient = fileURLToPath(new URL('../../../lab/loads/busy-client.js', import.meta.url))
const CONNECTIONS = 50
/** Far more than there is time for. */
const REQUESTS = 20_000
/** Fewer than the capture ring has slots. */
const AFTER_JOIN = 10_000

test('50 busy connections that are older than tcpcopy lose nothing after they are joined', async () => {
  await using lab = await openCopyLab()
  const { client } = lab.hosts
  const { source, target } = await lab.startRedisPair()
  await lab.startIntercept()
  const load = client.spawn(process.execPath, [busyClient, SOURCE, `${PORT}`, `${CONNECTIONS}`, `${REQUESTS}`])
  await untilRequests(source, 5000)
  const tcpcopy = await lab.startTcpcopy()
  const unseen = await source.requestCount()
  await untilRequests(source, unseen + AFTER_JOIN)
  await stopCleanly(load)
  // Each connection may have had one request that was captured in part or not at all.
  await untilRequests(target, (await source.requestCount()) - unseen - CONNECTIONS)
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === CONNECTIONS)
  assert.deepEqual(await findMissingEnds(source, target, CONNECTIONS), [])
  await finishCopy(tcpcopy, { sessionsJoined: CONNECTIONS, sessionsStarted: CONNECTIONS })
})
