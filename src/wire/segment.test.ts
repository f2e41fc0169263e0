import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeOptions, writePacket } from '../sim/network/packet.ts'
import { put16 } from './bytes.ts'
import { fold, pseudoHeaderSum } from './checksum.ts'
import { Flaw } from './flaw.ts'
import { formatSegment } from './packetdrill.ts'
import {
  ACK,
  isChecksumPartial,
  parseIpv4,
  payloadSeq,
  readOptions,
  Segment,
  SYN,
  TCP,
  verifyChecksum
} from './segment.ts'

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const int16 = fc.nat(65535)
const fields = fc.record({
  fromAddress: fc.integer({ min: 0x01000000 }),
  toAddress: fc.integer({ max: -1 }),
  fromPort: int16,
  toPort: int16,
  flags: fc.nat(255),
  seq: int32,
  ack: int32,
  window: int16,
  ipId: int16,
  ttl: fc.nat(255),
  trafficClass: fc.nat(255),
  payload: fc.uint8Array({ maxLength: 50 })
})

/** Throws when it is read outside the packet. */
function fenced(bytes: Uint8Array, from: number, end: number): Uint8Array {
  return new Proxy(bytes, {
    get(array, key) {
      if (typeof key === 'string' && /^-?\d+$/.test(key)) {
        assert.ok(Number(key) >= from && Number(key) < end, `byte ${key} is outside of ${from}…${end}`)
      }
      const value: unknown = Reflect.get(array, key, array)
      return value
    }
  })
}

test('a written packet is parsed back', () => {
  fc.assert(
    fc.property(fields, fc.nat(20), (given, at) => {
      const packet = writePacket({ ...given, options: encodeOptions(['mss 1400', 'nop', 'wscale 7', 'ts 7 9']) })
      const memory = new Uint8Array(at + packet.length + 7).fill(0xa5)
      memory.set(packet, at)
      const segment = new Segment()
      assert.equal(parseIpv4(memory, at, packet.length, packet.length, false, segment), Flaw.None)
      assert.equal(verifyChecksum(segment), Flaw.None)
      const { ack, payload, ...rest } = given
      for (const [name, value] of Object.entries(rest)) assert.equal(Reflect.get(segment, name), value, name)
      assert.equal(segment.ack, given.flags & ACK ? ack : 0)
      assert.deepEqual(memory.subarray(segment.payloadAt, segment.payloadAt + segment.payloadLength), payload)
      assert.deepEqual([segment.mss, segment.windowScale, segment.sackPermitted], [1400, 7, false])
      assert.deepEqual([segment.hasTimestamps, segment.tsVal, segment.tsEcr], [true, 7, 9])
      assert.equal(payloadSeq(segment), (given.seq + (given.flags & SYN ? 1 : 0)) | 0)
    }),
    { seed: 1 }
  )
})

test('the checksum detects any changed byte', () => {
  fc.assert(
    fc.property(fields, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, where, change) => {
      const packet = writePacket(given)
      const at = 20 + (where % (packet.length - 20))
      packet[at] = (packet[at] ?? 0) ^ change
      const segment = new Segment()
      if (parseIpv4(packet, 0, packet.length, packet.length, false, segment) !== Flaw.None) return
      assert.equal(verifyChecksum(segment), Flaw.BadChecksum)
    }),
    { seed: 1 }
  )
})

test('no input makes the parser throw, or read beyond it', () => {
  const mutated = fc
    .tuple(fields, fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }))
    .map(([given, changes]) => {
      const packet = writePacket({ ...given, options: encodeOptions(['sackOK', 'sack 1:2 3:4', 'ts 1 2']) })
      for (const [at, byte] of changes) if (at < packet.length) packet[at] = byte
      return packet
    })
  fc.assert(
    fc.property(
      fc.oneof(mutated, fc.uint8Array({ maxLength: 120 })),
      fc.nat(200),
      fc.boolean(),
      (packet, cut, isHeader) => {
        const captured = Math.min(cut, packet.length)
        const segment = new Segment()
        const bytes = fenced(packet, 0, captured)
        const flaw = parseIpv4(bytes, 0, captured, packet.length, isHeader, segment)
        if (flaw !== Flaw.None) return
        formatSegment(segment)
        if (!isHeader) verifyChecksum(segment)
        assert.ok(segment.payloadLength >= 0)
      }
    ),
    { seed: 1, numRuns: 2000 }
  )
})

test('no options make the parser throw, or read beyond their end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (options) => {
      const segment = new Segment()
      readOptions(fenced(options, 0, options.length), 0, options.length, segment)
      assert.ok(segment.sackCount <= 4 && segment.windowScale <= 14)
    }),
    { seed: 1, numRuns: 2000 }
  )
})

test('each flaw has its name', () => {
  const whole = writePacket({
    fromAddress: 0x0a000001,
    fromPort: 2,
    toAddress: 0x0a000003,
    toPort: 4,
    flags: ACK,
    seq: 5,
    payload: Uint8Array.of(1, 2)
  })
  const parse = (change: (bytes: Uint8Array) => void, captured = whole.length, isHeaderOnly = false) => {
    const bytes = whole.slice()
    change(bytes)
    return parseIpv4(bytes, 0, captured, whole.length, isHeaderOnly, new Segment())
  }
  const same = () => {}
  assert.equal(parse(same), Flaw.None)
  assert.equal(parse(same, 19), Flaw.Truncated)
  assert.equal(parse(same, 39), Flaw.Truncated)
  assert.equal(parse(same, 41), Flaw.Truncated)
  assert.equal(parse(same, 41, true), Flaw.None)
  assert.equal(
    parse((bytes) => bytes.fill(0x65, 0, 1)),
    Flaw.NotIpv4
  )
  assert.equal(
    parse((bytes) => bytes.fill(0x44, 0, 1)),
    Flaw.BadHeader
  )
  assert.equal(
    parse((bytes) => put16(bytes, 2, 39)),
    Flaw.BadHeader
  )
  assert.equal(
    parse((bytes) => put16(bytes, 6, 0x2000)),
    Flaw.Fragment
  )
  assert.equal(
    parse((bytes) => put16(bytes, 6, 0x0001)),
    Flaw.Fragment
  )
  assert.equal(
    parse((bytes) => bytes.fill(17, 9, 10)),
    Flaw.NotTcp
  )
  assert.equal(
    parse((bytes) => bytes.fill(0x40, 32, 33)),
    Flaw.BadHeader
  )
  assert.equal(
    parse((bytes) => bytes.fill(0xf0, 32, 33)),
    Flaw.BadHeader
  )
  assert.equal(
    parse((bytes) => put16(bytes, 2, 0)),
    Flaw.None,
    'BIG TCP has no length of its own'
  )
})

test('a checksum left to the network card is distinguished from a wrong one', () => {
  fc.assert(
    fc.property(fields, fc.integer({ min: 1, max: 0xfffe }), (given, change) => {
      const packet = writePacket(given)
      const segment = new Segment()
      assert.equal(parseIpv4(packet, 0, packet.length, packet.length, false, segment), Flaw.None)
      const pseudo = (length: number): number =>
        fold(pseudoHeaderSum(segment.fromAddress, segment.toAddress, TCP, length))
      for (const partial of [0, pseudo(segment.tcpLength), pseudo(0)]) {
        put16(packet, 36, partial)
        assert.equal(isChecksumPartial(segment), true)
      }
      const wrong = pseudo(segment.tcpLength) ^ change
      fc.pre(wrong !== 0 && wrong !== pseudo(0))
      put16(packet, 36, wrong)
      assert.equal(isChecksumPartial(segment), false)
    })
  )
})
