/** tcpcopy on a host that neither clients nor source know of: it sees their frames behind a mirror port. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import { type Lab, openLab } from '../../lab/hosts/lab.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import type { Program } from '../../lab/hosts/program.ts'
import { compareStreams } from '../../lab/job/comparison.ts'
import { readClientStreams } from '../../lab/job/pcap-streams.ts'
import { startRedis } from '../../lab/job/redis.ts'
import {
  ASSISTANT,
  CLIENT,
  finishAndReadBooks,
  INTERCEPT,
  loadOfAllSizes,
  MAP,
  PORT,
  SOURCE,
  startReady,
  statisticsOf,
  TARGET,
  TCPCOPY,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'
import { readPackets } from './support/packet-file.ts'

const ENCAPSULATOR = fileURLToPath(new URL('./support/encapsulator.js', import.meta.url))
const COPY = ['-x', MAP, '-s', ASSISTANT]

const hosts = {
  client: { addresses: [CLIENT] },
  source: { addresses: [SOURCE] },
  target: { addresses: [TARGET] },
  assistant: { addresses: [ASSISTANT] },
  monitor: { addresses: ['10.77.0.7'] },
  switch: { addresses: [] }
}

function ip(words: string): void {
  execFileSync('ip', words.split(' '))
}

const routes = [{ on: 'target', to: `${CLIENT}/32`, via: ASSISTANT }] as const

/** Makes a hub of the lab, where each sees the frames of all; and a wire from the switch's `out` to the monitor's eth1. */
function makeHub(): void {
  // A bridge that forgets at once sends each frame to all ports.
  ip('link set lab0 type bridge ageing_time 0')
  ip('link add out mtu 9000 netns switch type veth peer name eth1 mtu 9000 netns monitor')
  for (const [host, device] of ['switch out', 'monitor eth1'].map((words) => words.split(' '))) {
    ip(`-n ${host} link set ${device} up`)
  }
}

interface Copied {
  /** Final statistics of tcpcopy. */
  readonly books: Readonly<Record<string, number>>
  readonly tcpcopy: Program
}

/** Copies a load with tcpcopy on the monitor, and holds the target to have read what the source has. */
async function holdSame(lab: Lab<keyof typeof hosts>, args: readonly string[]): Promise<Copied> {
  const { source, target, assistant, monitor } = lab.hosts
  const folder = mkdtempSync(join(tmpdir(), 'mirror-'))
  try {
    for (const name of ['source', 'target']) mkdirSync(join(folder, name))
    const redis = {
      source: await startRedis(source, PORT, join(folder, 'source')),
      target: await startRedis(target, PORT, join(folder, 'target'))
    }
    await startReady(assistant, INTERCEPT, ['-i', 'eth0', '-F', `tcp and src host ${TARGET} and src port ${PORT}`])
    const tcpcopy = await startReady(monitor, TCPCOPY, [...COPY, ...args])
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'connected to intercept'))
    const dumps = [
      await startPacketDump(source, `tcp dst port ${PORT} and dst host ${SOURCE}`, join(folder, 'source.pcap')),
      await startPacketDump(target, `tcp dst port ${PORT} and dst host ${TARGET}`, join(folder, 'target.pcap'))
    ] as const
    await loadOfAllSizes(lab.hosts.client)
    await untilSame(redis.source, redis.target)
    for (const dump of dumps) assert.equal(await dump.stop(), 0)
    const base = Math.floor(Date.now() / 1000) - 600
    const [original, copy] = [
      await readClientStreams(dumps[0].path, PORT, base),
      await readClientStreams(dumps[1].path, PORT, base)
    ]
    const { requests, connections } = compareStreams(original, copy)
    assert.deepEqual([requests.lost, requests.duplicated, connections.altered], [0, 0, 0])
    assert.deepEqual([connections.equal, connections.target], [connections.source, connections.source])
    assert.ok(connections.source > 200)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.captureDropped, books.droppedBytes, books['dropped.fragment'] ?? 0], [0, 0, 0])
    return { books, tcpcopy }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

for (const offloads of [false, true]) {
  test(`frames for other hosts are copied byte for byte, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openLab({ hosts, routes, offloads })
    makeHub()
    await holdSame(lab, ['-i', 'eth0'])
  })
}

test('frames below tags, labels and tunnels are copied byte for byte, and copies that are mirrored are not', async () => {
  await using lab = await openLab({ hosts, routes })
  makeHub()
  const mirror = lab.hosts.switch.spawn(process.execPath, [ENCAPSULATOR, 'eth0', 'out'])
  await mirror.waitForLine('stdout', (line) => line === 'mirroring')
  const { books } = await holdSame(lab, ['-i', 'eth1'])
  assert.ok((books.captureLeftOut ?? 0) > (books.capturedPackets ?? 0), 'answers, and the copies themselves')
  assert.equal(mirror.stdout, 'mirroring\n')
})

test('what two devices see is copied once, and -F chooses among frames', async () => {
  await using lab = await openLab({ hosts, routes })
  makeHub()
  ip('link add port9 type veth peer name eth2 netns monitor')
  ip('link set port9 master lab0 up')
  ip('-n monitor link set eth2 up')
  const { books } = await holdSame(lab, ['-i', 'eth0,eth2', '-F', `tcp dst port ${PORT} and ip dst ${SOURCE}`])
  assert.ok((books.duplicateBytes ?? 0) > (books.deliveredBytes ?? 0) / 2)
})

test('what was recorded below tags, labels and tunnels is replayed', async () => {
  await using lab = await openLab({ hosts, routes })
  makeHub()
  const { source, target, assistant, monitor } = lab.hosts
  const folder = mkdtempSync(join(tmpdir(), 'mirror-'))
  try {
    for (const name of ['source', 'target']) mkdirSync(join(folder, name))
    const redis = {
      source: await startRedis(source, PORT, join(folder, 'source')),
      target: await startRedis(target, PORT, join(folder, 'target'))
    }
    const mirror = lab.hosts.switch.spawn(process.execPath, [ENCAPSULATOR, 'eth0', 'out'])
    await mirror.waitForLine('stdout', (line) => line === 'mirroring')
    const path = join(folder, 'mirrored.pcapng')
    const recorder = await startReady(monitor, TCPCOPY, ['record', '-x', MAP, '-i', 'eth1', '-o', path])
    const dump = await startPacketDump(source, `tcp dst port ${PORT}`, join(folder, 'source.pcap'))
    await loadOfAllSizes(lab.hosts.client)
    assert.equal(await dump.stop(), 0)
    const { length } = readPackets(dump.path)
    await untilCounter(recorder, 'packets', (count) => count === length)
    const { captureDropped, leftOut, unreadable } = await statisticsOf(recorder)
    assert.deepEqual([captureDropped, unreadable], [0, 0])
    assert.ok(Number(leftOut) > 0)
    assert.deepEqual(await recorder.stop(), { status: 0, signal: null })
    await startReady(assistant, INTERCEPT, ['-i', 'eth0', '-F', `tcp and src host ${TARGET} and src port ${PORT}`])
    const { status, stderr } = await monitor.run(TCPCOPY, [...COPY, '-i', path, '-a', '1000000'])
    assert.equal(status, 0, stderr)
    await untilSame(redis.source, redis.target)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('with -S frames are cut, and what is cut is counted', async () => {
  await using lab = await openLab({ hosts, routes })
  makeHub()
  const { client, monitor, source } = lab.hosts
  const folder = mkdtempSync(join(tmpdir(), 'mirror-'))
  try {
    await startRedis(source, PORT, folder)
    const tcpcopy = await startReady(monitor, TCPCOPY, [...COPY, '-i', 'eth0', '-S', '200', '-B', '1'])
    const command = ['-h', SOURCE, 'SET', 'key']
    await client.mustRun('redis-cli', [...command, 'x'.repeat(1000)])
    await client.mustRun('redis-cli', [...command, 'short'])
    await untilCounter(tcpcopy, 'dropped.truncated', (count) => count === 1)
    await untilCounter(tcpcopy, 'capturedPayloadBytes', (count) => count > 0)
    assert.equal((await statisticsOf(tcpcopy)).captureDropped, 0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
