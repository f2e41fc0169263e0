/** tcpcopy on a host that clients and source do not know: it sees their frames at a mirror port. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  ASSISTANT,
  CLIENT,
  INTERCEPT,
  MAP,
  PORT,
  SOURCE,
  startConnected,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import { type Lab, openLab } from '../../../lab/hosts/lab.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { type Books, type ExpectedBooks, finishCopy } from '../support/books.ts'
import { loadOfAllSizes } from '../support/client-loads.ts'
import { ip } from '../support/namespace.ts'
import { readPackets } from '../support/packet-file.ts'
import { dumpStreams } from '../support/streams.ts'
import { statisticsOf, stopCleanly, untilCounter, untilSame } from '../support/waiting.ts'

const ENCAPSULATOR = fileURLToPath(new URL('../support/programs/encapsulator.js', import.meta.url))
const COPY = ['-x', MAP, '-s', ASSISTANT]
const ANSWERS = ['-i', 'eth0', '-F', `tcp and src host ${TARGET} and src port ${PORT}`]

const hosts = {
  client: { addresses: [CLIENT] },
  source: { addresses: [SOURCE] },
  target: { addresses: [TARGET] },
  assistant: { addresses: [ASSISTANT] },
  monitor: { addresses: ['10.77.0.7'] },
  switch: { addresses: [] }
}
type MirrorLab = Lab<keyof typeof hosts>

const routes = [{ on: 'target', to: `${CLIENT}/32`, via: ASSISTANT }] as const

/** A lab that is a hub, where each host sees all frames, with a cable from the switch's `out` to the monitor's eth1. */
async function openMirrorLab(offloads = false): Promise<MirrorLab> {
  const lab = await openLab({ hosts, routes, offloads })
  try {
    makeHub()
    return lab
  } catch (error) {
    await lab.close()
    throw error
  }
}

function makeHub(): void {
  // A bridge that forgets at once sends each frame to all ports.
  ip('link set lab0 type bridge ageing_time 0')
  ip('link add out mtu 9000 netns switch type veth peer name eth1 mtu 9000 netns monitor')
  for (const [host, device] of ['switch out', 'monitor eth1'].map((words) => words.split(' '))) {
    ip(`-n ${host} link set ${device} up`)
  }
}

/** Mirrors the service's packets to the monitor's eth1, in many encapsulations. */
async function startEncapsulator({ hosts }: MirrorLab): Promise<Program> {
  const mirror = hosts.switch.spawn(process.execPath, [ENCAPSULATOR, 'eth0', 'out'])
  await mirror.waitForLine('stdout', (line) => line === 'mirroring')
  return mirror
}

async function startServers({ hosts, folder }: MirrorLab) {
  return { source: await startRedis(hosts.source, PORT, folder), target: await startRedis(hosts.target, PORT, folder) }
}

/** Copies a load with tcpcopy on the monitor, and checks that the target read what the source has read. */
async function copyFromMonitor(lab: MirrorLab, args: readonly string[], expected: ExpectedBooks = {}): Promise<Books> {
  const { client, source, target, assistant, monitor } = lab.hosts
  const redis = await startServers(lab)
  await startReady(assistant, INTERCEPT, ANSWERS)
  const tcpcopy = await startConnected(monitor, TCPCOPY, [...COPY, ...args])
  const dumps = await dumpStreams(lab.folder, { host: source, address: SOURCE }, { host: target, address: TARGET })
  await loadOfAllSizes(client)
  await untilSame(redis.source, redis.target)
  await dumps.assertSame(200)
  return await finishCopy(tcpcopy, { captureDropped: 0, 'dropped.fragment': 0, ...expected })
}

for (const offloads of [false, true]) {
  test(`frames for other hosts are copied byte for byte, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openMirrorLab(offloads)
    await copyFromMonitor(lab, ['-i', 'eth0'])
  })
}

test('frames with tags, labels and tunnels are copied byte for byte, and mirrored copies are left out', async () => {
  await using lab = await openMirrorLab()
  const mirror = await startEncapsulator(lab)
  // Left out are the answers and the copies themselves.
  await copyFromMonitor(lab, ['-i', 'eth1'], {
    captureLeftOut: (count, { capturedPackets = 0 }) => count > capturedPackets
  })
  assert.equal(mirror.stdout, 'mirroring\n')
})

test('what two devices see is copied once, and -F filters frames', async () => {
  await using lab = await openMirrorLab()
  ip('link add port9 type veth peer name eth2 netns monitor')
  ip('link set port9 master lab0 up')
  ip('-n monitor link set eth2 up')
  await copyFromMonitor(lab, ['-i', 'eth0,eth2', '-F', `tcp dst port ${PORT} and ip dst ${SOURCE}`], {
    duplicateBytes: (count, { deliveredBytes = 0 }) => count > deliveredBytes / 2
  })
})

test('a recording of frames with tags, labels and tunnels is replayed', async () => {
  await using lab = await openMirrorLab()
  const { client, source, assistant, monitor } = lab.hosts
  const redis = await startServers(lab)
  await startEncapsulator(lab)
  const path = join(lab.folder, 'mirrored.pcapng')
  const recorder = await startReady(monitor, TCPCOPY, ['record', '-x', MAP, '-i', 'eth1', '-o', path])
  const dump = await startPacketDump(source, `tcp dst port ${PORT}`, join(lab.folder, 'source.pcap'))
  await loadOfAllSizes(client)
  assert.equal(await dump.stop(), 0)
  const { length } = readPackets(dump.path)
  await untilCounter(recorder, 'packets', (count) => count === length)
  const { captureDropped, leftOut, unreadable } = await statisticsOf(recorder)
  assert.deepEqual([captureDropped, unreadable], [0, 0])
  assert.ok(Number(leftOut) > 0)
  await stopCleanly(recorder)
  await startReady(assistant, INTERCEPT, ANSWERS)
  const { status, stderr } = await monitor.run(TCPCOPY, [...COPY, '-i', path, '-a', '1000000'])
  assert.equal(status, 0, stderr)
  await untilSame(redis.source, redis.target)
})

test('-S truncates frames, and truncated packets are counted', async () => {
  await using lab = await openMirrorLab()
  const { client, monitor, source } = lab.hosts
  await startRedis(source, PORT, lab.folder)
  const tcpcopy = await startReady(monitor, TCPCOPY, [...COPY, '-i', 'eth0', '-S', '200', '-B', '1'])
  for (const value of ['x'.repeat(1000), 'short']) {
    await client.mustRun('redis-cli', ['-h', SOURCE, 'SET', 'key', value])
  }
  await untilCounter(tcpcopy, 'dropped.truncated', (count) => count === 1)
  await untilCounter(tcpcopy, 'capturedPayloadBytes', (count) => count > 0)
  assert.equal((await statisticsOf(tcpcopy)).captureDropped, 0)
})
