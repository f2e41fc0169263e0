import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { writePacket } from '../sim/packet.ts'
import { put16 } from './bytes.ts'
import { Flaw } from './flaw.ts'
import { findIpv4, LinkType } from './link-layer.ts'
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

/** An IPv4 header of 20 octets before a payload. */
function ipv4(protocol: number, payload: Uint8Array): Buffer {
  const header = hex('4500 0000 0001 0000 40 00 0000 0a000001 0a000002')
  header[9] = protocol
  put16(header, 2, 20 + payload.length)
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
  ['SLL', LinkType.LinuxSll, Buffer.concat([hex('0000 0001 0006 020000000001 0000 0800'), inner])],
  ['SLL2', LinkType.LinuxSll2, Buffer.concat([hex('0800 0000 00000001 0001 00 06 020000000001 0000'), inner])],
  ['raw IP', LinkType.RawOfBsd, inner],
  ['NULL, little endian', LinkType.Null, Buffer.concat([hex('02000000'), inner])],
  ['NULL, big endian', LinkType.Null, Buffer.concat([hex('00000002'), inner])],
  ['LOOP', LinkType.Loop, Buffer.concat([hex('00000002'), inner])]
]

for (const [name, linkType, frame] of encapsulated) {
  test(`the IPv4 packet is found: ${name}`, () => {
    const padded = Buffer.concat([hex('ffffff'), frame])
    assert.equal(findIpv4(padded, 3, frame.length, linkType), padded.length - inner.length)
  })
}

test('what holds no IPv4 packet is named', () => {
  const cases: [number, Uint8Array, number][] = [
    [LinkType.Ethernet, hex(`${MACS} 0806 00010800`), Flaw.NotIpv4],
    [LinkType.Ethernet, hex(`${MACS} 86dd 60000000`), Flaw.Ipv6],
    [LinkType.Ethernet, hex(`${MACS} 0800 45`), Flaw.Truncated],
    [LinkType.Ethernet, hex('0200'), Flaw.Truncated],
    [LinkType.Raw, hex('6000000000'), Flaw.Ipv6],
    [LinkType.Null, hex('1e000000 60'), Flaw.Ipv6],
    [LinkType.Null, hex('07000000 60'), Flaw.NotIpv4],
    [LinkType.Raw, hex('4100 0000 0001 0000 40 06 0000 0a000001 0a000002'), Flaw.BadHeader],
    [LinkType.Raw, ipv4(41, hex('60')), Flaw.Ipv6],
    [253, inner, Flaw.UnknownLink]
  ]
  for (const [linkType, frame, flaw] of cases) assert.equal(findIpv4(frame, 0, frame.length, linkType), -flaw)
})

test('a fragment of a tunnel is the packet: what is inside is known when it is whole', () => {
  const tunnel = ipv4(4, inner)
  put16(tunnel, 6, 0x2000)
  assert.equal(findIpv4(tunnel, 0, tunnel.length, LinkType.Raw), 0)
})

test('UDP to the port of VXLAN that is no VXLAN is UDP', () => {
  const packet = ipv4(17, udp(4789, Buffer.alloc(60)))
  assert.equal(findIpv4(packet, 0, packet.length, LinkType.Raw), 0)
})

test('whatever the octets are, what is found lies inside of them', () => {
  const frames = fc.oneof(
    fc.uint8Array({ maxLength: 120 }),
    fc
      .tuple(fc.constantFrom(...encapsulated.map(([, , frame]) => frame)), fc.nat(80), fc.nat(255), fc.nat(120))
      .map(([frame, at, value, cut]) => {
        const mutated = Uint8Array.from(frame)
        mutated[at % mutated.length] = value
        return mutated.subarray(0, cut < 60 ? mutated.length : cut)
      })
  )
  fc.assert(
    fc.property(frames, fc.constantFrom(...Object.values(LinkType)), (frame, linkType) => {
      const at = findIpv4(frame, 0, frame.length, linkType)
      assert.ok(at < 0 || at + 20 <= frame.length)
    }),
    { numRuns: 5000 }
  )
})

test('tunnels in tunnels end', () => {
  let packet: Buffer = Buffer.from(inner)
  for (let depth = 0; depth < 3000; depth++) packet = ipv4(4, packet)
  assert.equal(findIpv4(packet, 0, packet.length, LinkType.Raw), -Flaw.BadHeader)
})
