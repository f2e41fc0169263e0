/** tcpcopy started while its clients are busy. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openCopyLab, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { findMissingEnds } from '../../../lab/loads/server.ts'
import { finishCopy, some } from '../support/books.ts'
import { stopCleanly, untilCounter, untilRequests } from '../support/waiting.ts'

const busyClient = fileURLToPath(new URL('../../../lab/loads/busy-client.js', import.meta.url))
/** Stores a value of 400 lines, each a command: half of it at once, the rest at SIGUSR2. Then it sends five commands. */
const slowValue = `
const socket = require('net').connect({ host: '${SOURCE}', port: ${PORT} })
const line = 'INCR evil\\r\\n'
const head = '*3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\nk\\r\\n$' + 400 * line.length + '\\r\\n'
socket.write(head + line.repeat(200), () => console.log('half'))
process.on('SIGUSR2', () => {
  let left = 20
  const timer = setInterval(() => {
    socket.write(left-- > 0 ? line.repeat(10) : '\\r\\n')
    if (left < 0) clearInterval(timer)
  }, 10)
})
const after = '*2\\r\\n$4\\r\\nINCR\\r\\n$5\\r\\nafter\\r\\n'
let left = 5
socket.on('data', () => { if (left-- > 0) socket.write(after); else process.exit() })
`

const CONNECTIONS = 50
/** Far more than there is time for. */
const REQUESTS = 20_000
/** Fewer than the capture ring has slots. */
const AFTER_JOIN = 10_000
/** Requests of each connection before it is joined. */
const TURNS = 3

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
  // Each connection may also have had one request that was captured in part or not at all.
  await untilRequests(target, (await source.requestCount()) - unseen - (TURNS + 1) * CONNECTIONS)
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === CONNECTIONS)
  assert.deepEqual(await findMissingEnds(source, target, CONNECTIONS), [])
  await finishCopy(tcpcopy, {
    sessionsJoined: CONNECTIONS,
    sessionsStarted: CONNECTIONS,
    'dropped.notJoined': TURNS * CONNECTIONS,
    droppedBytes: (count, books) => count === books['dropped.notJoined.bytes']
  })
})

test('the lines of a value that is being stored when tcpcopy starts do not run at the target', async () => {
  await using lab = await openCopyLab()
  const { target } = await lab.startRedisPair()
  await lab.startIntercept()
  const load = lab.hosts.client.spawn(process.execPath, ['-e', slowValue])
  await load.waitForLine('stdout', (line) => line === 'half')
  const tcpcopy = await lab.startTcpcopy()
  load.signal('SIGUSR2')
  await untilRequests(target, 1)
  assert.equal((await load.exited).status, 0)
  assert.deepEqual([await lab.askTarget('GET', 'evil'), await lab.askTarget('GET', 'after')], ['', '3'])
  await finishCopy(tcpcopy, { sessionsJoined: 1, droppedBytes: some, 'dropped.notJoined.bytes': some })
})
