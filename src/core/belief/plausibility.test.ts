import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ACK, Segment } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { Plausibility } from './plausibility.ts'

const RTT_US = 20_000

function segmentOf(fields: Partial<Segment>): Segment {
  return Object.assign(new Segment(), { flags: ACK, ...fields })
}

/** Takes segments of `length` bytes, in order, one each millisecond. */
function send(known: Plausibility, from: number, count: number, length: number, now: number): void {
  for (let index = 0; index < count; index++) {
    const at = seq(from + index * length)
    known.learnBytes(at, length, RTT_US, now + index)
  }
}

test('a super-packet ahead is plausible, and twice the largest flight once one was seen', () => {
  const known = new Plausibility()
  send(known, 0, 1, 1000, 0)
  assert.ok(known.isNear(seq(1000 + 65_536), seq(1000)))
  assert.ok(!known.isNear(seq(1000 + 65_537), seq(1000)))
  send(known, 1000, 10, 50_000, 100)
  const end = 501_000
  assert.ok(known.isNear(seq(end + 1_000_000), seq(end)))
  assert.ok(!known.isNear(seq(end + 1_000_001), seq(end)))
})

test('what a client sends in several round trips is not one flight', () => {
  const known = new Plausibility()
  for (let turn = 0; turn < 100; turn++) send(known, turn * 50_000, 1, 50_000, turn * 30)
  assert.ok(!known.isNear(seq(5_000_000 + 100_001), seq(5_000_000)))
})

test('flights of 16 MB and more reach 16 MB', () => {
  const known = new Plausibility()
  send(known, 0, 20, 2_000_000, 0)
  const end = 40_000_000
  assert.ok(known.isNear(seq(end + (1 << 24)), seq(end)))
  assert.ok(!known.isNear(seq(end + (1 << 24) + 1), seq(end)))
})

test('beyond a hole of any size, what is near the farthest byte is plausible', () => {
  const known = new Plausibility()
  send(known, 0, 1, 1000, 0)
  known.learnBytes(seq(900_000_000), 1000, RTT_US, 100)
  assert.ok(known.isNear(seq(900_001_000), seq(1000)))
  assert.ok(known.isNear(seq(2000), seq(1000)))
  assert.ok(!known.isNear(seq(400_000_000), seq(1000)))
})

test('acknowledgment numbers are plausible within two of the largest windows', () => {
  const known = new Plausibility()
  const isNear = (ack: number): boolean => known.isNearAck(segmentOf({ ack: seq(ack) }))
  assert.ok(!isNear(0), 'none is known')
  known.learnAck(seq(1000))
  known.learnWindow(500)
  assert.ok(isNear(1000 + 131_072) && !isNear(1000 + 131_073))
  assert.ok(isNear(1000 - 131_072) && !isNear(1000 - 131_073))
  known.learnAck(seq(900))
  known.learnWindow(4_000_000)
  assert.ok(isNear(1000 + 8_000_000) && !isNear(1000 + 8_000_001))
  assert.ok(!known.isNearAck(segmentOf({ flags: 0, ack: seq(1000) })), 'no acknowledgment')
})
