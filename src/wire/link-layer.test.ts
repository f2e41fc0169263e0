import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { writePacket } from '../sim/network/packet.ts'
import { parseAddress } from './address.ts'
import { put16 } from './bytes.ts'
import { Flaw } from './flaw.ts'
import { findIp, LinkType } from './link-layer.ts'
import { ACK } from './segment.ts'

const inner = writePacket({
  fromAddress: 0x0a000001,
  fromPort: 2,
  toAddress: 0x0a000003,
  toPort: 4,
  flags: ACK,
  seq: 5,
  payload: Buffer.from('payload')
})

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

const MACS = '020000000001 020000000002'

/** An IPv4 header of 20 bytes before a payload. */
function ipv4(protocol: number, payload: Uint8Array): Buffer {
  const header = hex('4500 0000 0001 0000 40 00 0000 0a000001 0a000002')
  header[9] = protocol
  put16(header, 2, 20 + payload.length)
  return Buffer.concat([header, payload])
}

/** An IPv6 header before a payload. */
function ipv6(next: number, payload: Uint8Array): Buffer {
  const header = hex('60000000 0000 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002')
  header[6] = next
  put16(header, 4, payload.length)
  return Buffer.concat([header, payload])
}

function udp(port: number, payload: Uint8Array): Buffer {
  const header = hex('c000 0000 0000 0000')
  put16(header, 2, port)
  return Buffer.concat([header, payload])
}

const ethernet = Buffer.concat([hex(`${MACS} 0800`), inner])
const vxlan = Buffer.concat([hex('08000000 00002a00'), ethernet])
const encapsulated: [string, number, Uint8Array][] = [
  ['Ethernet', LinkType.Ethernet, ethernet],
  ['a VLAN tag', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8100 0005 0800`), inner])],
  ['QinQ', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 88a8 0064 8100 0005 0800`), inner])],
  ['two MPLS labels', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8847 00010040 00020140`), inner])],
  ['MPLS with Ethernet', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8847 00010140 00000000`), ethernet])],
  ['PPPoE', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8864 1100 0001 0036 0021`), inner])],
  ['VXLAN', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 0800`), ipv4(17, udp(4789, vxlan))])],
  [
    'VXLAN below a VLAN tag',
    LinkType.Ethernet,
    Buffer.concat([hex(`${MACS} 8100 0001 0800`), ipv4(17, udp(4789, vxlan))])
  ],
  ['GRE', LinkType.Raw, ipv4(47, Buffer.concat([hex('0000 0800'), inner]))],
  [
    'GRE with checksum, key and sequence',
    LinkType.Raw,
    ipv4(47, Buffer.concat([hex('b000 0800 00000000 00000007 00000001'), inner]))
  ],
  ['GRE with Ethernet', LinkType.Raw, ipv4(47, Buffer.concat([hex('0000 6558'), ethernet]))],
  ['ERSPAN I', LinkType.Raw, ipv4(47, Buffer.concat([hex('0000 88be'), ethernet]))],
  ['ERSPAN II', LinkType.Raw, ipv4(47, Buffer.concat([hex('1000 88be 00000001 10000000 00000000'), ethernet]))],
  ['ERSPAN III', LinkType.Raw, ipv4(47, Buffer.concat([hex('1000 22eb 00000001 200000000000000000000000'), ethernet]))],
  [
    'ERSPAN III with a subheader',
    LinkType.Raw,
    ipv4(47, Buffer.concat([hex('1000 22eb 00000001 200000000000000000000001 0000000000000000'), ethernet]))
  ],
  ['IP in IP', LinkType.Ipv4, ipv4(4, inner)],
  ['IPv4 in IPv6', LinkType.Ipv6, ipv6(4, inner)],
  [
    'GRE over IPv6, behind destination options',
    LinkType.Raw,
    ipv6(60, Buffer.concat([hex('2f00 0104 00000000 0000 0800'), inner]))
  ],
  ['VXLAN over IPv6', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 86dd`), ipv6(17, udp(4789, vxlan))])],
  ['SLL', LinkType.LinuxSll, Buffer.concat([hex('0000 0001 0006 020000000001 0000 0800'), inner])],
  ['SLL2', LinkType.LinuxSll2, Buffer.concat([hex('0800 0000 00000001 0001 00 06 020000000001 0000'), inner])],
  ['raw IP', LinkType.RawOfBsd, inner],
  ['NULL, little endian', LinkType.Null, Buffer.concat([hex('02000000'), inner])],
  ['NULL, big endian', LinkType.Null, Buffer.concat([hex('00000002'), inner])],
  ['LOOP', LinkType.Loop, Buffer.concat([hex('00000002'), inner])]
]

for (const [name, linkType, frame] of encapsulated) {
  test(`the packet is found: ${name}`, () => {
    const padded = Buffer.concat([hex('ffffff'), frame])
    assert.equal(findIp(padded, 3, frame.length, linkType), padded.length - inner.length)
  })
}

const inner6 = writePacket({
  fromAddress: parseAddress('2001:db8::1') ?? 0,
  fromPort: 2,
  toAddress: parseAddress('2001:db8::3') ?? 0,
  toPort: 4,
  flags: ACK,
  seq: 5,
  payload: Buffer.from('payload')
})
const encapsulated6: [string, number, Uint8Array][] = [
  ['Ethernet', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 86dd`), inner6])],
  ['a VLAN tag', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8100 0005 86dd`), inner6])],
  ['two MPLS labels', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8847 00010040 00020140`), inner6])],
  ['PPPoE', LinkType.Ethernet, Buffer.concat([hex(`${MACS} 8864 1100 0001 0036 0057`), inner6])],
  ['IPv6 in IPv4', LinkType.Raw, ipv4(41, inner6)],
  ['IPv6 in IPv6', LinkType.Raw, ipv6(41, inner6)],
  ['GRE', LinkType.Raw, ipv4(47, Buffer.concat([hex('0000 86dd'), inner6]))],
  ['SLL', LinkType.LinuxSll, Buffer.concat([hex('0000 0001 0006 020000000001 0000 86dd'), inner6])],
  ['SLL2', LinkType.LinuxSll2, Buffer.concat([hex('86dd 0000 00000001 0001 00 06 020000000001 0000'), inner6])],
  ['raw IP', LinkType.Raw, inner6],
  ['NULL of Linux', LinkType.Null, Buffer.concat([hex('0a000000'), inner6])],
  ['NULL of FreeBSD', LinkType.Null, Buffer.concat([hex('1c000000'), inner6])],
  ['LOOP', LinkType.Loop, Buffer.concat([hex('00000018'), inner6])]
]

for (const [name, linkType, frame] of encapsulated6) {
  test(`the packet over IPv6 is found: ${name}`, () => {
    assert.equal(findIp(frame, 0, frame.length, linkType), frame.length - inner6.length)
  })
}

test('frames without an IP packet are reported as such', () => {
  const cases: [number, Uint8Array, number][] = [
    [LinkType.Ethernet, hex(`${MACS} 0806 00010800`), Flaw.NotIpv4],
    [LinkType.Ethernet, hex(`${MACS} 86dd 60000000`), Flaw.Truncated],
    [LinkType.Ethernet, hex(`${MACS} 0800 45`), Flaw.Truncated],
    [LinkType.Ethernet, hex('0200'), Flaw.Truncated],
    [LinkType.Raw, hex('6000000000'), Flaw.Truncated],
    [LinkType.Null, hex('1e000000 60'), Flaw.Truncated],
    [LinkType.Null, hex('07000000 60'), Flaw.NotIpv4],
    [LinkType.Raw, hex('4100 0000 0001 0000 40 06 0000 0a000001 0a000002'), Flaw.BadHeader],
    [LinkType.Raw, ipv4(41, hex('60')), Flaw.Truncated],
    [LinkType.Raw, ipv6(0, hex('0600')), Flaw.Truncated],
    [LinkType.Raw, ipv6(4, hex('10')), Flaw.NotIpv4],
    [253, inner, Flaw.UnknownLink]
  ]
  for (const [linkType, frame, flaw] of cases) assert.equal(findIp(frame, 0, frame.length, linkType), -flaw)
})

test('a fragment of a tunnel is itself the packet, since its content is not complete', () => {
  const tunnel = ipv4(4, inner)
  put16(tunnel, 6, 0x2000)
  assert.equal(findIp(tunnel, 0, tunnel.length, LinkType.Raw), 0)
})

test('UDP to the VXLAN port without a VXLAN header is plain UDP', () => {
  const packet = ipv4(17, udp(4789, Buffer.alloc(60)))
  assert.equal(findIp(packet, 0, packet.length, LinkType.Raw), 0)
})

test('a packet found in random bytes lies within them', () => {
  const frames = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc
      .tuple(
        fc.constantFrom(...[...encapsulated, ...encapsulated6].map(([, , frame]) => frame)),
        fc.nat(80),
        fc.nat(255),
        fc.nat(120)
      )
      .map(([frame, at, value, cut]) => {
        const mutated = Uint8Array.from(frame)
        mutated[at % mutated.length] = value
        return mutated.subarray(0, cut < 60 ? mutated.length : cut)
      })
  )
  fc.assert(
    fc.property(frames, fc.constantFrom(...Object.values(LinkType)), (frame, linkType) => {
      const at = findIp(frame, 0, frame.length, linkType)
      assert.ok(at < 0 || at + 20 <= frame.length)
    }),
    { numRuns: 5000 }
  )
})

test('nested tunnels are limited', () => {
  let packet: Buffer = Buffer.from(inner)
  for (let depth = 0; depth < 3000; depth++) packet = ipv4(4, packet)
  assert.equal(findIp(packet, 0, packet.length, LinkType.Raw), -Flaw.BadHeader)
})
