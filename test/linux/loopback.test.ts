/** Client, source, target and both programs on one host, through lo alone. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Host } from '../../lab/hosts/host.ts'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import { openLab } from '../../lab/hosts/lab.ts'
import { type PacketDump, startPacketDump } from '../../lab/hosts/packet-dump.ts'
import type { Program } from '../../lab/hosts/program.ts'
import { compareStreams } from '../../lab/job/comparison.ts'
import { type ClientStreams, readClientStreams } from '../../lab/job/pcap-streams.ts'
import { type Redis, startRedis } from '../../lab/job/redis.ts'
import { parseAddress } from '../../src/wire/address.ts'
import { finishAndReadBooks, INTERCEPT, startReady, TCPCOPY, untilSame } from './support/copy-lab.ts'
import { readPackets } from './support/packet-file.ts'

const HOME = '127.0.0.1'
const PORT = 6379
const TARGET_PORT = 6380
/** Nobody's: in place of 127.0.0.1, so that the target's answers are told from others. */
const STAND_IN = '10.99.0.5'
const CLIENTS = '10.99.0.0/24'
const COPY = ['-x', `${PORT}-${HOME}:${TARGET_PORT}`, '-s', HOME]
const SIZES = [1, 1448, 20_000, 65_483, 200_000, 1_000_000]

/** A host whose only device is lo, with two servers. */
class OneHost {
  readonly host: Host
  readonly source: Redis
  readonly target: Redis
  readonly folder: string

  constructor(host: Host, source: Redis, target: Redis, folder: string) {
    this.host = host
    this.source = source
    this.target = target
    this.folder = folder
  }

  async startTcpcopy(args: readonly string[]): Promise<Program> {
    const tcpcopy = await startReady(this.host, TCPCOPY, [...COPY, ...args])
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'connected to intercept'))
    return tcpcopy
  }

  async dump(port: number): Promise<PacketDump> {
    return await startPacketDump(this.host, `tcp and dst port ${port}`, join(this.folder, `${port}.pcap`), 'lo')
  }

  /** Many small requests, and values of up to 1 MB whose octets differ. */
  async load(): Promise<void> {
    const keys = ['-p', `${PORT}`, '-r', '2000000000', '-t', 'set', '-q']
    await this.host.mustRun('redis-benchmark', [...keys, '-c', '20', '-n', '5000'])
    await this.host.mustRun('redis-benchmark', [...keys, '-c', '10', '-n', '500', '-k', '0'])
    for (const size of SIZES) {
      const set = `const socket = require('net').connect(${PORT}, '${HOME}')
        const value = Buffer.alloc(${size})
        for (let at = 0; at < ${size}; at++) value[at] = (at * 31 + (at >>> 8) * 17) & 255
        socket.write('*3\\r\\n$3\\r\\nSET\\r\\n$3\\r\\nkey\\r\\n$${size}\\r\\n')
        socket.write(value)
        socket.write('\\r\\n')
        socket.on('data', () => socket.end())`
      await this.host.mustRun(process.execPath, ['-e', set])
    }
  }

  /** The copies' bytes are those of the clients, and the books say so. */
  async compare(tcpcopy: Program, dumps: readonly PacketDump[], clientAtTarget = HOME): Promise<void> {
    await untilSame(this.source, this.target)
    const [original, copy] = dumps
    assert.ok(original && copy)
    await Promise.all([original.stop(), copy.stop()])
    const base = Math.floor(Date.now() / 1000) - 600
    const source = renamed(await readClientStreams(original.path, PORT, base), clientAtTarget)
    const { requests, connections } = compareStreams(source, await readClientStreams(copy.path, TARGET_PORT, base))
    assert.deepEqual([requests.lost, requests.duplicated], [0, 0])
    assert.deepEqual([connections.source, connections.equal], [connections.target, connections.target])
    assert.ok(connections.source > 500)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.droppedBytes, books.captureDropped, books.sendRefused], [0, 0, 0])
    assert.equal(books.deliveredBytes, (books.capturedPayloadBytes ?? 0) - (books.duplicateBytes ?? 0))
  }
}

/** The streams of clients on this host as they are to appear at the target. */
function renamed(streams: ClientStreams, client: string): ClientStreams {
  const [from, to] = [HOME, client].map((address) => `${(parseAddress(address) ?? 0) >>> 0}:`)
  const { byConnection } = streams
  for (const [key, stream] of [...byConnection]) {
    byConnection.delete(key)
    byConnection.set(key.replace(from ?? '', to ?? ''), stream)
  }
  return streams
}

/** @param step is given the host; all is gone after it */
async function onOneHost(step: (one: OneHost) => Promise<void>): Promise<void> {
  await using lab = await openLab({ hosts: { home: { addresses: [] } } })
  const { home } = lab.hosts
  await home.mustRun('ip', ['link', 'set', 'eth0', 'down'])
  const folder = mkdtempSync(join(tmpdir(), 'loopback-'))
  try {
    const folders = ['source', 'target'].map((name) => join(folder, name))
    for (const path of folders) mkdirSync(path)
    const source = await startRedis(home, PORT, folders[0] ?? folder)
    await step(new OneHost(home, source, await startRedis(home, TARGET_PORT, folders[1] ?? folder), folder))
  } finally {
    await lab.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

test('all on one host: answers to the stand-in for 127.0.0.1 go to lo, where nobody takes them', async () => {
  await onOneHost(async (one) => {
    await one.host.mustRun('ip', ['route', 'add', CLIENTS, 'dev', 'lo'])
    await startReady(one.host, INTERCEPT, ['-i', 'lo', '-F', `tcp and src port ${TARGET_PORT} and dst net ${CLIENTS}`])
    const dumps = [await one.dump(PORT), await one.dump(TARGET_PORT)]
    const tcpcopy = await one.startTcpcopy(['-H', STAND_IN])
    await one.load()
    await one.compare(tcpcopy, dumps, STAND_IN)
    const packets = readPackets(join(one.folder, `${TARGET_PORT}.pcap`))
    assert.ok(packets.every(({ from }) => from === STAND_IN))
    const longest = Math.max(...packets.map(({ payload }) => payload.length))
    assert.ok(longest > 10_000, `the longest segment had ${longest} octets`)
  })
})

test('all on one host, answers taken by a queue: clients keep 127.0.0.1', async () => {
  await onOneHost(async (one) => {
    const answers = ['-F', `tcp and src host ${HOME} and src port ${TARGET_PORT}`, '--manage-rules']
    await startReady(one.host, INTERCEPT, ['--nfqueue', ...answers])
    const dumps = [await one.dump(PORT), await one.dump(TARGET_PORT)]
    const tcpcopy = await one.startTcpcopy([])
    await one.load()
    await one.compare(tcpcopy, dumps)
    assert.ok(readPackets(join(one.folder, `${TARGET_PORT}.pcap`)).every(({ from }) => from === HOME))
  })
})
