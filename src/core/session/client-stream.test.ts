import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeOptions, type PacketFields, writePacket } from '../../sim/network/packet.ts'
import { ACK, PSH, parseIpv4, Segment } from '../../wire/segment.ts'
import { add, isBefore, type Seq, seq } from '../../wire/seq.ts'
import { Counter, Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { NONE, POOL_PAGE, SendPool } from '../memory/send-pool.ts'
import { SendQueue } from '../memory/send-queue.ts'
import { ClientStream } from './client-stream.ts'

const LENGTH = 400

interface World {
  readonly stream: ClientStream
  readonly queue: SendQueue
  readonly pool: SendPool
  readonly counters: Counters
  readonly start: Seq
}

function world(start: number, pagesMax: number): World {
  const pool = new SendPool(new Uint8Array(pagesMax * POOL_PAGE), 0, pagesMax)
  const counters = new Counters()
  const queue = new SendQueue(seq(0), pool, counters)
  return { stream: new ClientStream(seq(start), queue, counters), queue, pool, counters, start: seq(start) }
}

const byteOf = (offset: number): number => (offset * 7 + (offset >> 8)) & 255

function segmentOf(fields: Pick<PacketFields, 'seq'> & Partial<PacketFields>): Segment {
  const flow = { fromAddress: 0x0a000001, fromPort: 1, toAddress: 0x0a000002, toPort: 2, flags: ACK }
  const packet = writePacket({ ...flow, ...fields })
  const segment = new Segment()
  parseIpv4(packet, 0, packet.length, packet.length, false, segment)
  return segment
}

function capture(world: World, from: number, to: number, cut: number): Drop {
  const payload = Uint8Array.from({ length: to - from }, (_, index) => byteOf(from + index))
  const segment = segmentOf({ seq: add(world.start, from), payload })
  world.counters.add(Counter.capturedPayloadBytes, payload.length)
  return world.stream.insert(segment, cut)
}

/** The bytes of the contiguous part, from the first held piece. */
function contiguous({ queue, pool }: World): number[] {
  const bytes: number[] = []
  for (let piece = queue.head; piece !== NONE; piece = pool.next(piece)) {
    bytes.push(...pool.memory.subarray(pool.at(piece), pool.at(piece) + pool.length(piece)))
  }
  return bytes
}

const range = fc
  .tuple(fc.nat(LENGTH), fc.integer({ min: 1, max: 60 }))
  .map(([from, length]) => [from, Math.min(LENGTH, from + length)] as const)
  .filter(([from, to]) => from < to)
const starts = fc.constantFrom(0, 1, -1, -200, 2 ** 31 - 200, -(2 ** 31), 0x12345678)

test('segments of any size, in any order and with any overlap, give the stream once', () => {
  fc.assert(
    fc.property(starts, fc.array(range, { maxLength: 60 }), fc.integer({ min: 1, max: 70 }), (start, ranges, cut) => {
      const it = world(start, 4096)
      const seen = new Set<number>()
      let duplicates = 0
      for (const [from, to] of ranges) {
        let fresh = 0
        for (let offset = from; offset < to; offset++) if (!seen.has(offset)) fresh += 1
        duplicates += to - from - fresh
        for (let offset = from; offset < to; offset++) seen.add(offset)
        assert.equal(capture(it, from, to, cut), fresh > 0 ? Drop.None : Drop.Duplicate)
        let end = 0
        while (seen.has(end)) end += 1
        assert.equal(it.stream.end, end)
        assert.equal(it.stream.hasHole, seen.size > end)
        assert.deepEqual(
          contiguous(it),
          Array.from({ length: end }, (_, offset) => byteOf(offset))
        )
        assert.equal(it.counters.get(Counter.duplicateBytes), duplicates)
        assert.equal(it.counters.get(Counter.pendingBytes), seen.size)
        assert.equal(it.counters.unaccountedBytes(), 0)
      }
      it.stream.clear(seq(0), Drop.TimedOut)
      assert.equal(it.pool.usedCount, 0)
      assert.equal(it.counters.droppedBytes(Drop.TimedOut), seen.size)
      assert.equal(it.counters.unaccountedBytes(), 0)
    }),
    { seed: 1, numRuns: 300 }
  )
})

const step = fc.oneof(
  range.map(([from, to]) => ({ kind: 'capture' as const, from, to })),
  fc.nat(100).map((bytes) => ({ kind: 'acknowledge' as const, bytes }))
)

test('the books balance while bytes are acknowledged, and when the pool is full', () => {
  fc.assert(
    fc.property(
      starts,
      fc.array(step, { maxLength: 80 }),
      fc.integer({ min: 1, max: 30 }),
      (start, steps, pagesMax) => {
        const it = world(start, pagesMax)
        let una = seq(0)
        for (const action of steps) {
          if (action.kind === 'capture') capture(it, action.from, action.to, 25)
          else {
            const before = una
            una = isBefore(add(una, action.bytes), it.stream.end) ? add(una, action.bytes) : it.stream.end
            const delivered = it.counters.get(Counter.deliveredBytes)
            it.queue.acknowledge(una)
            assert.equal(it.counters.get(Counter.deliveredBytes) - delivered, una - before)
          }
          assert.equal(it.counters.unaccountedBytes(), 0)
          assert.ok(it.pool.usedBytes <= pagesMax * POOL_PAGE)
          if (it.queue.head !== NONE) {
            const offset = it.pool.offset(it.queue.head)
            assert.deepEqual(
              contiguous(it),
              Array.from({ length: it.stream.end - offset }, (_, index) => byteOf(offset + index))
            )
          }
        }
        it.stream.clear(una, Drop.TimedOut)
        assert.equal(it.pool.usedCount, 0)
        assert.equal(it.counters.get(Counter.pendingBytes), 0)
        assert.equal(it.counters.unaccountedBytes(), 0)
      }
    ),
    { seed: 1, numRuns: 500 }
  )
})

test('bytes too far ahead in the stream are dropped as tooFarAhead', () => {
  const it = world(0, 16)
  assert.equal(capture(it, (1 << 29) + 10, (1 << 29) + 20, 25), Drop.TooFarAhead)
  assert.equal(it.counters.droppedBytes(Drop.TooFarAhead), 10)
  // Its end looks as if it were before the start of the stream.
  assert.equal(capture(it, 2 ** 31 - 10, 2 ** 31 + 10, 25), Drop.TooFarAhead)
  assert.equal(it.counters.droppedBytes(Drop.TooFarAhead), 30)
  assert.equal(it.counters.unaccountedBytes(), 0)
})

test('a segment beyond a hole is inserted in constant time, however many wait there', () => {
  const here = world(0, 40)
  const { stream, pool } = here
  let steps = 0
  const next = pool.next.bind(pool)
  pool.next = (piece) => {
    steps += 1
    return next(piece)
  }
  const count = 5000
  for (let index = 1; index <= count; index++) {
    capture(here, index * 10, index * 10 + 10, 1460)
  }
  assert.equal(stream.end, 0)
  assert.ok(steps < 4 * count, `${steps} steps for ${count} segments`)
  capture(here, 0, 10, 1460)
  assert.equal(stream.end, count * 10 + 10)
})

const SEGMENT_MAX = 250

/** A packet with payload, as captured or as split from pieces. */
interface Cut {
  readonly seq: number
  readonly length: number
  readonly ack: number
  readonly window: number
  readonly tsVal: number
  readonly trafficClass: number
  readonly ipId: number
  readonly isPushed: boolean
  readonly capturedAt: number
}

/** Splits what was captured or kept as one into segments of `SEGMENT_MAX`. */
function cut(whole: Cut): Cut[] {
  const { seq, length, ipId, isPushed } = whole
  return Array.from({ length: Math.ceil(length / SEGMENT_MAX) }, (_, number) => {
    const at = number * SEGMENT_MAX
    const size = Math.min(SEGMENT_MAX, length - at)
    const isLast = at + size === length
    const id = ipId === 0 ? 0 : (ipId + number) & 0xffff
    return { ...whole, seq: seq + at, length: size, ipId: id, isPushed: isPushed && isLast }
  })
}

function pieces({ queue, pool }: World): Cut[] {
  const all: Cut[] = []
  for (let piece = queue.head; piece !== NONE; piece = pool.next(piece)) {
    all.push({
      seq: pool.offset(piece),
      length: pool.length(piece),
      ack: pool.ack(piece),
      window: pool.window(piece),
      tsVal: pool.tsVal(piece),
      trafficClass: pool.trafficClass(piece),
      ipId: pool.ipId(piece),
      isPushed: pool.isPushed(piece),
      capturedAt: pool.capturedAt(piece)
    })
  }
  return all
}

/** Captured segments: mostly full, and with the headers of the previous one. */
const segments = fc.array(
  fc.record({
    length: fc.oneof({ weight: 6, arbitrary: fc.constant(SEGMENT_MAX) }, fc.integer({ min: 1, max: 3 * SEGMENT_MAX })),
    isPushed: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, fc.constant(true)),
    differs: fc.oneof(
      { weight: 20, arbitrary: fc.constant('nothing') },
      fc.constantFrom('ack', 'window', 'tsVal', 'trafficClass', 'ipId', 'capturedAt')
    )
  }),
  { minLength: 1, maxLength: 40 }
)

test('segments kept as one piece are split into the same packets again', () => {
  let longPieces = 0
  fc.assert(
    fc.property(segments, fc.constantFrom(0, 1, 65_530), (list, firstId) => {
      const here = world(0, 8)
      const captured: Cut[] = []
      let next = { seq: 0, ack: 5, window: 500, tsVal: 9, trafficClass: 0, ipId: firstId as number, capturedAt: 1 }
      for (const { length, isPushed, differs } of list) {
        if (differs in next) next = { ...next, [differs]: next[differs as keyof typeof next] + 1 } // as: a field of it
        if (firstId === 0) next.ipId = 0
        const payload = Uint8Array.from({ length }, (_, index) => byteOf(next.seq + index))
        const options = encodeOptions(['nop', 'nop', `ts ${next.tsVal} 1`])
        here.pool.now = next.capturedAt
        const flags = isPushed ? ACK | PSH : ACK
        assert.equal(here.stream.insert(segmentOf({ ...next, flags, options, payload }), SEGMENT_MAX), Drop.None)
        const packets = cut({ ...next, length, isPushed })
        captured.push(...packets)
        const ipId = firstId === 0 ? 0 : (next.ipId + packets.length) & 0xffff
        next = { ...next, seq: next.seq + length, ipId }
      }
      longPieces += pieces(here).filter(({ length }) => length > 3 * SEGMENT_MAX).length
      assert.deepEqual(pieces(here).flatMap(cut), captured)
      assert.ok(contiguous(here).every((byte, index) => byte === byteOf(index)))
      here.stream.clear(seq(0), Drop.Shutdown)
      assert.equal(here.pool.usedBytes, 0)
    }),
    { seed: 1, numRuns: 500 }
  )
  assert.ok(longPieces > 100, `${longPieces} of several segments`)
})
