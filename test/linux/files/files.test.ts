/** Captures of live traffic, replayed: the target reads what the source has read, connection by connection. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  ASSISTANT,
  type CopyLab,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Result } from '../../../lab/hosts/host.ts'
import { lastStatistics } from '../../../lab/hosts/json-log.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { readClientStreams } from '../../../lab/job/pcap-streams.ts'
import type { Redis } from '../../../lab/job/redis.ts'
import { writePacket } from '../../../src/sim/network/packet.ts'
import { Blocks } from '../../capture-file.ts'
import { benchmark, SHORT } from '../support/client-loads.ts'
import { assertSameStreams } from '../support/streams.ts'
import { statisticsOf, stopCleanly, until } from '../support/waiting.ts'

const TO_SERVER = `tcp dst port ${PORT}`
const COPY = ['-x', MAP, '-s', ASSISTANT]
/** So much faster than the file that it only waits for the copy. */
const AT_ONCE = ['-a', '1000000']

/** A lab in which redis and intercept run, for a tcpcopy that replays a file. */
interface ReplayLab {
  readonly lab: CopyLab
  readonly source: Redis
  readonly target: Redis
}

/** Defines a test in such a lab. */
function replayed(name: string, body: (replayLab: ReplayLab) => Promise<void>, offloads = false): void {
  test(name, async () => {
    await using lab = await openCopyLab({ offloads })
    const redis = await lab.startRedisPair()
    await lab.startIntercept()
    await body({ lab, ...redis })
  })
}

/** Captures the source's packets while clients do something. @returns the path of the file */
async function record(lab: CopyLab, name: string, filter: string, load: () => Promise<unknown>): Promise<string> {
  const path = join(lab.folder, name)
  const dump = await startPacketDump(lab.hosts.source, filter, path)
  await load()
  assert.equal(await dump.stop(), 0)
  return path
}

async function set(lab: CopyLab, ...args: readonly string[]): Promise<void> {
  await benchmark(lab.hosts.client, SOURCE, '-t', 'set', '-r', '1000', ...args)
}

async function replay(lab: CopyLab, args: readonly string[]): Promise<Result> {
  return await lab.hosts.source.run(TCPCOPY, [...COPY, '--log-format', 'json', ...args])
}

/** Replays a file and checks that the target read the same bytes on every connection. @returns the books */
async function assertReplayed(
  lab: CopyLab,
  original: string,
  args: readonly string[]
): Promise<Record<string, unknown>> {
  const copy = join(lab.folder, `copy-${args.length}-${performance.now()}`)
  const dump = await startPacketDump(lab.hosts.target, TO_SERVER, copy)
  const { status, stderr } = await replay(lab, args)
  assert.equal(await dump.stop(), 0)
  assert.equal(status, 0, stderr)
  assertSameStreams(await readClientStreams(original, PORT, 0), await readClientStreams(copy, PORT, 0), 0)
  const books = lastStatistics(stderr) ?? {}
  assert.deepEqual([books.droppedBytes, books.unaccountedBytes, books.pendingBytes], [0, 0, 0])
  return books
}

replayed('a capture of live traffic, with or without answers, is replayed byte for byte', async ({ lab }) => {
  const both = await record(lab, 'both', `tcp port ${PORT}`, async () => {
    await set(lab, '-n', '3000', '-c', '20')
    await set(lab, '-n', '300', '-c', '5', ...SHORT)
    await set(lab, '-n', '20', '-c', '2', '-d', '100000')
  })
  const books = await assertReplayed(lab, both, ['-i', both, ...AT_ONCE])
  assert.ok(Number(books.fileLeftOut) > 0)
  const zipped = join(lab.folder, 'both.gz')
  writeFileSync(zipped, gzipSync(readFileSync(both)))
  await assertReplayed(lab, both, ['-i', zipped, ...AT_ONCE])
  const oneSided = join(lab.folder, 'clients.pcap')
  await lab.hosts.source.mustRun('tcpdump', ['-r', both, '-w', oneSided, '-Z', 'root', TO_SERVER])
  await assertReplayed(lab, both, ['-i', oneSided, ...AT_ONCE])
  await assertReplayed(lab, both, ['-i', both, ...AT_ONCE, '-F', TO_SERVER])
  // Reading pauses while the pool is full: nothing is lost in a pool smaller than the file.
  await assertReplayed(lab, both, ['-i', both, ...AT_ONCE, '-m', '1'])
})

replayed(
  'the exit status tells whether the file is complete, and whether it has packets to what -x names',
  async ({ lab }) => {
    const path = await record(lab, 'whole', `tcp port ${PORT}`, () => set(lab, '-n', '100', '-c', '2'))
    const file = readFileSync(path)
    const truncated = join(lab.folder, 'truncated')
    writeFileSync(truncated, file.subarray(0, file.length - 7))
    const broken = await replay(lab, ['-i', truncated, ...AT_ONCE])
    assert.equal(broken.status, 3, broken.stderr)
    assert.match(broken.stderr, /could not be read to its end: it is truncated/)
    assert.equal(lastStatistics(broken.stderr)?.droppedBytes, 0)
    const other = await lab.hosts.source.run(TCPCOPY, ['-x', `80-${TARGET}:80`, '-s', ASSISTANT, '-i', path])
    assert.equal(other.status, 1)
    assert.match(
      other.stderr,
      /contains no packets to port 80, which -x names\n {2}It contains these servers: 10\.77\.0\.1:6379 \(\d+ packets, \d+ connections\)/
    )
    const none = await replay(lab, ['-i', path, '-F', 'port 7'])
    assert.equal(none.status, 1)
    assert.match(none.stderr, /-F, --from and --to exclude all of its \d+ packets/)
    writeFileSync(truncated, 'GIF89a, and no capture')
    const foreign = await replay(lab, ['-i', truncated])
    assert.equal(foreign.status, 1)
    assert.match(foreign.stderr, /it is not a pcap or pcapng file/)
    for (const [args, expected] of [
      [['-i', './nowhere.pcap'], /no such file/],
      [['-i', path, '-F', 'tcp ('], /syntax error/],
      [['-a', '2'], /--accelerate requires a file/]
    ] as const) {
      const { status, stderr } = await replay(lab, args)
      assert.equal(status, 1)
      assert.match(stderr, expected)
    }
  }
)

replayed(
  'several rounds, standard input, and a capture that starts in mid-stream are replayed',
  async ({ lab, source, target }) => {
    const path = await record(lab, 'rounds', TO_SERVER, () => set(lab, '-n', '500', '-c', '10'))
    const { status, stderr } = await replay(lab, ['-i', path, ...AT_ONCE, '-T', '3', '--epoch-timeout', '0.5'])
    assert.equal(status, 0, stderr)
    const once = await source.requestCount()
    assert.equal(await target.requestCount(), 3 * once)
    assert.deepEqual(lastStatistics(stderr)?.droppedBytes, 0)

    const withoutSyn = join(lab.folder, 'joined')
    const noSyn = 'tcp[tcpflags] & tcp-syn == 0'
    await lab.hosts.source.mustRun('tcpdump', ['-r', path, '-w', withoutSyn, '-Z', 'root', noSyn])
    const command = `cat ${withoutSyn} | ${TCPCOPY} ${COPY.join(' ')} -i - ${AT_ONCE.join(' ')} --log-format json`
    const joined = await lab.hosts.source.run('sh', ['-c', command])
    assert.equal(joined.status, 2, joined.stderr)
    assert.match(joined.stderr, /bytes belong to connections that began before the file/)
    const books = lastStatistics(joined.stderr) ?? {}
    assert.equal(books.sessionsJoined, books.sessionsStarted)
    assert.equal(books.droppedBytes, books['dropped.notJoined.bytes'])
    // Each connection is joined after three requests that followed an answer.
    const count = (await target.requestCount()) - 3 * once
    assert.ok(count < once && count >= once - 4 * Number(books.sessionsJoined), `${count} of ${once} requests`)
  }
)

replayed('a signal ends a replay without end', async ({ lab, target }) => {
  const path = await record(lab, 'paused', TO_SERVER, async () => await lab.ask('SET', 'before', '1'))
  const replaying = await lab.startTcpcopy([...COPY, '-i', path, '-T', '0', '--epoch-timeout', '0.1'])
  await until('three rounds', async () => (await target.requestCount()) >= 3)
  await stopCleanly(replaying)
})

/** The same request in many encapsulations, each on its own connection. */
replayed('frames of any link layer and encapsulation are replayed', async ({ lab, target }) => {
  const ethernet = (type: string): Buffer => Buffer.from(`020000000001020000000002${type}`, 'hex')
  const ipv4 = (protocol: number, inner: Uint8Array): Buffer => {
    const header = Buffer.from('450000000001000040000000c0a80001c0a80002', 'hex')
    header[9] = protocol
    header.writeUInt16BE(20 + inner.length, 2)
    return Buffer.concat([header, inner])
  }
  const layers: ((packet: Uint8Array) => [number, Uint8Array])[] = [
    (packet) => [1, Buffer.concat([ethernet('0800'), packet])],
    (packet) => [1, Buffer.concat([ethernet('88a8000281000003'), Buffer.from('0800', 'hex'), packet])],
    (packet) => [1, Buffer.concat([ethernet('8847'), Buffer.from('00010140', 'hex'), packet])],
    (packet) => [1, Buffer.concat([ethernet('0800'), ipv4(4, packet)])],
    (packet) => [101, ipv4(47, Buffer.concat([Buffer.from('00000800', 'hex'), packet]))],
    (packet) => [0, Buffer.concat([Buffer.from('02000000', 'hex'), packet])],
    (packet) => [113, Buffer.concat([Buffer.from('00000001000602000000000100000800', 'hex'), packet])],
    (packet) => {
      const frame = Buffer.concat([ethernet('0800'), packet])
      const udp = Buffer.concat([Buffer.from('c00012b5000000000800000000000100', 'hex'), frame])
      return [228, ipv4(17, udp)]
    }
  ]
  const blocks = new Blocks(false)
  const links = [1, 101, 0, 113, 228]
  const parts = [blocks.section(), ...links.map((link) => blocks.interface(link))]
  for (const [index, wrap] of layers.entries()) {
    const ends = { fromAddress: 0x0a4d000a, fromPort: 50_000 + index, toAddress: 0x0a4d0001, toPort: PORT }
    const request = Buffer.from(`SADD layers ${index}\r\n`)
    for (const packet of [
      writePacket({ ...ends, flags: 0x02, seq: 999 }),
      writePacket({ ...ends, flags: 0x18, seq: 1000, ack: 1, payload: request })
    ]) {
      const [link, frame] = wrap(packet)
      parts.push(blocks.enhanced(links.indexOf(link), BigInt(index), frame))
    }
  }
  const path = join(lab.folder, 'layers.pcapng')
  writeFileSync(path, Buffer.concat(parts))
  const { status, stderr } = await replay(lab, ['-i', path, '--epoch-timeout', '0.5'])
  assert.equal(status, 0, stderr)
  assert.equal(await lab.askTarget('SCARD', 'layers'), String(layers.length))
  assert.equal(await target.requestCount(), layers.length + 1)
})

replayed(
  'what tcpcopy record wrote under load is replayed byte for byte, from one file or several',
  async ({ lab }) => {
    const { source } = lab.hosts
    const single = join(lab.folder, 'single.pcapng')
    const several = join(lab.folder, 'several.pcapng')
    const rotated = ['-x', `${SOURCE}:${PORT}`, '-o', several, '--rotate-size', '1', '-i', 'eth0']
    const recorders = [
      { filesMin: 1, program: await startReady(source, TCPCOPY, ['record', '-x', MAP, '-o', single, '-B', '64']) },
      { filesMin: 4, program: await startReady(source, TCPCOPY, ['record', ...rotated]) }
    ]
    const original = await record(lab, 'original', TO_SERVER, async () => {
      await set(lab, '-n', '5000', '-c', '30')
      await set(lab, '-n', '200', '-c', '5', ...SHORT)
      await set(lab, '-n', '30', '-c', '2', '-d', '100000')
    })
    for (const { filesMin, program } of recorders) {
      const { captureDropped, files } = await statisticsOf(program)
      assert.equal(captureDropped, 0)
      assert.ok(Number(files) >= filesMin)
      await stopCleanly(program)
    }
    await assertReplayed(lab, original, ['-i', single, ...AT_ONCE])
    const joined = join(lab.folder, 'joined.pcapng')
    await source.mustRun('sh', ['-c', `cat ${join(lab.folder, 'several-')}*.pcapng > ${joined}`])
    await assertReplayed(lab, original, ['-i', joined, ...AT_ONCE])
  },
  true
)

test('record exits with a message if it cannot write its file', async () => {
  await using lab = await openCopyLab()
  for (const [args, expected] of [
    [['-x', '80'], /the option --output is missing/],
    [['-o', '/tmp/x'], /the option --map is missing/],
    [['-x', 'http', '-o', '/tmp/x'], /--map: invalid value "http"/],
    [['-x', '80', '-o', '/nowhere/file'], /\/nowhere\/file cannot be opened/],
    [['-x', '80', '-o', '/dev/full'], /\/dev\/full cannot be written: ENOSPC/]
  ] as const) {
    const { status, stderr } = await lab.hosts.source.run(TCPCOPY, ['record', ...args])
    assert.equal(status, 1, stderr)
    assert.match(stderr, expected)
  }
})

replayed('a file can be replayed on the target itself', async ({ lab, source, target }) => {
  const path = await record(lab, 'here.pcap', TO_SERVER, () =>
    benchmark(lab.hosts.client, SOURCE, '-t', 'set', '-n', '200')
  )
  const { status, stderr } = await lab.hosts.target.run(TCPCOPY, ['-i', path, ...COPY, ...AT_ONCE])
  assert.equal(status, 0, stderr)
  assert.equal(await target.requestCount(), await source.requestCount())
})
