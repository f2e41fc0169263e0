/** tcpcopy started while its clients are at work. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findMissingEnds } from '../../lab/loads/server.ts'
import { endLoad, finishAndReadBooks, openCopyLab, PORT, SOURCE, until, untilCounter } from './support/copy-lab.ts'

const busyClient = fileURLToPath(new URL('../../lab/loads/busy-client.js', import.meta.url))
const CONNECTIONS = 50
/** Far more than there is time for. */
const REQUESTS = 20_000
/** Fewer than the capture ring has slots. */
const AFTER_JOIN = 10_000

test('of 50 busy connections that were there before tcpcopy, nothing after the join is lost', async () => {
  await using lab = await openCopyLab()
  const { client } = lab.hosts
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const load = client.spawn(process.execPath, [busyClient, SOURCE, `${PORT}`, `${CONNECTIONS}`, `${REQUESTS}`])
  await until('all clients are at work', async () => (await redis.source.requestCount()) > 5000)
  const tcpcopy = await lab.startTcpcopy()
  const unseen = await redis.source.requestCount()
  await until('the load has gone on', async () => (await redis.source.requestCount()) > unseen + AFTER_JOIN)
  await endLoad(load)
  // Each connection may have had one request that was captured in part or not at all.
  const least = (await redis.source.requestCount()) - unseen - CONNECTIONS
  await until(`the target has had ${least} requests`, async () => (await redis.target.requestCount()) >= least)
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === CONNECTIONS)
  assert.deepEqual(await findMissingEnds(redis.source, redis.target, CONNECTIONS), [])
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.droppedBytes, books.sessionsJoined, books.sessionsStarted], [0, CONNECTIONS, CONNECTIONS])
})
