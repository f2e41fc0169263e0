/** Files with IPv6: captured by tcpdump and by tcpcopy, in any encapsulation and in fragments. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ASSISTANT,
  CLIENT_6,
  type CopyLab,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  SOURCE_6,
  startReady,
  TARGET_6,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import { lastStatistics } from '../../../lab/hosts/json-log.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { writePacket } from '../../../src/sim/network/packet.ts'
import { parseAddress } from '../../../src/wire/address.ts'
import { put16 } from '../../../src/wire/bytes.ts'
import { Blocks } from '../../capture-file.ts'
import { benchmark } from '../support/client-loads.ts'
import { stopCleanly, untilSame } from '../support/waiting.ts'

const MAP_6 = `${PORT}-[${TARGET_6}]:${PORT}`
const ANSWERS = `src port ${PORT}`

/** Runs redis-benchmark over IPv4, then over IPv6. */
async function benchmarkBoth({ hosts }: CopyLab, ...args: readonly string[]): Promise<void> {
  for (const address of [SOURCE, SOURCE_6]) await benchmark(hosts.client, address, ...args)
}

async function replay(lab: CopyLab, maps: string, path: string, ...more: readonly string[]): Promise<void> {
  const args = ['-x', maps, '-s', ASSISTANT, '-i', path, '-a', '1000000', '--log-format', 'json', ...more]
  const { status, stderr } = await lab.hosts.source.run(TCPCOPY, args)
  assert.equal(status, 0, stderr)
  const books = lastStatistics(stderr) ?? {}
  assert.deepEqual([books.droppedBytes, books.unaccountedBytes, books.pendingBytes], [0, 0, 0])
}

test('a capture with both versions of IP is replayed completely, and so is what record wrote', async () => {
  await using lab = await openCopyLab({ isDual: true, offloads: true })
  const redis = await lab.startRedisPair()
  await lab.startIntercept([], ANSWERS)
  const { source } = lab.hosts
  const dumped = join(lab.folder, 'dumped')
  const recorded = join(lab.folder, 'recorded.pcapng')
  const ofIpv6 = join(lab.folder, 'ipv6.pcapng')
  const recorders = [
    await startReady(source, TCPCOPY, ['record', '-x', `${PORT}`, '-o', recorded]),
    await startReady(source, TCPCOPY, ['record', '-x', `[${SOURCE_6}]:${PORT}`, '-o', ofIpv6])
  ]
  const dump = await startPacketDump(source, `tcp port ${PORT}`, dumped)
  await benchmarkBoth(lab, '-t', 'set', '-n', '2000', '-c', '20', '-r', '1000')
  await benchmarkBoth(lab, '-t', 'hset', '-n', '20', '-c', '2', '-d', '100000')
  assert.equal(await dump.stop(), 0)
  for (const recorder of recorders) await stopCleanly(recorder)
  const maps = `${MAP},${MAP_6}`
  await replay(lab, maps, dumped)
  await untilSame(redis.source, redis.target)
  const count = await redis.source.requestCount()
  await replay(lab, maps, recorded)
  assert.equal(await redis.target.requestCount(), 2 * count)
  await replay(lab, maps, ofIpv6)
  assert.equal(await redis.target.requestCount(), 2 * count + count / 2)
  await replay(lab, MAP_6, recorded, '-F', 'ip6')
  assert.equal(await redis.target.requestCount(), 3 * count)
  const other = ['-x', `80-[${TARGET_6}]:80`, '-s', ASSISTANT, '-i', ofIpv6]
  const { status, stderr } = await source.run(TCPCOPY, other)
  assert.equal(status, 1)
  assert.match(stderr, /It contains these servers: \[fd77::1\]:6379 \(\d+ packets, \d+ connections\)/)
})

test('IPv6 packets in any encapsulation, with extension headers and in fragments are replayed', async () => {
  await using lab = await openCopyLab({ isDual: true })
  const redis = await lab.startRedisPair()
  await lab.startIntercept([], ANSWERS)
  const ethernet = (type: string): Buffer => Buffer.from(`020000000001020000000002${type}`, 'hex')
  const ipv6 = (protocol: number, inner: Uint8Array): Buffer => {
    const header = Buffer.from(`60000000000000402001${'00'.repeat(14)}2002${'00'.repeat(14)}`, 'hex')
    header[6] = protocol
    header.writeUInt16BE(inner.length, 4)
    return Buffer.concat([header, inner])
  }
  const ipv4 = Buffer.from('450000000001000040290000c0a80001c0a80002', 'hex')
  const layers: ((packet: Uint8Array) => [number, Uint8Array][])[] = [
    (packet) => [[1, Buffer.concat([ethernet('86dd'), packet])]],
    (packet) => [[1, Buffer.concat([ethernet('81000003'), Buffer.from('86dd', 'hex'), packet])]],
    (packet) => [[101, ipv6(41, packet)]],
    (packet) => {
      put16(ipv4, 2, 20 + packet.length)
      return [[101, Buffer.concat([ipv4, packet])]]
    },
    (packet) => [[113, Buffer.concat([Buffer.from('000000010006020000000001000086dd', 'hex'), packet])]],
    (packet) => fragmentsOf(packet).map((fragment) => [229, fragment])
  ]
  const blocks = new Blocks(false)
  const links = [1, 101, 113, 229]
  const parts = [blocks.section(), ...links.map((link) => blocks.interface(link))]
  let time = 0n
  for (const [index, wrap] of layers.entries()) {
    const ends = {
      fromAddress: parseAddress(CLIENT_6) ?? 0,
      fromPort: 50_000 + index,
      toAddress: parseAddress(SOURCE_6) ?? 0,
      toPort: PORT
    }
    const syn = writePacket({ ...ends, flags: 0x02, seq: 999 })
    const packet = writePacket({
      ...ends,
      flags: 0x18,
      seq: 1000,
      ack: 1,
      payload: Buffer.from(`SADD layers ${index}\r\n`),
      extensions: index % 2 === 0 ? [] : [[60, new Uint8Array(6)]]
    })
    parts.push(blocks.enhanced(0, time++, Buffer.concat([ethernet('86dd'), syn])))
    for (const [link, frame] of wrap(packet)) parts.push(blocks.enhanced(links.indexOf(link), time++, frame))
  }
  const path = join(lab.folder, 'layers.pcapng')
  writeFileSync(path, Buffer.concat(parts))
  await replay(lab, MAP_6, path, '--epoch-timeout', '0.5')
  assert.equal(await lab.askTarget('SCARD', 'layers'), String(layers.length))
  assert.equal(await redis.target.requestCount(), layers.length + 1)
})

/** Three fragments of an IPv6 packet, whose fragment header comes before any other extension header. */
function fragmentsOf(packet: Uint8Array): Uint8Array[] {
  const carried = packet.subarray(40)
  const protocol = packet[6] ?? 0
  return [0, 8, 24].map((from, index, all) => {
    const end = all[index + 1] ?? carried.length
    const header = Uint8Array.from(packet.subarray(0, 40))
    header[6] = 44
    put16(header, 4, 8 + end - from)
    const fragment = Uint8Array.of(protocol, 0, 0, from | (end < carried.length ? 1 : 0), 0, 0, 0, 9)
    return Buffer.concat([header, fragment, carried.subarray(from, end)])
  })
}
