import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { writePacket } from '../../../sim/network/packet.ts'
import { parseAddress } from '../../../wire/address.ts'
import { put16, put32 } from '../../../wire/bytes.ts'
import { type FilterProgram, runFilter } from '../../../wire/capture-file/bpf.ts'
import { copyFilter, copyFilter6 } from './filter.ts'
import type { FilterTarget } from './filter-code.ts'

function run(program: FilterProgram, packet: Uint8Array): number {
  return runFilter(program, packet, 0, packet.length, packet.length)
}

interface Shape {
  readonly protocol: number
  readonly headerLength: number
  readonly fragment: number
  readonly address: number
  readonly port: number
  readonly length: number
}

function build(shape: Shape): Uint8Array {
  const packet = new Uint8Array(shape.headerLength + 20).fill(0xa5)
  packet[0] = 0x40 | (shape.headerLength / 4)
  put16(packet, 6, shape.fragment)
  packet[9] = shape.protocol
  put32(packet, 16, shape.address)
  put16(packet, shape.headerLength + 2, shape.port)
  return packet.subarray(0, Math.min(shape.length, packet.length))
}

/** The expected verdict, written plainly. */
function expected(shape: Shape, targets: readonly FilterTarget[]): boolean {
  if (shape.protocol !== 6 || (shape.fragment & 0x1fff) !== 0 || shape.length < shape.headerLength + 4) return false
  return targets.some(
    (target) => target.port === shape.port && (target.address === 0 || target.address === shape.address)
  )
}

const addresses = fc.constantFrom(0, 0x0a000001, 0x0a000002, 0xc0a80001 | 0, -1)
const ports = fc.constantFrom(80, 81, 8080, 65535)
const shapes = fc.record({
  protocol: fc.constantFrom(6, 6, 6, 17, 1),
  headerLength: fc.constantFrom(20, 24, 40, 60),
  fragment: fc.constantFrom(0, 0x4000, 0x2000, 0x2001, 0x1fff),
  address: addresses,
  port: ports,
  length: fc.constantFrom(100, 100, 100, 100, 23, 24, 19, 0)
})
const targetLists = fc.array(fc.record({ address: addresses, port: ports }), { maxLength: 32 })

test('the filter accepts whole what is TCP to a target, and nothing else', () => {
  fc.assert(
    fc.property(shapes, targetLists, (shape, targets) => {
      const accepted = run(copyFilter(targets), build(shape))
      assert.equal(accepted, expected(shape, targets) ? 0x40000 : 0)
    }),
    { numRuns: 2000 }
  )
})

test('the last of 32 targets is found', () => {
  const targets = Array.from({ length: 32 }, (_, index) => ({ address: 0x0a000001 + index, port: 8000 }))
  const shape = { protocol: 6, headerLength: 20, fragment: 0, address: 0x0a000020, port: 8000, length: 100 }
  assert.equal(run(copyFilter(targets), build(shape)), 0x40000)
  assert.equal(run(copyFilter(targets), build({ ...shape, address: 0x0a000021 })), 0)
})

test('of UDP only datagrams are accepted', () => {
  const shape = { protocol: 17, headerLength: 20, fragment: 0, address: 1, port: 80, length: 28 }
  const program = copyFilter([{ address: 0, port: 80 }], 'udp')
  assert.deepEqual([run(program, build(shape)), run(program, build({ ...shape, protocol: 6 }))], [0x40000, 0])
})

test('without targets nothing is accepted', () => {
  const shape = { protocol: 6, headerLength: 20, fragment: 0, address: 1, port: 80, length: 100 }
  assert.equal(run(copyFilter([]), build(shape)), 0)
})

test('over IPv6 a filter passes what is for a target, and what stands behind extension headers', () => {
  const ip = (text: string): number => parseAddress(text) ?? assert.fail(text)
  const program = copyFilter6([
    { address: ip('2001:db8::1'), port: 80 },
    { address: 0, port: 81 }
  ])
  const isPassed = (
    to: string,
    toPort: number,
    extensions: readonly (readonly [number, Uint8Array])[] = []
  ): boolean => {
    const from = { fromAddress: ip('2001:db8::10'), fromPort: 40_000, flags: 2, seq: 1 }
    const packet = writePacket({ ...from, toAddress: ip(to), toPort, extensions })
    return runFilter(program, packet, 0, packet.length, packet.length) > 0
  }
  assert.deepEqual([isPassed('2001:db8::1', 80), isPassed('2001:db8::2', 80)], [true, false])
  assert.deepEqual([isPassed('2001:db8::2', 81), isPassed('2001:db8::1', 82)], [true, false])
  assert.ok(isPassed('2001:db8::2', 80, [[60, new Uint8Array(6)]]))
  // Fragments of the protocol, or with more headers before it.
  const fragment = (carried: number): Uint8Array => {
    const packet = new Uint8Array(60)
    packet.set([0x60, 0, 0, 0, 0, 20, 44])
    packet[40] = carried
    return packet
  }
  const passed = [6, 17, 60, 58].map((carried) => run(program, fragment(carried)) > 0)
  assert.deepEqual(passed, [true, false, true, false])
  assert.ok(run(copyFilter6([], 'udp'), fragment(17)) > 0)
})

test('over IPv6, without acknowledgments: as over IPv4, but for what stands behind extension headers', () => {
  const target = { address: parseAddress('2001:db8::1') ?? 0, port: 80 }
  const shapes = fc.record({
    flags: fc.constantFrom(0x10, 0x10, 0x18, 0x11, 0x02, 0x04, 0x14, 0x50, 0x90, 0x30),
    payload: fc.constantFrom(0, 0, 1, 20, 1440),
    options: fc.constantFrom(new Uint8Array(0), new Uint8Array(12).fill(1)),
    isExtended: fc.boolean()
  })
  fc.assert(
    fc.property(shapes, ({ flags, payload, options, isExtended }) => {
      const packet = writePacket({
        fromAddress: target.address,
        fromPort: 7,
        toAddress: target.address,
        toPort: 80,
        seq: 1,
        flags,
        options,
        payload: new Uint8Array(payload),
        extensions: isExtended ? [[60, new Uint8Array(6)]] : []
      })
      const isAck = payload === 0 && (flags & 0x2f) === 0 && !isExtended
      assert.equal(run(copyFilter6([target], 'tcp', true), packet), isAck ? 0 : 0x40000)
      assert.equal(run(copyFilter6([target]), packet), 0x40000)
    })
  )
})

test('without acknowledgments: only segments with payload, or with a flag that says something', () => {
  const target = { address: 0x0a000002, port: 80 }
  const segments = fc.record({
    headerLength: fc.constantFrom(20, 24, 60),
    tcpHeader: fc.constantFrom(20, 32, 60),
    payload: fc.constantFrom(0, 0, 1, 20, 1448, 64_000),
    flags: fc.constantFrom(0x10, 0x10, 0x10, 0x18, 0x11, 0x02, 0x04, 0x14, 0x50, 0x90, 0x30)
  })
  fc.assert(
    fc.property(segments, ({ headerLength, tcpHeader, payload, flags }) => {
      const shape = { ...target, protocol: 6, headerLength, fragment: 0, length: 100 }
      const packet = new Uint8Array([...build(shape), ...new Uint8Array(60)])
      put16(packet, 2, headerLength + tcpHeader + payload)
      packet[headerLength + 12] = ((tcpHeader / 4) << 4) | 0x05
      packet[headerLength + 13] = flags
      const isAck = payload === 0 && (flags & 0x2f) === 0
      assert.equal(run(copyFilter([target], 'tcp', true), packet), isAck ? 0 : 0x40000)
      assert.equal(run(copyFilter([target]), packet), 0x40000)
      assert.equal(run(copyFilter([{ address: 0, port: 81 }], 'tcp', true), packet), 0)
    }),
    { numRuns: 1000 }
  )
})
