/** For any input, wire reports what is wrong and reads nothing outside. FUZZ_SEED selects other cases. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { guarded } from '../sim/network/guarded.ts'
import { writePacket } from '../sim/network/packet.ts'
import { u16 } from './bytes.ts'
import { parseRecord, putHeader, putPayload, RECORD_LENGTH, RECORD_LENGTH_MAX } from './channel/channel-v1.ts'
import { Flaw } from './flaw.ts'
import { formatSegment } from './packetdrill.ts'
import { parseIpv4, Segment, verifyChecksum } from './segment.ts'

const RUNS = { numRuns: 2000, seed: Number(process.env.FUZZ_SEED ?? 1), interruptAfterTimeLimit: 2000 }

const noise = fc.uint8Array({ maxLength: 120 })
const written = fc
  .record({
    flags: fc.integer({ min: 0, max: 255 }),
    seq: fc.integer(),
    ack: fc.integer(),
    payload: fc.uint8Array({ maxLength: 100 }),
    options: fc.uint8Array({ maxLength: 40 })
  })
  .map((fields) => writePacket({ fromAddress: 0x0a000001, fromPort: 2, toAddress: 0x0a000003, toPort: 4, ...fields }))
/** Changes some bytes of the headers, and may cut off the end. */
const mutated = fc
  .tuple(written, fc.array(fc.tuple(fc.nat(59), fc.nat(255)), { maxLength: 3 }), fc.nat(160))
  .map(([packet, changes, length]) => {
    for (const [at, value] of changes) if (at < packet.length) packet[at] = value
    return packet.slice(0, length)
  })
const packet = fc.oneof(noise, written, mutated, mutated)

test('any packet has a flaw or is parsed completely', () => {
  fc.assert(
    fc.property(packet, fc.nat(70_000), fc.boolean(), (bytes, wireLength, headersOnly) => {
      const segment = new Segment()
      const guard = guarded(bytes)
      if (parseIpv4(guard.bytes, guard.at, bytes.length, wireLength, headersOnly, segment) !== Flaw.None) return
      formatSegment(segment)
      const end = segment.payloadAt + segment.payloadLength
      if (headersOnly) {
        const record = new Uint8Array(RECORD_LENGTH_MAX)
        putHeader(guard.bytes, guard.at, record, 0)
        putPayload(segment, guard.at + bytes.length, record)
        // Packets of 64 KB and more (BIG TCP) do not state their length, and a record cannot.
        const isLengthSaid = u16(bytes, 2) !== 0
        assert.equal(parseRecord(record, 0, new Segment()) === Flaw.None, isLengthSaid)
      } else {
        assert.ok(end <= guard.at + bytes.length, 'the payload reaches beyond the packet')
        const flaw = verifyChecksum(segment)
        assert.ok(flaw === Flaw.None || flaw === Flaw.BadChecksum)
      }
    }),
    RUNS
  )
})

test('any record has a flaw or is parsed completely', () => {
  const record = fc.oneof(
    fc.uint8Array({ minLength: RECORD_LENGTH, maxLength: RECORD_LENGTH }),
    packet.map((bytes) => Uint8Array.from({ length: RECORD_LENGTH }, (_, index) => bytes[index] ?? 0))
  )
  fc.assert(
    fc.property(record, (bytes) => {
      const segment = new Segment()
      const guard = guarded(bytes)
      if (parseRecord(guard.bytes, guard.at, segment) !== Flaw.None) return
      formatSegment(segment)
      assert.ok(segment.payloadLength >= 0)
    }),
    RUNS
  )
})
