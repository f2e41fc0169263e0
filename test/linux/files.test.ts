/** Captures of live traffic, replayed: the target reads what the source has read, connection by connection. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { compareStreams } from '../../lab/comparison.ts'
import type { Result } from '../../lab/host.ts'
import { lastStatistics } from '../../lab/json-log.ts'
import { startPacketDump } from '../../lab/packet-dump.ts'
import { readClientStreams } from '../../lab/pcap-streams.ts'
import { ASSISTANT, type CopyLab, MAP, openCopyLab, PORT, SOURCE, TCPCOPY } from './copy-lab.ts'

const TO_SERVER = `tcp dst port ${PORT}`
const COPY = ['-x', MAP, '-s', ASSISTANT]
/** Faster than the file, the file waits for the copy alone. */
const AT_ONCE = ['-a', '1000000']

/** What happened on the source, in a file. @param load what clients do meanwhile */
async function record(lab: CopyLab, name: string, filter: string, load: () => Promise<unknown>): Promise<string> {
  const path = join(lab.folder, name)
  const dump = await startPacketDump(lab.hosts.source, filter, path)
  await load()
  assert.equal(await dump.stop(), 0)
  return path
}

async function benchmark(lab: CopyLab, ...args: readonly string[]): Promise<void> {
  await lab.hosts.client.mustRun('redis-benchmark', ['-h', SOURCE, '-p', `${PORT}`, '-t', 'set', '-r', '1000', ...args])
}

async function replay(lab: CopyLab, args: readonly string[]): Promise<Result> {
  return await lab.hosts.source.run(TCPCOPY, [...COPY, '--log-format', 'json', ...args])
}

/** Replays a file and holds the target to have read the same on every connection. @returns the books */
async function holdSame(lab: CopyLab, original: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const copy = join(lab.folder, `copy-${args.length}-${performance.now()}`)
  const dump = await startPacketDump(lab.hosts.target, TO_SERVER, copy)
  const { status, stderr } = await replay(lab, args)
  assert.equal(await dump.stop(), 0)
  assert.equal(status, 0, stderr)
  const { requests, connections } = compareStreams(
    await readClientStreams(original, PORT, 0),
    await readClientStreams(copy, PORT, 0)
  )
  assert.deepEqual([requests.lost, requests.duplicated, connections.altered], [0, 0, 0], stderr)
  assert.equal(connections.equal, connections.source)
  assert.ok(connections.source > 0)
  const books = lastStatistics(stderr) ?? {}
  assert.deepEqual([books.droppedBytes, books.unaccountedBytes, books.pendingBytes], [0, 0, 0])
  return books
}

test('a capture of live traffic, of both sides or of one, is replayed byte for byte', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept()
  const both = await record(lab, 'both', `tcp port ${PORT}`, async () => {
    await benchmark(lab, '-n', '3000', '-c', '20')
    await benchmark(lab, '-n', '300', '-c', '5', '-k', '0')
    await benchmark(lab, '-n', '20', '-c', '2', '-d', '100000')
  })
  const books = await holdSame(lab, both, ['-i', both, ...AT_ONCE])
  assert.ok(Number(books.fileLeftOut) > 0)
  const zipped = join(lab.folder, 'both.gz')
  writeFileSync(zipped, gzipSync(readFileSync(both)))
  await holdSame(lab, both, ['-i', zipped, ...AT_ONCE])
  const oneSided = join(lab.folder, 'clients.pcap')
  await lab.hosts.source.mustRun('tcpdump', ['-r', both, '-w', oneSided, '-Z', 'root', TO_SERVER])
  await holdSame(lab, both, ['-i', oneSided, ...AT_ONCE])
  await holdSame(lab, both, ['-i', both, ...AT_ONCE, '-F', TO_SERVER])
})
