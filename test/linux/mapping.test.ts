/** What is copied where and as whom: -x, -c, -H; connections joined in mid-stream; ports that are used again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import {
  ASSISTANT,
  CLIENT,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  TARGET,
  until,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'
import { readPackets } from './support/packet-file.ts'

const TO_ASSISTANT = ['-s', ASSISTANT]
const OTHER_PORT = 6400

test('-x with a source address copies what came to that address only', async () => {
  await using lab = await openCopyLab()
  const { source, client } = lab.hosts
  await source.mustRun('ip', ['address', 'add', '10.77.0.9/24', 'dev', 'eth0'])
  await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', `10.77.0.9:${MAP}`, ...TO_ASSISTANT])
  await lab.ask('SET', 'by-the-first', '1')
  await client.mustRun('redis-cli', ['-h', '10.77.0.9', 'SET', 'by-the-second', '2'])
  await until('the key is at the target', async () => (await lab.askTarget('GET', 'by-the-second')) === '2')
  assert.equal(await lab.askTarget('GET', 'by-the-first'), '')
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.sessionsStarted, books.droppedBytes], [1, 0])
})

test('two -x at once: each port to its own target port', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const other = await lab.startRedisPair(OTHER_PORT)
  await lab.startIntercept()
  const maps = ['-x', MAP, '-x', `${OTHER_PORT}-${TARGET}:${OTHER_PORT}`]
  const tcpcopy = await lab.startTcpcopy([...maps, ...TO_ASSISTANT])
  await lab.ask('SET', 'a', '1')
  await lab.ask('-p', `${OTHER_PORT}`, 'SET', 'b', '2')
  await untilSame(redis.source, redis.target)
  await untilSame(other.source, other.target)
  assert.notEqual(await redis.target.digest(), await other.target.digest())
  assert.equal((await finishAndReadBooks(tcpcopy)).sessionsStarted, 2)
})

test('two source ports may go to one target: clients with the same port get one of their own', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const other = await lab.startRedisPair(OTHER_PORT)
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', `${MAP},${OTHER_PORT}-${TARGET}:${PORT}`, ...TO_ASSISTANT])
  // The same client port to both, at the same time.
  const both = `
    const [host, ...ports] = process.argv.slice(1)
    const sockets = ports.map((port) => require('net').connect({ host, port: Number(port), localPort: 25000 }))
    let answers = 0
    for (const [index, socket] of sockets.entries()) {
      socket.write('SET twin' + index + ' 1\\r\\n')
      socket.on('data', () => { if (++answers === 2) for (const one of sockets) one.end() })
    }`
  await lab.runScript(lab.hosts.client, both, SOURCE, `${PORT}`, `${OTHER_PORT}`)
  await until('both are at the target', async () => (await redis.target.requestCount()) === 2)
  assert.deepEqual([await redis.source.requestCount(), await other.source.requestCount()], [1, 1])
  assert.equal(await lab.askTarget('EXISTS', 'twin0', 'twin1'), '2')
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})

test('with -c, clients appear at the target with addresses of the list', async () => {
  await using lab = await openCopyLab({ routed: ['10.99.0.0/16'] })
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const dump = await startPacketDump(lab.hosts.target, `tcp port ${PORT}`, `${lab.folder}/target.pcap`)
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, ...TO_ASSISTANT, '-c', '10.99.1.x,10.99.2.7'])
  for (const key of ['a', 'b', 'c']) await lab.ask('SET', key, '1')
  await untilSame(redis.source, redis.target)
  await dump.stop()
  const clients = new Set(readPackets(dump.path).map(({ from, to }) => (to === TARGET ? from : to)))
  assert.equal(clients.size, 1, 'one client keeps its address')
  for (const address of clients) assert.match(address, /^10\.99\.(?:1\.\d+|2\.7)$/)
  assert.ok(!clients.has(CLIENT))
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})

test('with -H, a client on the source itself is copied under an address that the target can answer', async () => {
  await using lab = await openCopyLab({ routed: ['10.99.0.5/32'] })
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, ...TO_ASSISTANT, '-H', '10.99.0.5'])
  await lab.hosts.source.mustRun('redis-cli', ['-h', '127.0.0.1', 'SET', 'from', 'home'])
  await untilSame(redis.source, redis.target)
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.sessionsStarted, books.droppedBytes], [1, 0])
})

test('a connection that was open before tcpcopy is joined at its next command', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const before = await redis.target.requestCount()
  const talk = `
    const socket = require('net').connect(${PORT}, '${SOURCE}', () => socket.write('SET early 1\\r\\n'))
    let count = 0
    socket.on('data', () => console.log('answer', count))
    process.on('SIGUSR2', () => socket.write('SET late' + ++count + ' 1\\r\\n'))
    process.on('SIGTERM', () => socket.end())`
  const client = lab.hosts.client.spawn(process.execPath, ['-e', talk])
  await client.waitForLine('stdout', (line) => line === 'answer 0')
  const tcpcopy = await lab.startTcpcopy()
  for (const count of [1, 2, 3]) {
    client.signal('SIGUSR2')
    await client.waitForLine('stdout', (line) => line === `answer ${count}`)
  }
  await until('three commands are copied', async () => (await redis.target.requestCount()) === before + 3)
  assert.equal(await lab.askTarget('EXISTS', 'late1', 'late2', 'late3'), '3')
  assert.equal(await lab.askTarget('EXISTS', 'early'), '0')
  assert.equal((await client.stop()).status, 0)
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 1)
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.sessionsJoined, books.droppedBytes], [1, 0])
})

for (const isReset of [false, true]) {
  const how = isReset ? 'reset' : 'closed'
  test(`a client that connects from one port again and again loses nothing, connections ${how} by the client`, async () => {
    await using lab = await openCopyLab()
    const redis = await lab.startRedisPair()
    await lab.startIntercept()
    const tcpcopy = await lab.startTcpcopy()
    // TIME-WAIT would keep the client from its port: it is the server that closes first, or nobody waits after a reset.
    // What was not connected, since the old socket waits for its last acknowledgment (EADDRNOTAVAIL), does not count.
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
    await lab.runScript(lab.hosts.client, again)
    await untilSame(redis.source, redis.target)
    assert.equal(await lab.askTarget('GET', 'again'), '60')
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.sessionsStarted, books.droppedBytes], [60, 0])
  })
}
