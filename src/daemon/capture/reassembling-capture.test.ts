import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { MemoryCapture } from '../../sim/network/memory-ports.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { parseAddress } from '../../wire/address.ts'
import { put16 } from '../../wire/bytes.ts'
import { ACK } from '../../wire/segment.ts'
import { ReassemblingCapture } from './reassembling-capture.ts'

const FLOW = { fromPort: 40_000, toPort: 80, flags: ACK, seq: 1, payload: new Uint8Array(100).fill(7) }
const WHOLE = writePacket({
  ...FLOW,
  fromAddress: parseAddress('2001:db8::1') ?? 0,
  toAddress: parseAddress('2001:db8::2') ?? 0
})
const OF_IPV4 = writePacket({ ...FLOW, fromAddress: 0x0a000001, toAddress: 0x0a000002 })

/** The two fragments of WHOLE. */
function fragments(id: number): Uint8Array[] {
  const carried = WHOLE.subarray(40)
  return [carried.subarray(0, 64), carried.subarray(64)].map((part, index) => {
    const header = Uint8Array.from(WHOLE.subarray(0, 40))
    header[6] = 44
    put16(header, 4, 8 + part.length)
    return Buffer.concat([header, Uint8Array.of(6, 0, 0, index === 0 ? 1 : 64, 0, 0, 0, id), part])
  })
}

test('IPv6 fragments are reassembled, other packets stay unchanged, and incomplete packets are counted', () => {
  const memory = new MemoryCapture()
  const counters = new Counters()
  let now = 0
  const capture = new ReassemblingCapture(memory, { now: () => now }, counters)
  const given: Uint8Array[] = []
  const receive = (...packets: readonly Uint8Array[]): void => {
    memory.waiting.push(...packets)
    capture.receive((bytes, at, captured) => given.push(bytes.slice(at, at + captured)), 100)
  }
  const [first = WHOLE, second = WHOLE] = fragments(1)
  receive(first, OF_IPV4, second, WHOLE)
  assert.deepEqual(given, [OF_IPV4, WHOLE, WHOLE])
  const [lost = WHOLE] = fragments(2)
  receive(lost)
  now = 60_000
  receive(...fragments(3))
  assert.equal(given.length, 4)
  assert.equal(counters.droppedPackets(Drop.Fragment), 1)
  receive(lost)
  capture.finish()
  assert.equal(counters.droppedPackets(Drop.Fragment), 2)
  capture.close()
  assert.equal(counters.droppedPackets(Drop.Fragment), 2)
})
