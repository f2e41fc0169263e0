/** What is copied where, and with which addresses: -x, -c, -H; connections joined in mid-stream; reused client ports. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLIENT, MAP, openCopyLab, PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { finishCopy } from '../support/books.ts'
import { copied } from '../support/copied.ts'
import { readPackets } from '../support/packet-file.ts'
import { until, untilCounter, untilRequests, untilSame } from '../support/waiting.ts'

const OTHER_PORT = 6400
const SECOND_SOURCE = '10.77.0.9'

copied(
  '-x with a source address copies only what was sent to that address',
  {
    map: `${SECOND_SOURCE}:${MAP}`,
    books: { sessionsStarted: 1 },
    prepare: ({ hosts }) => hosts.source.mustRun('ip', ['address', 'add', `${SECOND_SOURCE}/24`, 'dev', 'eth0'])
  },
  async ({ lab, hosts }) => {
    await lab.ask('SET', 'by-the-first', '1')
    await hosts.client.mustRun('redis-cli', ['-h', SECOND_SOURCE, 'SET', 'by-the-second', '2'])
    await until('the key is at the target', async () => (await lab.askTarget('GET', 'by-the-second')) === '2')
    assert.equal(await lab.askTarget('GET', 'by-the-first'), '')
  }
)

copied(
  'with two -x each port is copied to its own target port',
  { tcpcopy: ['-x', `${OTHER_PORT}-${TARGET}:${OTHER_PORT}`], books: { sessionsStarted: 2 } },
  async (copy) => {
    const other = await copy.lab.startRedisPair(OTHER_PORT)
    await copy.lab.ask('SET', 'a', '1')
    await copy.lab.ask('-p', `${OTHER_PORT}`, 'SET', 'b', '2')
    await copy.untilSame()
    await untilSame(other.source, other.target)
    assert.notEqual(await copy.target.digest(), await other.target.digest())
  }
)

/** Connects from one client port to two ports of the source at the same time. */
const twins = `
  const [host, ...ports] = process.argv.slice(1)
  const sockets = ports.map((port) => require('net').connect({ host, port: Number(port), localPort: 25000 }))
  let answers = 0
  for (const [index, socket] of sockets.entries()) {
    socket.write('SET twin' + index + ' 1\\r\\n')
    socket.on('data', () => { if (++answers === 2) for (const one of sockets) one.end() })
  }`

copied(
  'two source ports can share a target: where client ports collide, one copy gets another port',
  { map: `${MAP},${OTHER_PORT}-${TARGET}:${PORT}` },
  async ({ lab, hosts, source, target }) => {
    const other = await lab.startRedisPair(OTHER_PORT)
    await lab.runScript(hosts.client, twins, SOURCE, `${PORT}`, `${OTHER_PORT}`)
    await until('both are at the target', async () => (await target.requestCount()) === 2)
    assert.deepEqual([await source.requestCount(), await other.source.requestCount()], [1, 1])
    assert.equal(await lab.askTarget('EXISTS', 'twin0', 'twin1'), '2')
  }
)

copied(
  'with -c, clients appear at the target with addresses of the list',
  { routed: ['10.99.0.0/16'], tcpcopy: ['-c', '10.99.1.x,10.99.2.7'] },
  async (copy) => {
    const { lab, hosts } = copy
    const dump = await startPacketDump(hosts.target, `tcp port ${PORT}`, `${lab.folder}/target.pcap`)
    for (const key of ['a', 'b', 'c']) await lab.ask('SET', key, '1')
    await copy.untilSame()
    await dump.stop()
    const clients = new Set(readPackets(dump.path).map(({ from, to }) => (to === TARGET ? from : to)))
    assert.equal(clients.size, 1, 'one client keeps its address')
    for (const address of clients) assert.match(address, /^10\.99\.(?:1\.\d+|2\.7)$/)
    assert.ok(!clients.has(CLIENT))
  }
)

copied(
  'with -H, a client on the source itself is copied with an address that the target can answer',
  { routed: ['10.99.0.5/32'], tcpcopy: ['-H', '10.99.0.5'], books: { sessionsStarted: 1 } },
  async (copy) => {
    await copy.hosts.source.mustRun('redis-cli', ['-h', '127.0.0.1', 'SET', 'from', 'home'])
    await copy.untilSame()
  }
)

/** One connection that sets `early` at once, and another key at each SIGUSR2. */
const talk = `
  const socket = require('net').connect(${PORT}, '${SOURCE}', () => socket.write('SET early 1\\r\\n'))
  let count = 0
  socket.on('data', () => console.log('answer', count))
  process.on('SIGUSR2', () => socket.write('SET late' + ++count + ' 1\\r\\n'))
  process.on('SIGTERM', () => socket.end())`

test('a connection that was open before tcpcopy is joined when it has taken turns with the server three times', async () => {
  await using lab = await openCopyLab()
  const { target } = await lab.startRedisPair()
  await lab.startIntercept()
  const before = await target.requestCount()
  const client = lab.hosts.client.spawn(process.execPath, ['-e', talk])
  await client.waitForLine('stdout', (line) => line === 'answer 0')
  const tcpcopy = await lab.startTcpcopy()
  for (const count of [1, 2, 3, 4, 5]) {
    client.signal('SIGUSR2')
    await client.waitForLine('stdout', (line) => line === `answer ${count}`)
  }
  await untilRequests(target, before + 2)
  assert.equal(await target.requestCount(), before + 2)
  assert.equal(await lab.askTarget('EXISTS', 'late4', 'late5'), '2')
  assert.equal(await lab.askTarget('EXISTS', 'early', 'late1', 'late2', 'late3'), '0')
  assert.equal((await client.stop()).status, 0)
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 1)
  await finishCopy(tcpcopy, { sessionsJoined: 1, droppedBytes: 3 * 'SET late1 1\r\n'.length })
})

for (const isReset of [false, true]) {
  const how = isReset ? 'reset' : 'closed'
  copied(
    `a client that reconnects from one port loses nothing, its connections ${how}`,
    { books: { sessionsStarted: 60 } },
    async (copy) => {
      // TIME-WAIT would keep the client from its port, so the server closes first, or a reset leaves no TIME-WAIT.
      // An attempt that fails because the old socket awaits its last acknowledgment (EADDRNOTAVAIL) does not count.
      const again = `
        const net = require('net')
        let left = 60
        const next = () => {
          const socket = net.connect({ host: '${SOURCE}', port: ${PORT}, localPort: 25001 })
          const command = ${isReset} ? '' : 'QUIT\\r\\n'
          socket.write('INCR again\\r\\n' + command)
          socket.on('data', (data) => { if (${isReset} && String(data).includes(':')) socket.resetAndDestroy() })
          socket.on('error', (error) => { if (error.code === 'EADDRINUSE') { console.error(error.message); process.exit(1) } })
          socket.on('connect', () => { left -= 1 })
          socket.on('close', () => { if (left > 0) next() })
        }
        next()`
      await copy.lab.runScript(copy.hosts.client, again)
      await copy.untilSame()
      assert.equal(await copy.lab.askTarget('GET', 'again'), '60')
    }
  )
}
