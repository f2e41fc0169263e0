/** Client, source, target and both programs on one host, which has no device but lo. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { INTERCEPT, PORT, startConnected, startReady, TCPCOPY } from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { openLab } from '../../../lab/hosts/lab.ts'
import type { ClientStreams } from '../../../lab/job/pcap-streams.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { parseAddress } from '../../../src/wire/address.ts'
import { finishCopy } from '../support/books.ts'
import { benchmark, SETS, SHORT, setPatterns } from '../support/client-loads.ts'
import { type Packet, readPackets } from '../support/packet-file.ts'
import { dumpStreams } from '../support/streams.ts'
import { untilSame } from '../support/waiting.ts'

const HOME = '127.0.0.1'
const TARGET_PORT = 6380
/** An unused address that replaces 127.0.0.1 at the target, to tell the target's answers from others. */
const STAND_IN = '10.99.0.5'
const CLIENTS = '10.99.0.0/24'
const SIZES = [1, 1448, 20_000, 65_483, 200_000, 1_000_000]

/** Many small requests, and values of up to 1 MB, each on its own connection. */
async function load(home: Host): Promise<void> {
  await benchmark(home, HOME, ...SETS, '-c', '20', '-n', '5000')
  await benchmark(home, HOME, ...SETS, ...SHORT, '-c', '10', '-n', '500')
  for (const size of SIZES) await setPatterns(home, HOME, `value-${size}`, [size])
}

/** The streams of clients on this host as the target is to see them. */
function renamed(streams: ClientStreams, client: string): ClientStreams {
  const [from, to] = [HOME, client].map((address) => `${(parseAddress(address) ?? 0) >>> 0}:`)
  const { byConnection } = streams
  for (const [key, stream] of [...byConnection]) {
    byConnection.delete(key)
    byConnection.set(key.replace(from ?? '', to ?? ''), stream)
  }
  return streams
}

interface LoopbackPlan {
  /** Sets the host up. */
  readonly prepare?: (home: Host) => Promise<unknown>
  readonly intercept: readonly string[]
  readonly tcpcopy: readonly string[]
  /** The address of the clients at the target. */
  readonly clientAtTarget: string
}

/** Defines a test that copies a load on one host. @param check looks at the packets that the target received */
function copiedOnOneHost(name: string, plan: LoopbackPlan, check: (packets: readonly Packet[]) => void): void {
  test(name, async () => {
    await using lab = await openLab({ hosts: { home: { addresses: [] } } })
    const { home } = lab.hosts
    await home.mustRun('ip', ['link', 'set', 'eth0', 'down'])
    await plan.prepare?.(home)
    const source = await startRedis(home, PORT, lab.subfolder('source'))
    const target = await startRedis(home, TARGET_PORT, lab.subfolder('target'))
    await startReady(home, INTERCEPT, plan.intercept)
    const lo = { host: home, device: 'lo' }
    const dumps = await dumpStreams(lab.folder, { ...lo, port: PORT }, { ...lo, port: TARGET_PORT })
    const copy = ['-x', `${PORT}-${HOME}:${TARGET_PORT}`, '-s', HOME, ...plan.tcpcopy]
    const tcpcopy = await startConnected(home, TCPCOPY, copy)
    await load(home)
    await untilSame(source, target)
    await dumps.assertSame(500, (streams) => renamed(streams, plan.clientAtTarget))
    await finishCopy(tcpcopy, {
      captureDropped: 0,
      sendRefused: 0,
      deliveredBytes: (count, { capturedPayloadBytes = 0, duplicateBytes = 0 }) =>
        count === capturedPayloadBytes - duplicateBytes
    })
    check(readPackets(dumps.target.path))
  })
}

copiedOnOneHost(
  'on one host, answers to the stand-in for 127.0.0.1 go to lo, where nobody receives them',
  {
    prepare: (home) => home.mustRun('ip', ['route', 'add', CLIENTS, 'dev', 'lo']),
    intercept: ['-i', 'lo', '-F', `tcp and src port ${TARGET_PORT} and dst net ${CLIENTS}`],
    tcpcopy: ['-H', STAND_IN],
    clientAtTarget: STAND_IN
  },
  (packets) => {
    assert.ok(packets.every(({ from }) => from === STAND_IN))
    const longest = Math.max(...packets.map(({ payload }) => payload.length))
    assert.ok(longest > 10_000, `the longest segment had ${longest} bytes`)
  }
)

copiedOnOneHost(
  'on one host, with answers taken by a queue, clients keep 127.0.0.1',
  {
    intercept: ['--nfqueue', '-F', `tcp and src host ${HOME} and src port ${TARGET_PORT}`, '--manage-rules'],
    tcpcopy: [],
    clientAtTarget: HOME
  },
  (packets) => assert.ok(packets.every(({ from }) => from === HOME))
)
