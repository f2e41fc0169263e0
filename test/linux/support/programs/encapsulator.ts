/**
 * A program for a host of the lab that stands in for a mirroring switch: it captures the packets to and from port 6379 on
 * one device, and sends each to another device in one of the encapsulations of FORMS, chosen by the client's port.
 * encapsulator.js FROM-DEVICE TO-DEVICE
 */

import { compileFilter } from '../../../../src/io/linux/capture/libpcap.ts'
import { PacketRing } from '../../../../src/io/linux/capture/ring.ts'
import { POLLIN, Poller } from '../../../../src/io/linux/system/poller.ts'
import { put16, u16 } from '../../../../src/wire/bytes.ts'
import { FrameSender } from '../raw-packets.ts'

const PORT = 6379
const MACS = '020000000077020000000066'
const MORE_FRAGMENTS = 0x2000
const ETHERNET_HEADER = 14

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

function frame(layers: string, ...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([hex(MACS + layers), ...parts])
}

/** Inside an IPv4 packet between two other hosts, whose checksum nobody verifies. */
function ipv4(protocol: number, id: number, fragment: number, ...parts: readonly Uint8Array[]): Buffer {
  const inner = Buffer.concat(parts)
  const header = hex('4500 0000 0000 0000 4000 0000 c0a80001 c0a80002')
  header[9] = protocol
  put16(header, 2, 20 + inner.length)
  put16(header, 4, id)
  put16(header, 6, fragment)
  return Buffer.concat([header, inner])
}

function vxlan(id: number, inner: Uint8Array): Buffer {
  const length = Buffer.alloc(2)
  put16(length, 0, inner.length + 16)
  return ipv4(17, id, 0, hex('c000 12b5'), length, hex('0000 08000000 00002a00'), inner)
}

const erspan = (id: number, inner: Uint8Array): Buffer =>
  ipv4(47, id, 0, hex('1000 88be 00000001 10000000 00000000'), inner)

/** The packet as two fragments, the second one first. */
function inFragments(packet: Uint8Array, header = 20): Uint8Array[] {
  const cut = header + ((packet.length - header) >> 4) * 8
  const part = (from: number, to: number, fragment: number): Uint8Array => {
    const bytes = Buffer.concat([packet.subarray(0, header), packet.subarray(from, to)])
    put16(bytes, 2, bytes.length)
    put16(bytes, 6, fragment)
    return bytes
  }
  return [part(cut, packet.length, (cut - header) / 8), part(header, cut, MORE_FRAGMENTS)]
}

/** What is mirrored of an untagged frame. */
const FORMS: readonly ((ethernet: Uint8Array, packet: Uint8Array, id: number) => readonly Uint8Array[])[] = [
  (ethernet) => [ethernet],
  (_, packet) => [frame('8100 0005 0800', packet)],
  (_, packet) => [frame('88a8 0064 8100 0005 0800', packet)],
  (_, packet) => [frame('8847 00010040 00020140', packet)],
  (_, packet) => [frame('8864 1100 0001 0036 0021', packet)],
  (ethernet, _, id) => [frame('0800', vxlan(id, ethernet))],
  (ethernet, _, id) => [frame('8100 0007 0800', vxlan(id, ethernet))],
  (_, packet, id) => [frame('0800', ipv4(47, id, 0, hex('0000 0800'), packet))],
  (ethernet, _, id) => [frame('0800', erspan(id, ethernet))],
  (_, packet, id) => [frame('0800', ipv4(4, id, 0, packet))],
  (ethernet, _, id) => inFragments(erspan(id, ethernet)).map((part) => frame('8100 0009 8100 0005 0800', part)),
  (_, packet, id) => inFragments(packet).map((part) => frame('0800', vxlan(id, frame('0800', part))))
]

const [, , from = '', to = ''] = process.argv
const sender = new FrameSender(to)
const filter = compileFilter(`tcp port ${PORT}`, { link: 'ethernet', snapLength: 0x40000 })
const ring = new PacketRing({ device: from, link: 'ethernet', filter, isPromiscuous: true, ringMegabytes: 64 })
const poller = new Poller()
poller.add(ring.fd, POLLIN)
let id = 0
process.stdout.write('mirroring\n')
for (;;) {
  poller.wait(Number.POSITIVE_INFINITY)
  ring.receive((bytes, at, length) => {
    const ethernet = Uint8Array.from(bytes.subarray(at, at + length))
    // Without the padding of a short frame.
    const packet = ethernet.subarray(ETHERNET_HEADER, ETHERNET_HEADER + u16(ethernet, ETHERNET_HEADER + 2))
    const [fromPort, toPort] = [u16(packet, 20), u16(packet, 22)]
    const form = FORMS[(toPort === PORT ? fromPort : toPort) % FORMS.length]
    id = (id + 1) & 0xffff
    for (const one of form?.(ethernet, packet, id) ?? []) {
      if (!sender.send(one)) process.stdout.write('a frame was not sent\n')
    }
  }, 1000)
}
