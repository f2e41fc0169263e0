/** Several tcpcopy at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ASSISTANT, openCopyLab, PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { finishCopy } from '../support/books.ts'
import { untilCounter, untilRequests } from '../support/waiting.ts'

const OTHER_PORT = 6400
const CONNECTIONS = 10
const REQUESTS = 50
/** Client ports so far apart that without `-f` copies of both would get the same port at the target. */
const FIRST_PORTS = [40_000, 59_619]

/** Sends requests one after the other from each client port, on all connections at once. */
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
    await untilRequests(redis.target, 6 * requests)
    for (const tcpcopy of both) await finishCopy(tcpcopy, { sessionsStarted: 3 * CONNECTIONS })
    for (const port of ports) assert.equal(await lab.askTarget('GET', `count${port}`), `${3 * requests}`)
  })
}
