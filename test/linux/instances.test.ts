/** Several tcpcopy at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../../lab/job/redis.ts'
import {
  ASSISTANT,
  finishAndReadBooks,
  openCopyLab,
  PORT,
  SOURCE,
  TARGET,
  until,
  untilCounter
} from './support/copy-lab.ts'

const OTHER_PORT = 6400
const CONNECTIONS = 10
const REQUESTS = 50
/** Client ports so far apart that without `-f` a copy of each one's would get the same port at the target. */
const FIRST_PORTS = [40_000, 59_619]

/** From each of the client ports, requests one after the other; all connections at once. */
const clients = `
const [host, port, firstPort] = process.argv.slice(1)
for (let index = 0; index < ${CONNECTIONS}; index++) {
  const socket = require('net').connect({ host, port: Number(port), localPort: Number(firstPort) + index })
  let left = ${REQUESTS}
  const next = () => { if (left-- > 0) socket.write('INCR count' + port + '\\r\\n'); else socket.end() }
  socket.on('connect', next)
  socket.on('data', next)
}`

for (const workers of ['1', '3']) {
  test(`two tcpcopy make three copies of each connection to one target; -f keeps their ports apart (intercept --workers ${workers})`, async () => {
    await using lab = await openCopyLab()
    const { client, source } = lab.hosts
    const redis = await lab.startRedisPair()
    const other = await startRedis(source, OTHER_PORT, lab.subfolder('other'))
    await lab.startIntercept(['--workers', workers])
    const to = `${TARGET}:${PORT}`
    const copies = ['-s', ASSISTANT, '-n', '3', '-f']
    const both = [
      await lab.startTcpcopy(['-x', `${PORT}-${to}`, ...copies, '0']),
      await lab.startTcpcopy(['-x', `${OTHER_PORT}-${to}`, ...copies, '512'])
    ]
    const ports = [PORT, OTHER_PORT]
    await Promise.all(
      ports.map((port, index) => lab.runScript(client, clients, SOURCE, `${port}`, `${FIRST_PORTS[index]}`))
    )
    const requests = CONNECTIONS * REQUESTS
    assert.deepEqual([await redis.source.requestCount(), await other.requestCount()], [requests, requests])
    for (const tcpcopy of both) await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 3 * CONNECTIONS)
    await until('the target has had all', async () => (await redis.target.requestCount()) >= 6 * requests)
    for (const tcpcopy of both) {
      const books = await finishAndReadBooks(tcpcopy)
      assert.deepEqual([books.droppedBytes, books.sessionsStarted], [0, 3 * CONNECTIONS])
    }
    for (const port of ports) assert.equal(await lab.askTarget('GET', `count${port}`), `${3 * requests}`)
  })
}
