import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type PacketFields, writePacket } from '../sim/network/packet.ts'
import { addressBook } from './address-book.ts'
import { put16 } from './bytes.ts'
import { Flaw } from './flaw.ts'
import { parseIp } from './ipv6.ts'
import { ACK, PSH, Segment, verifyChecksum } from './segment.ts'

const address = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => addressBook.intern(bytes, 0))
/** Hop-by-hop, routing and destination options, and the fragment header of a complete packet. */
const extension = fc.oneof(
  fc.tuple(
    fc.constantFrom(0, 43, 60),
    fc.nat(3).map((units) => new Uint8Array(6 + 8 * units).fill(1))
  ),
  fc.constant([44, new Uint8Array(6)] as [number, Uint8Array])
)
const fields: fc.Arbitrary<PacketFields & { payload: Uint8Array }> = fc.record({
  fromAddress: address,
  toAddress: address,
  fromPort: fc.nat(65535),
  toPort: fc.nat(65535),
  flags: fc.constantFrom(ACK, ACK | PSH),
  seq: fc.integer(),
  ack: fc.integer(),
  window: fc.nat(65535),
  ttl: fc.nat(255),
  trafficClass: fc.nat(255),
  flowLabel: fc.nat(0xfffff),
  payload: fc.uint8Array({ maxLength: 200 }),
  extensions: fc.array(extension, { maxLength: 4 })
})

function parse(packet: Uint8Array, captured: number, segment: Segment, wire = packet.length): Flaw {
  return parseIp(packet, 0, captured, wire, false, segment)
}

test('a written packet is parsed back, after any extension headers', () => {
  fc.assert(
    fc.property(fields, (given) => {
      const packet = writePacket(given)
      const segment = new Segment()
      assert.equal(parse(packet, packet.length, segment), Flaw.None)
      const { payload, extensions, ...rest } = given
      for (const [name, value] of Object.entries(rest)) assert.equal(Reflect.get(segment, name), value, name)
      assert.deepEqual(packet.subarray(segment.payloadAt, segment.payloadAt + segment.payloadLength), payload)
      assert.equal(verifyChecksum(segment), Flaw.None)
      packet[segment.tcpAt + 4] = (packet[segment.tcpAt + 4] ?? 0) ^ 1
      assert.equal(verifyChecksum(segment), Flaw.BadChecksum)
    }),
    { seed: 1 }
  )
})

test('a packet cut anywhere is reported as truncated, and nothing beyond is read', () => {
  fc.assert(
    fc.property(fields, fc.nat(), (given, where) => {
      const packet = writePacket(given)
      const captured = where % packet.length
      const cut = packet.slice(0, captured)
      if (captured > 0) assert.equal(parse(cut, captured, new Segment(), packet.length), Flaw.Truncated)
    }),
    { seed: 1 }
  )
})

test('fragments, other protocols and invalid headers are reported as such', () => {
  const base = {
    fromAddress: addressBook.intern(new Uint8Array(16).fill(1), 0),
    fromPort: 1,
    toPort: 2,
    flags: ACK,
    seq: 0
  }
  const given = { ...base, toAddress: base.fromAddress, payload: new Uint8Array(3) }
  const flawOf = (packet: Uint8Array): Flaw => parse(packet, packet.length, new Segment())
  assert.equal(flawOf(writePacket({ ...given, extensions: [[44, Uint8Array.of(0, 1, 0, 0, 0, 7)]] })), Flaw.Fragment)
  const udp = writePacket(given)
  udp[6] = 17
  assert.equal(flawOf(udp), Flaw.NotTcp)
  const short = writePacket(given)
  put16(short, 4, 19)
  assert.equal(flawOf(short), Flaw.BadHeader)
  const long = writePacket({ ...given, extensions: [[60, new Uint8Array(6)]] })
  long[41] = 255
  assert.equal(flawOf(long), Flaw.BadHeader)
})

test('with a payload length of 0, the packet is as long as the capture says', () => {
  const from = addressBook.intern(new Uint8Array(16).fill(1), 0)
  const payload = new Uint8Array(65_600).fill(7)
  const small = { fromAddress: from, toAddress: from, fromPort: 1, toPort: 2, flags: ACK, seq: 0 }
  const packet = new Uint8Array([...writePacket(small), ...payload])
  put16(packet, 4, 0)
  const segment = new Segment()
  assert.equal(parse(packet, packet.length, segment), Flaw.None)
  assert.equal(segment.payloadLength, 65_600)
})

test('an IPv4 packet whose address looks like the number of an IPv6 one is rejected', () => {
  const packet = writePacket({
    fromAddress: 0x0a000001,
    toAddress: 0x0a000002,
    fromPort: 1,
    toPort: 2,
    flags: ACK,
    seq: 0
  })
  packet.set([0, 0, 0, 1], 12)
  assert.equal(parse(packet, packet.length, new Segment()), Flaw.BadHeader)
})

test('no input makes the parser throw or hang', () => {
  fc.assert(
    fc.property(
      fields,
      fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 6 }),
      fc.boolean(),
      (given, changes, isHeader) => {
        const packet = writePacket(given)
        for (const [at, byte] of changes) if (at < packet.length) packet[at] = byte
        const segment = new Segment()
        const flaw = parseIp(packet, 0, packet.length, packet.length, isHeader, segment)
        if (flaw !== Flaw.None) return
        assert.ok(segment.payloadLength >= 0)
        if (!isHeader) assert.ok(segment.payloadAt + segment.payloadLength <= packet.length)
      }
    ),
    { seed: 1, numRuns: 1000 }
  )
})
