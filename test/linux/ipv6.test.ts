/** Copies over IPv6, alone and beside IPv4. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { counter } from '../../lab/hosts/json-log.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import type { Program } from '../../lab/hosts/program.ts'
import {
  ASSISTANT,
  ASSISTANT_6,
  CLIENT_6,
  type CopyLab,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  SOURCE_6,
  statisticsOf,
  TARGET_6,
  until,
  untilSame
} from './support/copy-lab.ts'

const MAP_6 = `${PORT}-[${TARGET_6}]:${PORT}`
const ANSWERS = `src port ${PORT}`

/** Sets keys of these sizes, one after the other, on one connection; every value is another pattern. */
const setValues = `
const [host, port, name, ...sizes] = process.argv.slice(1)
const socket = require('net').connect(Number(port), host)
let answers = 0
const next = () => {
  if (answers === sizes.length) return socket.end()
  const size = Number(sizes[answers])
  const value = Buffer.alloc(size)
  for (let at = 0; at < size; at++) value[at] = (at * 31 + (at >>> 8) * 17 + size) & 255
  const key = name + answers
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
const SIZES = [1, 1428, 1429, 60_000, 200_000, 65_483, 200_000, 3]

async function setFrom(lab: CopyLab, source: string, name = source): Promise<void> {
  await lab.runScript(lab.hosts.client, setValues, source, `${PORT}`, name, ...SIZES.map(String))
}

async function assertNothingDropped(tcpcopy: Program): Promise<void> {
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  assert.ok((books.deliveredBytes ?? 0) > SIZES.reduce((sum, size) => sum + size, 0))
}

for (const [way, offloads] of [
  ['auto', false],
  ['auto', true],
  ['ip', false],
  ['link', true],
  ['xdp', false]
] as const) {
  test(`IPv6 and IPv4 clients are copied in one run, byte for byte, sent by ${way}, offloads ${offloads}`, async () => {
    await using lab = await openCopyLab({ isDual: true, offloads })
    const redis = await lab.startRedisPair()
    const intercept = await lab.startIntercept([], ANSWERS)
    const tcpcopy = await lab.startTcpcopy(['-x', `${MAP},${MAP_6}`, '-s', ASSISTANT, '--send', way])
    await Promise.all([setFrom(lab, SOURCE), setFrom(lab, SOURCE_6)])
    await untilSame(redis.source, redis.target)
    assert.equal(counter(await statisticsOf(intercept), 'flawedPackets'), 0)
    await assertNothingDropped(tcpcopy)
  })
}

const OWN_MAC = '02:00:00:00:00:66'
const asItComes = { maps: () => [MAP, MAP_6], ofIntercept: [], ofTcpcopy: [], mac: '' } as const

for (const { how, maps, ofIntercept, ofTcpcopy, mac } of [
  { ...asItComes, how: 'answers shared by three workers', ofIntercept: ['--workers', '3'] },
  { ...asItComes, how: 'from the frames of a device', ofTcpcopy: ['-i', 'eth0'] },
  { ...asItComes, how: 'through a device that is named', ofTcpcopy: ['-o', 'eth0'] },
  {
    ...asItComes,
    how: 'between MACs that are given',
    maps: (to: string) => [`${MAP}@${to}`, `${PORT}@${OWN_MAC}-[${TARGET_6}]:${PORT}@${to}`],
    ofTcpcopy: ['-o', 'eth0'],
    mac: OWN_MAC
  }
]) {
  test(`many connections of both versions are copied, byte for byte: ${how}`, async () => {
    await using lab = await openCopyLab({ isDual: true, offloads: true })
    const redis = await lab.startRedisPair()
    const targetMac = (await lab.hosts.target.mustRun('cat', ['/sys/class/net/eth0/address'])).trim()
    const intercept = await lab.startIntercept(ofIntercept, ANSWERS)
    const tcpcopy = await lab.startTcpcopy(['-x', maps(targetMac).join(), '-s', ASSISTANT, ...ofTcpcopy])
    const filter = `ip6 and tcp dst port ${PORT} and ether src ${mac || OWN_MAC}`
    const dump = await startPacketDump(lab.hosts.target, filter, join(lab.folder, 'mac.pcap'))
    await Promise.all(
      [0, 1, 2, 3, 4].flatMap((one) => [SOURCE, SOURCE_6].map((to) => setFrom(lab, to, `${to}/${one}`)))
    )
    await untilSame(redis.source, redis.target)
    await dump.stop()
    assert.equal(/^0 packets captured/m.test(dump.program.stderr), mac === '')
    assert.equal(counter(await statisticsOf(intercept), 'flawedPackets'), 0)
    await assertNothingDropped(tcpcopy)
  })
}

test('over a channel of IPv6, to a target by its brackets, with addresses of a prefix, nothing but IPv6', async () => {
  await using lab = await openCopyLab({ isDual: true, routed: ['fd99::/64'] })
  const redis = await lab.startRedisPair()
  await lab.startIntercept(['-b', ASSISTANT_6], `src host ${TARGET_6}`)
  const map = `[${SOURCE_6}]:${PORT}-[${TARGET_6}]:${PORT}`
  const tcpcopy = await lab.startTcpcopy([
    '-x',
    map,
    '-s',
    `[${ASSISTANT_6}]:36524`,
    '-c',
    'fd99::/64',
    '--trace',
    CLIENT_6
  ])
  await setFrom(lab, SOURCE_6)
  await untilSame(redis.source, redis.target)
  await tcpcopy.waitForLine('stderr', (line) => /\[fd77::10\]:\d+ captured/.test(line))
  await assertNothingDropped(tcpcopy)
})

test('lost packets of the copy are sent again', async () => {
  await using lab = await openCopyLab({ isDual: true })
  const redis = await lab.startRedisPair()
  await lab.startIntercept([], ANSWERS)
  const tcpcopy = await lab.startTcpcopy(['-x', MAP_6, '-s', ASSISTANT])
  const drop = [
    '-p',
    'tcp',
    '--dport',
    `${PORT}`,
    '-m',
    'statistic',
    '--mode',
    'nth',
    '--every',
    '20',
    '--packet',
    '3',
    '-j',
    'DROP'
  ]
  await lab.hosts.target.mustRun('ip6tables', ['-t', 'raw', '-A', 'PREROUTING', ...drop])
  await setFrom(lab, SOURCE_6)
  await untilSame(redis.source, redis.target)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  assert.ok((books.retransmissions ?? 0) > 0)
})

test('clients whose packets have extension headers are copied, without those', async () => {
  await using lab = await openCopyLab({ isDual: true })
  const redis = await lab.startRedisPair()
  await lab.startIntercept([], ANSWERS)
  const tcpcopy = await lab.startTcpcopy(['-x', `${MAP},${MAP_6}`, '-s', ASSISTANT])
  const client = fileURLToPath(new URL('./support/options-client.js', import.meta.url))
  const seen = await startPacketDump(lab.hosts.source, 'ip6 proto 60', join(lab.folder, 'options.pcap'))
  for (let count = 0; count < 5; count++) {
    const said = await lab.hosts.client.mustRun(process.execPath, [
      client,
      SOURCE_6,
      `${PORT}`,
      `SET key${count} value`
    ])
    assert.equal(said.trim(), '+OK')
  }
  await untilSame(redis.source, redis.target)
  await seen.stop()
  assert.doesNotMatch(seen.program.stderr, /^0 packets captured/m)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  assert.equal(books.sessionsJoined, 0)
})

test("with --acks drop, clients' acknowledgments stay in the kernel over IPv6 too", async () => {
  await using lab = await openCopyLab({ isDual: true })
  const redis = await lab.startRedisPair()
  await lab.startIntercept([], ANSWERS)
  const tcpcopy = await lab.startTcpcopy(['-x', `${MAP},${MAP_6}`, '-s', ASSISTANT, '--acks', 'drop'])
  await lab.hosts.client.mustRun('redis-cli', ['-h', SOURCE_6, 'SETRANGE', 'large', '300000', 'end'])
  for (let round = 0; round < 5; round++) {
    await lab.hosts.client.mustRun('redis-cli', ['-h', SOURCE_6, 'GET', 'large'])
  }
  await untilSame(redis.source, redis.target)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  assert.ok((books.capturedPackets ?? 0) < 60, `${books.capturedPackets} packets captured`)
})

test('an intercept of version 1 is told nothing of IPv6 clients, and that is said once', async () => {
  await using lab = await openCopyLab({ isDual: true })
  await lab.startRedisPair()
  await lab.startIntercept(['--channel-version', '1'], ANSWERS)
  const tcpcopy = await lab.startTcpcopy(['-x', MAP_6, '-s', ASSISTANT], false)
  await until('tcpcopy warns', () => tcpcopy.stderr.includes('version 1 of the channel does not support IPv6'))
  await lab.hosts.client.mustRun('redis-cli', ['-h', SOURCE_6, 'PING'])
  await until('the route is counted', async () => (counter(await statisticsOf(tcpcopy), 'routesUntold') ?? 0) > 0)
  assert.equal(tcpcopy.stderr.split('version 1 of the channel does not support IPv6').length, 2)
})
