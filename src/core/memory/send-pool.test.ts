import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeOptions, writePacket } from '../../sim/network/packet.ts'
import { fold, sum } from '../../wire/checksum.ts'
import { ACK, parseIpv4, Segment } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { NONE, PIECE_MAX, POOL_PAGE, SendPool } from './send-pool.ts'

function segmentOf(payload: Uint8Array, fields: { ipId?: number; seq?: number } = {}): Segment {
  const packet = writePacket({
    fromAddress: 0x0a000001,
    fromPort: 2,
    toAddress: 0x0a000003,
    toPort: 4,
    flags: ACK,
    seq: fields.seq ?? 100,
    ack: -7,
    window: 65535,
    trafficClass: 0xff,
    ipId: fields.ipId ?? 65535,
    payload,
    options: encodeOptions(['nop', 'nop', 'ts 4294967295 1'])
  })
  const segment = new Segment()
  parseIpv4(packet, 0, packet.length, packet.length, false, segment)
  return segment
}

test("a piece keeps the bytes, their checksum and the segment's header fields", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(299), fc.nat(3), (payload, skip, number) => {
      const from = skip % payload.length
      const pool = new SendPool(new Uint8Array(64 + 4 * POOL_PAGE), 64, 4)
      const piece = pool.add(segmentOf(payload), seq(100 + from), from, payload.length - from, number, true)
      const at = pool.at(piece)
      assert.deepEqual(pool.memory.subarray(at, at + pool.length(piece)), payload.subarray(from))
      assert.equal(pool.hasSum(piece), payload.length - from < 192)
      if (pool.hasSum(piece)) assert.equal(pool.sum(piece), fold(sum(payload, from, payload.length - from)))
      assert.deepEqual([pool.offset(piece), pool.end(piece), pool.ack(piece)], [100 + from, 100 + payload.length, -7])
      assert.deepEqual([pool.window(piece), pool.trafficClass(piece), pool.tsVal(piece)], [65535, 0xff, -1])
      assert.equal(pool.ipId(piece), (65535 + number) & 0xffff)
      assert.ok(pool.isPushed(piece) && pool.hasTimestamps(piece) && pool.dontFragment(piece))
      assert.equal(pool.next(piece), NONE)
    }),
    { seed: 1 }
  )
})

test('without free pages a piece takes a larger block, and the pool refuses only if there is none', () => {
  const pool = new SendPool(new Uint8Array(POOL_PAGE), 0, 1)
  const whole = segmentOf(new Uint8Array(PIECE_MAX))
  const first = pool.add(whole, seq(0), 0, PIECE_MAX, 0, false)
  assert.notEqual(pool.add(whole, seq(0), 0, 100, 0, false), NONE)
  assert.equal(pool.usedBytes, 2 * PIECE_MAX)
  for (let count = 0; count < 2; count++) assert.notEqual(pool.add(whole, seq(0), 0, 1448, 0, false), NONE)
  assert.equal(pool.hasRefused, false)
  assert.equal(pool.add(whole, seq(0), 0, 1, 0, false), NONE)
  assert.equal(pool.hasRefused, true)
  pool.free(first)
  assert.equal(pool.usedBytes, 3 * PIECE_MAX)
  assert.notEqual(pool.add(whole, seq(0), 0, 1, 0, false), NONE)
})

test('an IP id of 0 stays 0 in every piece', () => {
  const pool = new SendPool(new Uint8Array(4 * POOL_PAGE), 0, 4)
  assert.equal(pool.ipId(pool.add(segmentOf(Uint8Array.of(1), { ipId: 0 }), seq(0), 0, 1, 3, false)), 0)
})

test('pieces in use keep their bytes whatever is added and freed, and an empty pool can be filled again', () => {
  const length = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: PIECE_MAX }))
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), length), { maxLength: 100 }), (choices) => {
      const pool = new SendPool(new Uint8Array(6 * POOL_PAGE), 0, 6)
      const used: { piece: number; length: number; byte: number }[] = []
      for (const [index, [choice, length]] of choices.entries()) {
        const given = choice < used.length ? used.splice(choice, 1)[0] : undefined
        if (given !== undefined) pool.free(given.piece)
        else {
          const byte = index & 255
          const piece = pool.add(segmentOf(new Uint8Array(length).fill(byte)), seq(0), 0, length, 0, false)
          if (piece !== NONE) used.push({ piece, length, byte })
        }
        assert.equal(pool.usedCount, used.length)
        assert.ok(pool.usedBytes <= 6 * POOL_PAGE)
      }
      for (const { piece, length, byte } of used) {
        const bytes = pool.memory.subarray(pool.at(piece), pool.at(piece) + length)
        assert.ok(bytes.every((one) => one === byte))
        pool.free(piece)
      }
      assert.equal(pool.usedBytes, 0)
      const whole = segmentOf(new Uint8Array(PIECE_MAX))
      for (let count = 0; count < 6 * 4; count++) assert.notEqual(pool.add(whole, seq(0), 0, PIECE_MAX, 0, false), NONE)
      assert.equal(pool.add(whole, seq(0), 0, 1, 0, false), NONE)
    }),
    { seed: 1 }
  )
})
