/** `--acks drop` on a real kernel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ASSISTANT, finishAndReadBooks, MAP, openCopyLab, SOURCE, untilSame } from './support/copy-lab.ts'

const REQUESTS = 2000

test("the kernel drops clients' acknowledgments, and the copy is as whole without them", async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '--acks', 'drop'])
  const args = ['-h', SOURCE, '-q', '-t', 'set', '-r', '2000000000', '-c', '10', '-n', `${REQUESTS}`]
  for (const keep of ['1', '0']) await lab.hosts.client.mustRun('redis-benchmark', [...args, '-k', keep])
  await untilSame(redis.source, redis.target)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  assert.equal(books['dropped.pureAck'] ?? 0, 0)
})
