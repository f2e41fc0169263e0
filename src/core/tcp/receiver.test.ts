import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ACK, FIN, PSH, Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, seq } from '../../wire/seq.ts'
import { type ConnectionIdentity, ControlBlock } from './control-block.ts'
import { Receiver } from './receiver.ts'

const IDENTITY: ConnectionIdentity = {
  capturedAddress: 1,
  capturedPort: 2,
  clientAddress: 1,
  clientPort: 2,
  targetAddress: 3,
  targetPort: 4,
  isJoined: false,
  ipId: 0,
  ttl: 64,
  trafficClass: 0,
  flowLabel: 0,
  mss: 1460,
  windowScale: 0,
  isSackPermitted: true,
  hasTimestamps: true
}

/** The receiving half of an open connection. @param next the byte after the target's SYN */
function opened(next: number): { tcb: ControlBlock; receiver: Receiver } {
  const tcb = new ControlBlock(0, IDENTITY, seq(100), seq(0))
  const receiver = new Receiver(tcb)
  receiver.open(seq(next), seq(0))
  return { tcb, receiver }
}

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
      const { tcb, receiver } = opened(start)
      let end = 0
      for (const [from, length] of parts) {
        if (from > end) continue // bytes beyond a gap are not accepted
        const isNew = from + length > end
        assert.equal(receiver.take(answer(start + from, length), 1460, 0), isNew)
        end = Math.max(end, from + length)
        assert.equal(receiver.receivedBytes, end)
        assert.equal(tcb.rcvNxt, add(seq(start), end))
      }
    }),
    { seed: 1 }
  )
})

test('a FIN counts as one byte, ends the answer, and is acknowledged at once', () => {
  const { receiver } = opened(10)
  receiver.take(answer(10, 5, ACK | PSH | FIN), 1460, 7)
  assert.deepEqual([receiver.receivedBytes, receiver.isClosed, receiver.ackAt], [6, true, 7])
  receiver.acknowledged(true)
  assert.equal(receiver.take(answer(16, 5), 1460, 8), false)
  assert.equal(receiver.receivedBytes, 6)
})

test('only the newest timestamp of the segment that was expected is echoed (RFC 7323 §4.3)', () => {
  const { tcb, receiver } = opened(10)
  const stamped = (from: number, length: number, tsVal: number) => {
    const segment = answer(from, length)
    segment.hasTimestamps = true
    segment.tsVal = seq(tsVal)
    receiver.take(segment, 1460, 0)
    return tcb.tsRecent
  }
  assert.equal(stamped(10, 5, 100), 100)
  assert.equal(stamped(15, 5, 90), 100)
  assert.equal(stamped(20, 5, 110), 110)
})

test('the right edge of the window never moves back', () => {
  const packet = fc.record({ bytes: fc.nat(3000), captured: fc.nat(1 << 20), isOwn: fc.boolean() })
  fc.assert(
    fc.property(fc.array(packet), fc.nat(14), fc.nat(1 << 22), (packets, shift, largest) => {
      const { tcb, receiver } = opened(-1000)
      receiver.sawWindow(largest)
      let edge = seq(-1000)
      for (const { bytes, captured, isOwn } of packets) {
        // The target stays within the window.
        const length = Math.min(bytes, Math.max(0, distance(edge, tcb.rcvNxt)))
        receiver.take(answer(tcb.rcvNxt, length), 1460, 0)
        const field = receiver.windowField(ACK, isOwn ? 0 : captured, shift, tcb.rcvNxt)
        assert.ok(field >= 0 && field <= 0xffff)
        const now = add(tcb.rcvNxt, field << shift)
        assert.ok(!isAfter(edge, now), `${edge} … ${now}`)
        edge = now
      }
    }),
    { seed: 1 }
  )
})

test('a probe beyond the window does not open it', () => {
  const { tcb, receiver } = opened(0)
  receiver.sawWindow(40_000)
  assert.equal(receiver.windowField(ACK, 0, 0, tcb.rcvNxt), 40_000)
  receiver.take(answer(seq(0), 40_001), 1460, 0)
  assert.equal(receiver.windowField(ACK, 1000, 0, tcb.rcvNxt), 1000)
})
