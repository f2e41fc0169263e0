/** How many connections are copied, and how often: -r, -n. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ASSISTANT,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  until,
  untilCounter
} from './support/copy-lab.ts'

const ARGS = ['-x', MAP, '-s', ASSISTANT]

test('-n 3: the target serves exactly three times what the source serves', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy([...ARGS, '-n', '3', '-B', '64'])
  const load = ['-h', SOURCE, '-p', `${PORT}`, '-t', 'set', '-r', '100000', '-n', '20000', '-c', '50']
  await lab.hosts.client.mustRun('redis-benchmark', load)
  const expected = 3 * (await redis.source.requestCount())
  assert.ok(expected >= 60_000)
  await until(`the target has had ${expected} commands`, async () => (await redis.target.requestCount()) >= expected)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(await redis.target.requestCount(), expected)
  assert.equal(books.droppedBytes, 0)
  assert.deepEqual([books.copiesRefused, books.copiesMoved], [0, 0])
  assert.equal(books.sessionsStarted, ((books.copiesStarted ?? 0) * 3) / 2)
})

test('-r 30: of 1000 short connections 300 are copied, each whole', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy([...ARGS, '-r', '30'])
  const connections = `
    const net = require('net')
    let left = 1000
    const next = () => {
      if (left-- <= 0) return
      const socket = net.connect(${PORT}, '${SOURCE}')
      socket.write('INCR count\\r\\n')
      socket.on('data', () => socket.end())
      socket.on('close', next)
    }
    for (let worker = 0; worker < 20; worker++) next()`
  await lab.runScript(lab.hosts.client, connections)
  assert.equal(await redis.source.requestCount(), 1000)
  await until('300 are copied', async () => (await redis.target.requestCount()) >= 300)
  await untilCounter(tcpcopy, 'flowsLeftOut', (count) => count === 700)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(await redis.target.requestCount(), 300)
  assert.deepEqual([books.sessionsStarted, books.flowsLeftOut], [300, 700])
  assert.equal(books['dropped.sampledOut.bytes'], books.droppedBytes)
})

test('-n with too few ports is said at the start', async () => {
  await using lab = await openCopyLab()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy([...ARGS, '-n', '200'])
  await tcpcopy.waitForLine('stderr', (line) => line.includes('enough for 322 connections at once'))
  await finishAndReadBooks(tcpcopy)
})
