/** Datagrams of any size, copied by `--udp` without an intercept. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  CLIENT,
  CLIENT_6,
  type CopyLab,
  openCopyLab,
  SOURCE,
  SOURCE_6,
  startReady,
  TARGET,
  TARGET_6,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { type PacketDump, startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { type ExpectedBooks, finishCopy, onlySampledOut } from '../support/books.ts'
import { until, untilCounter } from '../support/waiting.ts'

const PORT = 5353
const MAP = ['-x', `${PORT}-${TARGET}:${PORT}`]
const FLOWS = [0, 1, 2, 3, 4]
/** Bytes: around one packet of 1472, and what needs fragments. */
const SIZES = [1, 0, 2, 512, 1471, 1472, 1473, 9000, 2961, 100]
/** 65507 is the maximum over IPv4. */
const LARGE = [60_000, 65_507]
const SERVER = fileURLToPath(new URL('../support/programs/udp-server.js', import.meta.url))
const SENDER = fileURLToPath(new URL('../support/programs/udp-client.js', import.meta.url))

/** What arrived on each flow, in order. */
type Received = ReadonlyMap<string, readonly string[]>

async function startServer(host: Host, type = 'udp4'): Promise<Program> {
  const server = host.spawn(process.execPath, [SERVER, `${PORT}`, type])
  await server.waitForLine('stdout', (line) => line === 'bound')
  return server
}

async function receivedBy(server: Program): Promise<Received> {
  const before = server.stdout.split('\n').length
  server.signal('SIGUSR2')
  await until('the server prints what it has received', () => server.stdout.split('\n').length > before)
  return new Map(JSON.parse(server.stdout.trim().split('\n').at(-1) ?? '') as [string, string[]][]) // as: udp-server.ts wrote it
}

function countOf(received: Received): number {
  return [...received.values()].reduce((sum, datagrams) => sum + datagrams.length, 0)
}

const UNROUTED = { routed: [], offloads: true }

/** A server on source and target; the target's answers to the clients go to its own lo. */
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
 * Sends datagrams of all sizes, the large ones flow by flow, each when the target has received all before: a receive buffer
 * of the default size (net.core.rmem_max) holds four of them.
 * @returns the number of datagrams and bytes
 */
async function sendAllSizes(lab: CopyLab, target: Program, large: readonly number[], source = SOURCE) {
  let [count, bytes] = [0, 0]
  const copy = async (flows: readonly number[], sizes: readonly number[]): Promise<void> => {
    await send(lab, flows, sizes, source)
    count += flows.length * sizes.length
    bytes += flows.length * sizes.reduce((sum, size) => sum + size, 0)
    await until(`${count} datagrams are at the target`, async () => countOf(await receivedBy(target)) >= count)
  }
  await copy(FLOWS, SIZES)
  for (const flow of FLOWS) await copy([flow], large)
  return { count, bytes }
}

async function startUdpCopy(lab: CopyLab, args: readonly string[]): Promise<Program> {
  return await startReady(lab.hosts.source, TCPCOPY, ['--udp', ...args])
}

/** Captures frames from an address at the target that have at least this length. */
async function dumpLarger({ hosts, folder }: CopyLab, from: string, length: number): Promise<PacketDump> {
  return await startPacketDump(hosts.target, `src host ${from} and greater ${length}`, join(folder, 'large.pcap'))
}

async function assertNone(dump: PacketDump): Promise<void> {
  await dump.stop()
  assert.match(dump.program.stderr, /^0 packets captured/m)
}

function allDelivered(bytes: number): ExpectedBooks {
  return { capturedPayloadBytes: bytes, deliveredBytes: bytes, sendRefused: 0 }
}

for (const [sender, capture] of [
  ['auto', 'ring'],
  ['ip', 'ring'],
  ['auto', 'ip']
] as const) {
  test(`datagrams of 0 to 65,507 bytes arrive unchanged, captured by ${capture}, sent by ${sender}, in fragments that fit the path`, async () => {
    await using lab = await openCopyLab(UNROUTED)
    const { source, target } = await startServers(lab, CLIENT)
    // The path MTU is smaller than that of the device.
    await lab.hosts.source.mustRun('ip', ['route', 'add', `${TARGET}/32`, 'dev', 'eth0', 'mtu', '1000'])
    const dump = await dumpLarger(lab, CLIENT, 1015)
    const tcpcopy = await startUdpCopy(lab, [...MAP, '--send', sender, '--capture', capture])
    const { count, bytes } = await sendAllSizes(lab, target, LARGE)
    assert.deepEqual(await receivedBy(target), await receivedBy(source))
    await assertNone(dump)
    await finishCopy(tcpcopy, { ...allDelivered(bytes), capturedPackets: count, sessionsStarted: 5 })
  })
}

for (const sender of ['auto', 'ip', 'xdp']) {
  test(`datagrams of 0 to 65,527 bytes over IPv6 arrive unchanged, sent by ${sender}, together with some over IPv4`, async () => {
    await using lab = await openCopyLab({ isDual: true, offloads: true })
    const source = await startServer(lab.hosts.source, 'udp6')
    const target = await startServer(lab.hosts.target, 'udp6')
    await lab.hosts.source.mustRun('ip', ['-6', 'route', 'add', `${TARGET_6}/128`, 'dev', 'eth0', 'mtu', '1300'])
    const dump = await dumpLarger(lab, CLIENT_6, 1315)
    const maps = `${PORT}-${TARGET}:${PORT},${PORT}-[${TARGET_6}]:${PORT}`
    const tcpcopy = await startUdpCopy(lab, ['-x', maps, '--send', sender])
    const { count, bytes } = await sendAllSizes(lab, target, [...LARGE, 65_527], SOURCE_6)
    await send(lab, [0, 1], [10, 3000])
    await until('all datagrams are at the target', async () => countOf(await receivedBy(target)) >= count + 4)
    assert.deepEqual(await receivedBy(target), await receivedBy(source))
    await assertNone(dump)
    await finishCopy(tcpcopy, { ...allDelivered(bytes + 2 * 3010), sessionsStarted: 7 })
  })
}

for (const workers of ['1', '3']) {
  test(`-r selects flows, -n copies them several times, -c maps their addresses: each copy has its whole flow (--workers ${workers})`, async () => {
    await using lab = await openCopyLab(UNROUTED)
    const { source, target } = await startServers(lab, '10.99.0.0/16')
    const args = ['-r', '50', '-n', '2.5', '-c', '10.99.0.0/24', '--workers', workers]
    const tcpcopy = await startUdpCopy(lab, [...MAP, ...args])
    const sizes = [10, 3000, 1000, 1]
    await send(lab, [...new Array(20).keys()], sizes)
    const copies = 10 * 2 + 5
    await until(
      'all datagrams are at the target',
      async () => countOf(await receivedBy(target)) >= copies * sizes.length
    )
    await untilCounter(tcpcopy, 'capturedPackets', (count) => count === 20 * sizes.length)
    const original = [...(await receivedBy(source)).values()].map((datagrams) => datagrams.join())
    const copied = await receivedBy(target)
    assert.equal(copied.size, copies)
    const counts = original.map((one) => [...copied.values()].filter((datagrams) => datagrams.join() === one).length)
    assert.deepEqual(counts.sort(), [...new Array<number>(10).fill(0), 2, 2, 2, 2, 2, 3, 3, 3, 3, 3])
    for (const flow of copied.keys()) assert.match(flow, /^10\.99\.0\./)
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    await finishCopy(tcpcopy, {
      deliveredBytes: copies * bytes,
      droppedBytes: onlySampledOut,
      'dropped.sampledOut.bytes': 10 * bytes,
      flowsLeftOut: 10,
      sessionsStarted: 25,
      copiesStarted: 15
    })
  })
}

test('what the kernel refuses to send is counted to the byte', async () => {
  await using lab = await openCopyLab(UNROUTED)
  await startServers(lab, CLIENT)
  await lab.hosts.source.mustRun('ip', ['route', 'add', 'prohibit', `${TARGET}/32`])
  const tcpcopy = await startUdpCopy(lab, MAP)
  await send(lab, [0, 1], [100, 5000])
  await untilCounter(tcpcopy, 'capturedPackets', (count) => count === 4)
  await finishCopy(tcpcopy, { deliveredBytes: 0, droppedBytes: 2 * 5100, 'dropped.sendRefused.bytes': 2 * 5100 })
})
