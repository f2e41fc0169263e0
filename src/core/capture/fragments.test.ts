import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { writePacket } from '../../sim/network/packet.ts'
import { parseAddress } from '../../wire/address.ts'
import { put16 } from '../../wire/bytes.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { Segment, verifyChecksum } from '../../wire/segment.ts'
import { Fragments } from './fragments.ts'

function packetOf(ipId: number, payload: Uint8Array): Uint8Array {
  return writePacket({
    fromAddress: 0x0a000001,
    fromPort: 2,
    toAddress: 0x0a000003,
    toPort: 80,
    flags: 0x18,
    seq: 9,
    ipId,
    payload
  })
}

/** Splits the payload at these multiples of eight bytes. */
function cut(packet: Uint8Array, units: readonly number[]): Uint8Array[] {
  const carried = packet.subarray(20)
  const edges = [0, ...units.map((unit) => unit * 8).filter((at) => at < carried.length), carried.length]
  return edges.slice(1).map((end, index) => {
    const from = edges[index] ?? 0
    const fragment = new Uint8Array(20 + end - from)
    fragment.set(packet.subarray(0, 20))
    fragment.set(carried.subarray(from, end), 20)
    put16(fragment, 2, fragment.length)
    put16(fragment, 6, (from / 8) | (end < carried.length ? 0x2000 : 0))
    return fragment
  })
}

function packet6Of(payload: Uint8Array, extensions: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  const fromAddress = parseAddress('2001:db8::1') ?? 0
  const toAddress = parseAddress('2001:db8::3') ?? 0
  return writePacket({ fromAddress, fromPort: 2, toAddress, toPort: 80, flags: 0x18, seq: 9, payload, extensions })
}

/** The same for IPv6: the fragment header follows `headerLength` bytes, and `namedAt` is where its type is named. */
function cut6(packet: Uint8Array, headerLength: number, namedAt: number, units: readonly number[]): Uint8Array[] {
  const carried = packet.subarray(headerLength)
  const protocol = packet[namedAt] ?? 0
  const edges = [0, ...units.map((unit) => unit * 8).filter((at) => at < carried.length), carried.length]
  return edges.slice(1).map((end, index) => {
    const from = edges[index] ?? 0
    const fragment = new Uint8Array(headerLength + 8 + end - from)
    fragment.set(packet.subarray(0, headerLength))
    fragment.set([protocol, 0, 0, 0, 1, 2, 3, 4], headerLength)
    fragment.set(carried.subarray(from, end), headerLength + 8)
    fragment[namedAt] = 44
    put16(fragment, 4, fragment.length - 40)
    put16(fragment, headerLength + 2, from | (end < carried.length ? 1 : 0))
    return fragment
  })
}

const cuts = fc
  .uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 })
  .map((units) => units.sort((a, b) => a - b))

test('fragments are reassembled in any order, even if some arrive twice', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 9, maxLength: 400, size: 'max' }),
      cuts,
      fc.array(fc.nat(99)),
      (payload, units, order) => {
        const fragments = new Fragments()
        const pieces = cut(packetOf(7, payload), units)
        const shuffled = [...pieces].sort((a, b) => (order[pieces.indexOf(a)] ?? 0) - (order[pieces.indexOf(b)] ?? 0))
        const first = shuffled[0]
        if (first !== undefined && shuffled.length > 1) shuffled.splice(1, 0, first)
        let wholeCount = 0
        for (const piece of shuffled) {
          if (!fragments.add(piece, 0, piece.length, 0)) continue
          // Copied at once: the next fragment may overwrite this packet.
          wholeCount += 1
          const { bytes, at, length } = fragments
          const segment = new Segment()
          assert.equal(parseIp(bytes, at, length, length, false, segment), Flaw.None)
          assert.equal(verifyChecksum(segment), Flaw.None)
          assert.deepEqual(bytes.slice(segment.payloadAt, segment.payloadAt + segment.payloadLength), payload)
        }
        assert.equal(wholeCount, 1)
      }
    )
  )
})

test('over IPv6 headers before the fragment header are kept, and those after it are reassembled', () => {
  const routing: readonly [number, Uint8Array] = [43, new Uint8Array(6)]
  const options: readonly [number, Uint8Array] = [60, new Uint8Array(14)]
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 330, maxLength: 400, size: 'max' }),
      cuts,
      fc.boolean(),
      (payload, units, isReversed) => {
        const packet = packet6Of(payload, [routing, options])
        const fragments = new Fragments()
        const pieces = cut6(packet, 48, 40, units)
        if (isReversed) pieces.reverse()
        const whole = pieces.map((piece) => fragments.add(piece, 0, piece.length, 0))
        assert.deepEqual(whole.indexOf(true), pieces.length - 1)
        const { bytes, at, length } = fragments
        assert.deepEqual(bytes.slice(at, at + length), packet)
      }
    )
  )
})

test('IPv4 and IPv6 fragments are kept apart, and truncated IPv6 fragments are counted', () => {
  const fragments = new Fragments()
  const packet = packet6Of(new Uint8Array(100), [])
  const [first = new Uint8Array(20), second = new Uint8Array(20)] = cut6(packet, 40, 6, [4])
  const [other = new Uint8Array(20)] = cut(packetOf(0x0102, new Uint8Array(100)), [4])
  assert.equal(fragments.add(first, 0, first.length, 0), false)
  assert.equal(fragments.add(other, 0, other.length, 0), false)
  assert.equal(fragments.add(second, 0, second.length - 1, 0), false)
  assert.equal(fragments.add(second, 0, 44, 0), false)
  assert.equal(fragments.lostCount, 2)
  assert.equal(fragments.add(second, 0, second.length, 0), true)
})

test('fragments that never become a packet are counted, and do not accumulate', () => {
  const fragments = new Fragments()
  for (let ipId = 1; ipId <= 100; ipId++) {
    const [first = new Uint8Array(20)] = cut(packetOf(ipId, new Uint8Array(100)), [4])
    assert.equal(fragments.add(first, 0, first.length, ipId), false)
  }
  assert.equal(fragments.lostCount, 36)
  fragments.finish()
  assert.equal(fragments.lostCount, 100)
})

test('a fragment that arrives long after the first belongs to another packet', () => {
  const fragments = new Fragments()
  const [first = new Uint8Array(20), second = new Uint8Array(20)] = cut(packetOf(1, new Uint8Array(100)), [4])
  assert.equal(fragments.add(first, 0, first.length, 0), false)
  assert.equal(fragments.add(second, 0, second.length, 31_000), false)
  assert.equal(fragments.lostCount, 1)
})

test('truncated fragments, and fragments beyond the largest packet, are counted', () => {
  const fragments = new Fragments()
  const [first = new Uint8Array(20)] = cut(packetOf(1, new Uint8Array(100)), [4])
  assert.equal(fragments.add(first, 0, first.length - 1, 0), false)
  put16(first, 6, 0x1fff)
  assert.equal(fragments.add(first, 0, first.length, 0), false)
  assert.equal(fragments.lostCount, 2)
})

test('no fragment makes it throw', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 20, maxLength: 80 }), { maxLength: 20 }), (packets) => {
      const fragments = new Fragments()
      for (const packet of packets) {
        if (fragments.add(packet, 0, packet.length, 0))
          assert.ok(fragments.at + fragments.length <= fragments.bytes.length)
      }
    })
  )
})
