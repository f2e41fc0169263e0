import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Segment } from '../../wire/segment.ts'
import { Counter, Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { HELD_MAX, HeldSegments, NOT_HELD } from './held-segments.ts'

function segmentOf(payload: string): Segment {
  const bytes = new TextEncoder().encode(`ip.tcp.${payload}`)
  const lengths = { tcpAt: 3, tcpLength: bytes.length - 3, payloadAt: 7, payloadLength: payload.length }
  return Object.assign(new Segment(), { bytes, ...lengths })
}

function textOf({ bytes, payloadAt, payloadLength }: Segment): string {
  return new TextDecoder().decode(bytes.subarray(payloadAt, payloadAt + payloadLength))
}

test('a segment is held as it was, and counts as pending meanwhile', () => {
  const counters = new Counters()
  const held = new HeldSegments(counters)
  const segment = segmentOf('request')
  const ticket = held.hold(segment)
  segment.bytes.fill(0)
  assert.equal(counters.get(Counter.pendingBytes), 7)
  const taken = held.take(ticket)
  assert.equal(taken && textOf(taken), 'request')
  assert.equal(counters.get(Counter.pendingBytes), 0)
  assert.equal(held.take(ticket), undefined)
})

test('the oldest segment makes room for another', () => {
  const counters = new Counters()
  const held = new HeldSegments(counters)
  const tickets = Array.from({ length: HELD_MAX + 2 }, (_, index) => held.hold(segmentOf(String(index % 10))))
  assert.equal(counters.get(Counter.pendingBytes), HELD_MAX)
  assert.equal(counters.droppedBytes(Drop.Implausible), 2)
  assert.deepEqual(
    tickets.slice(0, 3).map((ticket) => held.take(ticket)?.payloadLength),
    [undefined, undefined, 1]
  )
})

test('a segment longer than a place is dropped', () => {
  const counters = new Counters()
  const held = new HeldSegments(counters)
  assert.equal(held.hold(segmentOf('x'.repeat(70_000))), NOT_HELD)
  assert.equal(counters.droppedBytes(Drop.Implausible), 70_000)
  assert.equal(counters.get(Counter.pendingBytes), 0)
})
