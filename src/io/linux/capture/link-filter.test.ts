import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { writePacket } from '../../../sim/network/packet.ts'
import { parseAddress } from '../../../wire/address.ts'
import { put16 } from '../../../wire/bytes.ts'
import { type FilterProgram, runFilter } from '../../../wire/capture-file/bpf.ts'
import { copyFilter, copyFilter6 } from './filter.ts'
import { both, cutTo, frameFilter, notTo, notTo6 } from './link-filter.ts'

const WHOLE = 0x40000
const TO_80 = copyFilter([{ address: 0x0a000002, port: 80 }])

function run(program: FilterProgram, packet: Uint8Array): number {
  return runFilter(program, packet, 0, packet.length, packet.length)
}

function packet(port: number, toAddress = 0x0a000002): Uint8Array {
  return writePacket({ fromAddress: 0x0a000009, fromPort: 4000, toAddress, toPort: port, flags: 0x10, seq: 1, ack: 1 })
}

function ethernet(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(14, 2)
  put16(header, 12, type)
  return Buffer.concat([header, ...parts])
}

/** An IPv4 header of `headerLength` bytes, followed by what it carries. */
function ipv4(protocol: number, inner: Uint8Array, fragment = 0, headerLength = 20): Buffer {
  const header = Buffer.alloc(headerLength)
  header[0] = 0x40 | (headerLength / 4)
  header[9] = protocol
  put16(header, 2, headerLength + inner.length)
  put16(header, 6, fragment)
  return Buffer.concat([header, inner])
}

function udp(port: number): Buffer {
  const header = Buffer.alloc(40)
  put16(header, 2, port)
  return header
}

const vlan = Buffer.from('00050800', 'hex')

test('of plain packets a frame filter accepts what the filter for packets does', () => {
  for (const link of ['ethernet', 'cooked'] as const) {
    const program = frameFilter(TO_80, link)
    const frame = (bytes: Uint8Array): Uint8Array => (link === 'ethernet' ? ethernet(0x0800, bytes) : bytes)
    assert.equal(run(program, frame(packet(80))), WHOLE)
    assert.equal(run(program, frame(packet(81))), 0)
    assert.equal(run(program, frame(packet(80, 0x0a000003))), 0)
    assert.equal(run(program, frame(ipv4(17, udp(53)))), 0)
    assert.equal(run(program, frame(ipv4(1, udp(80)))), 0)
  }
  const datagrams = frameFilter(copyFilter([{ address: 0, port: 53 }], 'udp'), 'ethernet')
  assert.equal(run(datagrams, ethernet(0x0800, ipv4(17, udp(53)))), WHOLE)
  assert.equal(run(datagrams, ethernet(0x0800, ipv4(17, udp(54)))), 0)
})

test('of IPv6 packets a frame filter accepts what the filter for them does, and their tunnels', () => {
  const SERVER_6 = parseAddress('2001:db8::1') ?? 0
  const OTHER_6 = parseAddress('2001:db8:1::1') ?? 0
  const filter6 = both(notTo6([{ address: OTHER_6, port: 80 }]), copyFilter6([{ address: 0, port: 80 }]))
  const inIpv6 = (protocol: number, inner: Uint8Array): Uint8Array => {
    const header = Buffer.alloc(40)
    header[0] = 0x60
    header[6] = protocol
    return Buffer.concat([header, inner])
  }
  for (const link of ['ethernet', 'cooked'] as const) {
    const program = frameFilter(TO_80, link, filter6)
    const frame = (type: number, bytes: Uint8Array): Uint8Array => (link === 'ethernet' ? ethernet(type, bytes) : bytes)
    const accepts = (bytes: Uint8Array): boolean => run(program, frame(0x86dd, bytes)) === WHOLE
    assert.ok(accepts(packet(80, SERVER_6)))
    assert.ok(accepts(packet(81, OTHER_6)) === false && accepts(packet(80, OTHER_6)) === false)
    for (const tunnel of [4, 41, 47]) assert.ok(accepts(inIpv6(tunnel, udp(1))))
    assert.ok(accepts(inIpv6(17, udp(4789))))
    assert.ok(!accepts(inIpv6(17, udp(80))) && !accepts(inIpv6(58, udp(80))))
    assert.equal(run(program, frame(0x0800, packet(80))), WHOLE)
    assert.equal(run(program, frame(0x0800, packet(81))), 0)
    assert.equal(run(program, frame(0x0800, ipv4(41, udp(1)))), WHOLE)
    assert.equal(run(frameFilter(TO_80, link), frame(0x86dd, packet(80, SERVER_6))), 0)
  }
})

test('what may have a packet inside is accepted, be it what it may', () => {
  const program = frameFilter(TO_80, 'ethernet')
  for (const type of [0x8100, 0x88a8, 0x9100, 0x8864, 0x8847, 0x8848]) {
    assert.equal(run(program, ethernet(type, vlan, packet(81))), WHOLE, type.toString(16))
  }
  for (const link of ['ethernet', 'cooked'] as const) {
    const frame = (bytes: Uint8Array): Uint8Array => (link === 'ethernet' ? ethernet(0x0800, bytes) : bytes)
    const filter = frameFilter(TO_80, link)
    for (const headerLength of [20, 24, 60]) {
      for (const port of [4789, 8472]) assert.equal(run(filter, frame(ipv4(17, udp(port), 0, headerLength))), WHOLE)
    }
    for (const protocol of [4, 47]) assert.equal(run(filter, frame(ipv4(protocol, udp(0)))), WHOLE)
    assert.equal(run(filter, frame(ipv4(17, udp(4789), 0x2001))), 0, 'a fragment has no ports')
  }
})

test('what is neither IPv4 nor has layers is rejected', () => {
  const program = frameFilter(TO_80, 'ethernet')
  for (const type of [0x0806, 0x86dd, 0x88cc]) assert.equal(run(program, ethernet(type, packet(80))), 0)
  const cooked = frameFilter(TO_80, 'cooked')
  const ipv6 = Uint8Array.from(packet(80))
  ipv6[0] = 0x60
  assert.equal(run(cooked, ipv6), 0)
  for (let length = 0; length < 38; length++)
    assert.equal(run(program, ethernet(0x0800, packet(80)).subarray(0, length)), 0)
})

test('packets to a place are rejected, be they bare or in a frame', () => {
  const to80 = copyFilter([{ address: 0, port: 80 }])
  const filter = both(
    notTo([
      { address: 0x0a000003, port: 81 },
      { address: 0x0a000003, port: 80 },
      { address: 0x0a000004, port: 80 }
    ]),
    to80
  )
  for (const address of [0x0a000001, 0x0a000002, 0x0a000003, 0x0a000004]) {
    const expected = address < 0x0a000003 ? WHOLE : 0
    assert.equal(run(filter, packet(80, address)), expected)
    assert.equal(run(frameFilter(filter, 'ethernet'), ethernet(0x0800, packet(80, address))), expected)
    assert.equal(run(filter, packet(82, address)), 0)
  }
  assert.equal(run(both(notTo([]), to80), packet(80)), WHOLE)
})

test('both accept what both accept, and of it as much as the second says', () => {
  const octets = fc.uint8Array({ minLength: 0, maxLength: 6 })
  const is = (at: number, value: number): FilterProgram => [
    { code: 0x30, jt: 0, jf: 0, k: at },
    { code: 0x15, jt: 0, jf: 1, k: value },
    { code: 0x06, jt: 0, jf: 0, k: 7 },
    { code: 0x06, jt: 0, jf: 0, k: 0 }
  ]
  fc.assert(
    fc.property(octets, fc.nat(5), fc.nat(2), fc.nat(5), fc.nat(2), (bytes, at, value, atToo, valueToo) => {
      const small = bytes.map((one) => one % 3)
      const one = is(at, value)
      const other = cutTo(is(atToo, valueToo), 5)
      assert.equal(run(both(one, other), small), run(one, small) > 0 ? run(other, small) : 0)
      assert.equal(run(other, small), run(is(atToo, valueToo), small) > 0 ? 5 : 0)
    })
  )
})
