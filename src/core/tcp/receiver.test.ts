import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ACK, FIN, PSH, Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, seq } from '../../wire/seq.ts'
import { Receiver } from './receiver.ts'

function answer(from: number, length: number, flags: number = ACK): Segment {
  const segment = new Segment()
  segment.seq = seq(from)
  segment.payloadLength = length
  segment.flags = flags
  return segment
}

test('bytes of the answer are counted once, however often they arrive', () => {
  fc.assert(
    fc.property(fc.constantFrom(0, -5, 2 ** 31 - 5), fc.array(fc.tuple(fc.nat(40), fc.nat(20))), (start, parts) => {
      const response = new Receiver()
      response.open(seq(start))
      let end = 0
      for (const [from, length] of parts) {
        if (from > end) continue // bytes beyond a gap are not accepted
        const isNew = from + length > end
        assert.equal(response.take(answer(start + from, length), 1460, 0), isNew)
        end = Math.max(end, from + length)
        assert.equal(response.receivedBytes, end)
        assert.equal(response.rcvNxt, add(seq(start), end))
      }
    }),
    { seed: 1 }
  )
})

test('a FIN counts as one byte, ends the answer, and is acknowledged at once', () => {
  const response = new Receiver()
  response.open(seq(10))
  response.take(answer(10, 5, ACK | PSH | FIN), 1460, 7)
  assert.deepEqual([response.receivedBytes, response.isClosed, response.ackAt], [6, true, 7])
  response.acknowledged(true)
  assert.equal(response.take(answer(16, 5), 1460, 8), false)
  assert.equal(response.receivedBytes, 6)
})

test('only the newest timestamp of the segment that was expected is echoed (RFC 7323 §4.3)', () => {
  const response = new Receiver()
  response.open(seq(10))
  const stamped = (from: number, length: number, tsVal: number) => {
    const segment = answer(from, length)
    segment.hasTimestamps = true
    segment.tsVal = seq(tsVal)
    response.take(segment, 1460, 0)
    return response.tsRecent
  }
  assert.equal(stamped(10, 5, 100), 100)
  assert.equal(stamped(15, 5, 90), 100)
  assert.equal(stamped(20, 5, 110), 110)
})

test('the right edge of the window never moves back', () => {
  const packet = fc.record({ bytes: fc.nat(3000), captured: fc.nat(1 << 20), isOwn: fc.boolean() })
  fc.assert(
    fc.property(fc.array(packet), fc.nat(14), fc.nat(1 << 22), (packets, shift, largest) => {
      const response = new Receiver()
      response.open(seq(-1000))
      response.sawWindow(largest)
      let edge = seq(-1000)
      for (const { bytes, captured, isOwn } of packets) {
        // The target stays within the window.
        const length = Math.min(bytes, Math.max(0, distance(edge, response.rcvNxt)))
        response.take(answer(response.rcvNxt, length), 1460, 0)
        const field = response.windowField(ACK, isOwn ? 0 : captured, shift, response.rcvNxt)
        assert.ok(field >= 0 && field <= 0xffff)
        const now = add(response.rcvNxt, field << shift)
        assert.ok(!isAfter(edge, now), `${edge} … ${now}`)
        edge = now
      }
    }),
    { seed: 1 }
  )
})

test('a probe beyond the window does not open it', () => {
  const response = new Receiver()
  response.open(seq(0))
  response.sawWindow(40_000)
  assert.equal(response.windowField(ACK, 0, 0, response.rcvNxt), 40_000)
  response.take(answer(seq(0), 40_001), 1460, 0)
  assert.equal(response.windowField(ACK, 1000, 0, response.rcvNxt), 1000)
})
