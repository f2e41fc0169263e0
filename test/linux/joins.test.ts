/** tcpcopy started while its clients are at work. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { findMissingEnds, RedisServer } from '../../lab/server.ts'
import { finishAndReadBooks, openCopyLab, PORT, SOURCE, until, untilCounter } from './copy-lab.ts'

const busyClient = fileURLToPath(new URL('../../lab/busy-client.js', import.meta.url))
const CONNECTIONS = 50
const REQUESTS = 1000

test('of 50 busy connections that were there before tcpcopy, nothing after the join is lost', async () => {
  await using lab = await openCopyLab()
  const { client } = lab.hosts
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const load = [SOURCE, `${PORT}`, `${CONNECTIONS}`, `${REQUESTS}`]
  const loading = client.mustRun(process.execPath, [busyClient, ...load])
  await until('all clients are at work', async () => (await redis.source.commandCount()) > 5000)
  const tcpcopy = await lab.startTcpcopy()
  const unseen = await redis.source.commandCount()
  await loading
  const all = CONNECTIONS * REQUESTS
  // Each connection may have had one request that was captured in part or not at all.
  const least = all - unseen - CONNECTIONS
  assert.ok(least > 0, 'the load ended before tcpcopy was ready')
  await until(`the target has had ${least} requests`, async () => (await redis.target.commandCount()) >= least)
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === CONNECTIONS)
  assert.deepEqual(await findMissingEnds(new RedisServer(redis.source), new RedisServer(redis.target), CONNECTIONS), [])
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.droppedBytes, books.sessionsJoined, books.sessionsStarted], [0, CONNECTIONS, CONNECTIONS])
})
