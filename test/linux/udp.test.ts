/** Datagrams of any size, copied by `--udp` without an intercept. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Host } from '../../lab/hosts/host.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import type { Program } from '../../lab/hosts/program.ts'
import {
  CLIENT,
  CLIENT_6,
  type CopyLab,
  finishAndReadBooks,
  openCopyLab,
  SOURCE,
  SOURCE_6,
  startReady,
  TARGET,
  TARGET_6,
  TCPCOPY,
  until,
  untilCounter
} from './support/copy-lab.ts'

const PORT = 5353
const MAP = ['-x', `${PORT}-${TARGET}:${PORT}`]
const FLOWS = [0, 1, 2, 3, 4]
/** None, one, a packet's full, one more, and what has to be cut. */
const SIZES = [1, 0, 2, 512, 1471, 1472, 1473, 9000, 2961, 100]
/** 65507 is the most. */
const LARGE = [60_000, 65_507]
const SERVER = fileURLToPath(new URL('./support/udp-server.js', import.meta.url))
const SENDER = fileURLToPath(new URL('./support/udp-client.js', import.meta.url))

/** By flow, what came of it in order. */
type Received = ReadonlyMap<string, readonly string[]>

async function startServer(host: Host, type = 'udp4'): Promise<Program> {
  const server = host.spawn(process.execPath, [SERVER, `${PORT}`, type])
  await server.waitForLine('stdout', (line) => line === 'bound')
  return server
}

async function receivedBy(server: Program): Promise<Received> {
  const before = server.stdout.split('\n').length
  server.signal('SIGUSR2')
  await until('the server tells what it has', () => server.stdout.split('\n').length > before)
  return new Map(JSON.parse(server.stdout.trim().split('\n').at(-1) ?? '') as [string, string[]][]) // as: our own words
}

function countOf(received: Received): number {
  return [...received.values()].reduce((sum, datagrams) => sum + datagrams.length, 0)
}

const UNROUTED = { routed: [], offloads: true }

/** A server on source and target, which sends into its own lo what it answers to the clients. */
async function startServers(lab: CopyLab, clients: string): Promise<{ source: Program; target: Program }> {
  await lab.hosts.target.mustRun('ip', ['route', 'add', clients, 'dev', 'lo'])
  return { source: await startServer(lab.hosts.source), target: await startServer(lab.hosts.target) }
}

async function send(lab: CopyLab, flows: readonly number[], sizes: readonly number[], source = SOURCE): Promise<void> {
  const args = [SENDER, source, `${PORT}`, flows.join(), ...sizes.map(String)]
  const output = await lab.hosts.client.mustRun(process.execPath, args)
  assert.equal(output.trim(), '{"strangers":0}', 'an answer of the target reached the client')
}

/**
 * Sends datagrams of all sizes, the large ones flow by flow, when the target has had all before: a receive buffer as kernels
 * allow it by default (net.core.rmem_max) holds four of them. @returns how many there were, and their octets
 */
async function sendAllSizes(lab: CopyLab, target: Program, large: readonly number[], source = SOURCE) {
  let [count, octets] = [0, 0]
  const copy = async (flows: readonly number[], sizes: readonly number[]): Promise<void> => {
    await send(lab, flows, sizes, source)
    count += flows.length * sizes.length
    octets += flows.length * sizes.reduce((sum, size) => sum + size, 0)
    await until(`${count} are at the target`, async () => countOf(await receivedBy(target)) >= count)
  }
  await copy(FLOWS, SIZES)
  for (const flow of FLOWS) await copy([flow], large)
  return { count, octets }
}

for (const [sender, capture] of [
  ['auto', 'ring'],
  ['ip', 'ring'],
  ['auto', 'ip']
] as const) {
  test(`datagrams of 0 to 65,507 octets arrive as they were, captured by ${capture}, sent by ${sender}, cut as the way asks`, async () => {
    await using lab = await openCopyLab(UNROUTED)
    const { source, target } = await startServers(lab, CLIENT)
    // The way takes less than the device.
    await lab.hosts.source.mustRun('ip', ['route', 'add', `${TARGET}/32`, 'dev', 'eth0', 'mtu', '1000'])
    const dump = await startPacketDump(
      lab.hosts.target,
      `src host ${CLIENT} and greater 1015`,
      join(lab.folder, 'u.pcap')
    )
    const tcpcopy = await startReady(lab.hosts.source, TCPCOPY, [
      '--udp',
      ...MAP,
      '--send',
      sender,
      '--capture',
      capture
    ])
    const { count, octets } = await sendAllSizes(lab, target, LARGE)
    assert.deepEqual(await receivedBy(target), await receivedBy(source))
    await dump.stop()
    assert.match(dump.program.stderr, /^0 packets captured/m)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.capturedPayloadBytes, books.deliveredBytes, books.sendRefused], [octets, octets, 0])
    assert.deepEqual([books.capturedPackets, books.sessionsStarted], [count, 5])
  })
}

for (const sender of ['auto', 'ip', 'xdp']) {
  test(`over IPv6, datagrams of 0 to 65,527 octets arrive as they were, sent by ${sender}, beside those of IPv4`, async () => {
    await using lab = await openCopyLab({ isDual: true, offloads: true })
    const source = await startServer(lab.hosts.source, 'udp6')
    const target = await startServer(lab.hosts.target, 'udp6')
    await lab.hosts.source.mustRun('ip', ['-6', 'route', 'add', `${TARGET_6}/128`, 'dev', 'eth0', 'mtu', '1300'])
    const dump = await startPacketDump(
      lab.hosts.target,
      `src host ${CLIENT_6} and greater 1315`,
      join(lab.folder, 'u.pcap')
    )
    const maps = `${PORT}-${TARGET}:${PORT},${PORT}-[${TARGET_6}]:${PORT}`
    const tcpcopy = await startReady(lab.hosts.source, TCPCOPY, ['--udp', '-x', maps, '--send', sender])
    const { count, octets } = await sendAllSizes(lab, target, [...LARGE, 65_527], SOURCE_6)
    await send(lab, [0, 1], [10, 3000])
    await until('all are at the target', async () => countOf(await receivedBy(target)) >= count + 4)
    assert.deepEqual(await receivedBy(target), await receivedBy(source))
    await dump.stop()
    assert.match(dump.program.stderr, /^0 packets captured/m)
    const books = await finishAndReadBooks(tcpcopy)
    const all = octets + 2 * 3010
    assert.deepEqual([books.capturedPayloadBytes, books.deliveredBytes, books.sendRefused], [all, all, 0])
    assert.deepEqual([books.droppedBytes, books.sessionsStarted], [0, 7])
  })
}

for (const workers of ['1', '3']) {
  test(`-r chooses flows, -n copies them several times, -c gives them addresses: each copy has all of its flow (--workers ${workers})`, async () => {
    await using lab = await openCopyLab(UNROUTED)
    const { source, target } = await startServers(lab, '10.99.0.0/16')
    const args = ['-r', '50', '-n', '2.5', '-c', '10.99.0.0/24', '--workers', workers]
    const tcpcopy = await startReady(lab.hosts.source, TCPCOPY, ['--udp', ...MAP, ...args])
    const sizes = [10, 3000, 1000, 1]
    await send(lab, [...new Array(20).keys()], sizes)
    const copies = 10 * 2 + 5
    await until('all are at the target', async () => countOf(await receivedBy(target)) >= copies * sizes.length)
    await untilCounter(tcpcopy, 'capturedPackets', (count) => count === 20 * sizes.length)
    const original = [...(await receivedBy(source)).values()].map((datagrams) => datagrams.join())
    const copied = await receivedBy(target)
    assert.equal(copied.size, copies)
    const counts = original.map((one) => [...copied.values()].filter((datagrams) => datagrams.join() === one).length)
    assert.deepEqual(counts.sort(), [...new Array<number>(10).fill(0), 2, 2, 2, 2, 2, 3, 3, 3, 3, 3])
    for (const flow of copied.keys()) assert.match(flow, /^10\.99\.0\./)
    const books = await finishAndReadBooks(tcpcopy)
    const octets = sizes.reduce((sum, size) => sum + size, 0)
    assert.equal(books.deliveredBytes, copies * octets)
    assert.equal(books['dropped.sampledOut.bytes'], 10 * octets)
    assert.deepEqual([books.flowsLeftOut, books.sessionsStarted, books.copiesStarted], [10, 25, 15])
  })
}

test('what the kernel refuses to send is counted, octet by octet', async () => {
  await using lab = await openCopyLab(UNROUTED)
  await startServers(lab, CLIENT)
  await lab.hosts.source.mustRun('ip', ['route', 'add', 'prohibit', `${TARGET}/32`])
  const tcpcopy = await startReady(lab.hosts.source, TCPCOPY, ['--udp', ...MAP])
  await send(lab, [0, 1], [100, 5000])
  await untilCounter(tcpcopy, 'capturedPackets', (count) => count === 4)
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.deliveredBytes, books['dropped.sendRefused.bytes']], [0, 2 * 5100])
})
