/** Requests larger than a packet, with offloads and without, and segments that are not what they should be. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { counter } from '../../lab/hosts/json-log.ts'
import {
  finishAndReadBooks,
  openCopyLab,
  PORT,
  SOURCE,
  statisticsOf,
  until,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

/** Sets keys of these sizes, one after the other, on one connection; every value is another pattern. */
const setValues = `
const [host, port, ...sizes] = process.argv.slice(1)
const socket = require('net').connect(Number(port), host)
let answers = 0
const next = () => {
  if (answers === sizes.length) return socket.end()
  const size = Number(sizes[answers])
  const value = Buffer.alloc(size)
  for (let at = 0; at < size; at++) value[at] = (at * 31 + (at >>> 8) * 17 + size) & 255
  const key = 'key' + answers + ':' + size
  socket.write('*3\\r\\n$3\\r\\nSET\\r\\n$' + key.length + '\\r\\n' + key + '\\r\\n$' + size + '\\r\\n')
  socket.write(value)
  socket.write('\\r\\n')
}
socket.on('connect', next)
socket.on('data', (data) => {
  for (let at = data.indexOf('+OK'); at >= 0; at = data.indexOf('+OK', at + 1)) answers++
  next()
})
`

const rawSegment = fileURLToPath(new URL('./support/raw-segment.js', import.meta.url))

for (const offloads of [false, true]) {
  test(`SETs of 1 B to 200 kB arrive byte for byte, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openCopyLab({ offloads })
    const redis = await lab.startRedisPair()
    await lab.startIntercept()
    const tcpcopy = await lab.startTcpcopy()
    const sizes = [1, 1380, 1448, 1449, 60_000, 200_000, 65_483, 200_000, 3]
    await lab.runScript(lab.hosts.client, setValues, SOURCE, `${PORT}`, ...sizes.map(String))
    await untilSame(redis.source, redis.target)
    assert.equal(await lab.askTarget('STRLEN', 'key5:200000'), '200000')
    const books = await finishAndReadBooks(tcpcopy)
    assert.equal(books.droppedBytes, 0)
    assert.equal(books.captureDropped, 0)
    assert.ok((books.deliveredBytes ?? 0) > sizes.reduce((sum, size) => sum + size, 0))
  })
}

/** Sends octets in three parts; the second one is urgent, so a server that reads only the stream does not see it. */
const sendUrgent = `
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Proto => 'tcp') or die;
$socket->send('SET urgent a', 0);
$socket->send('!', MSG_OOB);
$socket->send("b\\r\\n", 0);
$socket->recv(my $answer, 100, 0);
die "answer: $answer" unless $answer =~ /OK/;
`

test('an urgent octet stays out of the stream at the target too', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  await lab.hosts.client.mustRun('perl', ['-e', sendUrgent, SOURCE, `${PORT}`])
  await untilSame(redis.source, redis.target)
  assert.equal(await lab.askTarget('GET', 'urgent'), 'ab')
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  assert.ok((books.urgentSegments ?? 0) > 0)
})

test('a client with a path of 600 octets is copied whole', async () => {
  await using lab = await openCopyLab()
  const { client } = lab.hosts
  await client.mustRun('ip', ['link', 'set', 'eth0', 'mtu', '600'])
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  await lab.runScript(client, setValues, SOURCE, `${PORT}`, '100000', '7')
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})

test('a segment with a wrong checksum is dropped by name, and its octets are in the books', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  await lab.hosts.client.mustRun(process.execPath, [rawSegment, 'bad-checksum', SOURCE, 'PING\n'])
  await untilCounter(tcpcopy, 'dropped.badChecksum', (count) => count === 1)
  const statistics = await statisticsOf(tcpcopy)
  assert.equal(counter(statistics, 'dropped.badChecksum.bytes'), 5)
  assert.equal(counter(statistics, 'sessionsStarted'), 0)
  assert.equal(counter(statistics, 'capturedPayloadBytes'), 5)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 5)
})

test('a segment that arrives in IP fragments is copied whole', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  const command = `SET fragmented ${'x'.repeat(2000)}\r\n`
  await lab.hosts.client.mustRun(process.execPath, [rawSegment, 'fragmented', SOURCE, command])
  await until('the key is at the target', async () => (await lab.askTarget('STRLEN', 'fragmented')) === '2000')
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.capturedPayloadBytes, books.deliveredBytes], [command.length, command.length])
  assert.equal(books.sessionsJoined, 1)
})
