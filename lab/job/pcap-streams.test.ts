import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { compareStreams } from './comparison.ts'
import { ClientStreams, readClientStreams } from './pcap-streams.ts'
import { RespScanner } from './resp-scanner.ts'

const folder = mkdtempSync(join(tmpdir(), 'pcap-streams-'))
after(() => rmSync(folder, { recursive: true }))

const SYN = 0x02
const ACK = 0x10
const request = '*1\r\n$4\r\nPING\r\n'
const iss = 0xffff_fff0

interface Packet {
  readonly timeUs?: number
  readonly port?: number
  readonly seq: number
  readonly flags?: number
  readonly payload?: string | Uint8Array
}

/** An Ethernet frame with IPv4 and TCP, 12 bytes of TCP options, checksums zero, and padding. */
function frameOf({ port = 40000, seq, flags = ACK, payload = '' }: Packet): Buffer {
  const data = Buffer.from(payload)
  const frame = Buffer.alloc(Math.max(60, 14 + 20 + 32 + data.length), 0xee)
  frame.fill(0, 0, 66)
  frame.writeUInt16BE(0x0800, 12)
  frame[14] = 0x45
  frame.writeUInt16BE(20 + 32 + data.length, 16)
  frame[23] = 6
  frame.set([10, 77, 0, 10, 10, 77, 0, 1], 26)
  frame.writeUInt16BE(port, 34)
  frame.writeUInt16BE(6379, 36)
  frame.writeUInt32BE(seq >>> 0, 38)
  frame[46] = 8 << 4
  frame[47] = flags
  data.copy(frame, 66)
  return frame
}

function captureOf(packets: readonly Packet[]): Buffer {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b23c4d, 0)
  header.writeUInt32LE(1, 20)
  const records = packets.flatMap((packet) => {
    const frame = frameOf(packet)
    const record = Buffer.alloc(16)
    record.writeUInt32LE(1000 + Math.floor((packet.timeUs ?? 0) / 1e6), 0)
    record.writeUInt32LE(((packet.timeUs ?? 0) % 1e6) * 1000, 4)
    record.writeUInt32LE(frame.length, 8)
    record.writeUInt32LE(frame.length, 12)
    return [record, frame]
  })
  return Buffer.concat([header, ...records])
}

async function streamsOf(packets: readonly Packet[]): Promise<ClientStreams> {
  const path = join(folder, 'capture')
  writeFileSync(path, captureOf(packets))
  return await readClientStreams(path, 6379, 1000)
}

function only(streams: ClientStreams) {
  const [stream] = streams.byConnection.values()
  assert.ok(stream)
  assert.equal(streams.byConnection.size, 1)
  return stream
}

const open = { seq: iss, flags: SYN }
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

test('the digest of a stream continues when sequence numbers wrap, without padding and acknowledgments', async () => {
  const streams = await streamsOf([
    open,
    { seq: iss + 1 },
    { seq: iss + 1, payload: request, timeUs: 5 },
    { seq: iss + 15, payload: request, timeUs: 2_000_006.5 }
  ])
  const stream = only(streams)
  assert.deepEqual([...streams.byConnection.keys()], [`${0x0a4d000a}:40000:${iss}`])
  assert.equal(stream.digest(), sha256(request + request))
  assert.deepEqual(stream.requestTimesUs, [5, 2_000_006.5])
  assert.equal(stream.hasHole, false)
})

test('a request is complete when the last of its bytes has arrived in order', async () => {
  const stream = only(
    await streamsOf([
      open,
      { seq: iss + 1 + 10, payload: request.slice(10) + request, timeUs: 1 },
      { seq: iss + 1 + 4, payload: request.slice(4, 12), timeUs: 2 },
      { seq: iss + 1, payload: request.slice(0, 6), timeUs: 3 },
      { seq: iss + 1, payload: request, timeUs: 4 }
    ])
  )
  assert.equal(stream.digest(), sha256(request + request))
  assert.deepEqual(stream.requestTimesUs, [3, 3])
})

test('a hole is counted, and the digest ends before it', async () => {
  const streams = await streamsOf([open, { seq: iss + 1, payload: 'ab' }, { seq: iss + 4, payload: 'd' }])
  assert.equal(streams.holeCount, 1)
  assert.equal(only(streams).digest(), sha256('ab'))
})

test('a reused port starts a new stream; a repeated SYN does not', async () => {
  const streams = await streamsOf([
    open,
    open,
    { seq: iss + 1, payload: request },
    { seq: 1 << 30, flags: SYN },
    { seq: (1 << 30) + 1, payload: request },
    { seq: iss + 15, payload: 'late' },
    { port: 5, seq: 9, payload: 'no SYN seen' }
  ])
  assert.equal(streams.byConnection.size, 2)
  assert.equal(streams.requestCount, 2)
  assert.equal(streams.strayCount, 2)
})

test('any split, repetition and order of segments gives the same stream', async () => {
  const text = request.repeat(40)
  const cut = fc.tuple(fc.nat(text.length - 1), fc.integer({ min: 1, max: 200 }))
  await fc.assert(
    fc.asyncProperty(fc.array(cut, { maxLength: 30 }), fc.integer(), async (cuts, start) => {
      const streams = new ClientStreams(6379)
      const whole = [0, 100, 200, 300, 400, 500].map((from) => [from, 100] as const)
      const segment = { timeUs: 0, sourceAddress: 1, sourcePort: 2, targetAddress: 3, targetPort: 6379, flags: ACK }
      streams.add({ ...segment, seq: start, flags: SYN, payload: new Uint8Array() })
      for (const [from, length] of [...cuts, ...whole]) {
        const payload = Buffer.from(text.slice(from, from + length))
        streams.add({ ...segment, seq: (start + 1 + from) | 0, payload })
      }
      assert.equal(only(streams).digest(), sha256(text))
      assert.equal(streams.requestCount, 40)
    })
  )
})

test('a truncated file, one of another format and one with truncated packets are refused', async () => {
  const path = join(folder, 'bad')
  const whole = captureOf([open])
  const truncatedPacket = Buffer.from(whole)
  truncatedPacket.writeUInt32LE(2000, 24 + 12)
  const foreign = Buffer.from(whole)
  foreign.writeUInt32LE(0xa1b2c3d4, 0)
  const cooked = Buffer.from(whole)
  cooked.writeUInt32LE(113, 20)
  const cases = [
    [whole.subarray(0, -1), /middle/],
    [whole.subarray(0, 10), /middle/],
    [truncatedPacket, /truncated packets/],
    [foreign, /nanosecond/],
    [cooked, /link type 113/]
  ] as const
  for (const [bytes, message] of cases) {
    writeFileSync(path, bytes)
    await assert.rejects(readClientStreams(path, 6379, 0), message)
  }
})

test('requests are counted however the bytes are split, inline commands and binary values included', () => {
  const value = '*2\r\n$1\r\n'
  const text = `PING\r\n\r\n*2\r\n$3\r\nGET\r\n$${value.length}\r\n${value}\r\n*0\r\n*1\r\n$0\r\n\r\nQUIT\n`
  for (let size = 1; size <= text.length; size++) {
    const scanner = new RespScanner()
    let count = 0
    for (let at = 0; at < text.length; at += size) count += scanner.feed(Buffer.from(text.slice(at, at + size)))
    assert.equal(count, 4, `pieces of ${size}`)
  }
})

test('lost, repeated and altered requests of a copy are detected', async () => {
  const original = [open, ...[0, 1, 2].map((n) => ({ seq: iss + 1 + 14 * n, payload: request, timeUs: 100 * n }))]
  const source = await streamsOf(original)
  const compare = async (packets: readonly Packet[]) => compareStreams(source, await streamsOf(packets))

  const good = await compare(original.map((packet, n) => ({ ...packet, timeUs: [0, 50, 250, 251][n] ?? 0 })))
  assert.deepEqual(good.requests, { source: 3, target: 3, lost: 0, duplicated: 0 })
  assert.deepEqual(good.connections, { source: 1, target: 1, equal: 1, altered: 0 })
  // The third was captured while the second was still on its way.
  assert.deepEqual(good.delay.loaded, { p50Us: 50, p99Us: 150, counted: 2 })
  assert.equal(good.delay.paced.counted, 0)
  const late = await streamsOf(original.map((packet, n) => ({ ...packet, timeUs: 100 * n })))
  assert.equal(compareStreams(source, late, Number.POSITIVE_INFINITY).delay.paced.counted, 3)

  const short = await compare(original.slice(0, 3))
  assert.deepEqual([short.requests.lost, short.connections.equal, short.connections.altered], [1, 0, 0])
  assert.equal((await compare([])).requests.lost, 3)

  const longer = await compare([...original, { seq: iss + 1 + 42, payload: request }])
  assert.deepEqual([longer.requests.duplicated, longer.connections.equal], [1, 0])
  const again = await compare([...original, { seq: 7, flags: SYN }, { seq: 8, payload: request }])
  assert.deepEqual([again.requests.duplicated, again.connections.equal, again.connections.target], [1, 1, 2])

  const other = await compare([...original.slice(0, 3), { seq: iss + 1 + 28, payload: request.replace('PI', 'PO') }])
  assert.deepEqual([other.requests.lost, other.connections.equal, other.connections.altered], [0, 0, 1])
})
