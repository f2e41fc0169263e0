/**
 * A program for a host of the lab, in place of a switch that mirrors: takes the packets to and from port 6379 that one
 * device sees, and writes each to another device below the layers of FORMS that the client's port chooses.
 * encapsulator.js FROM-DEVICE TO-DEVICE
 */

import { compileFilter } from '../../../src/io/linux/capture/libpcap.ts'
import { PacketRing } from '../../../src/io/linux/capture/ring.ts'
import { deviceIndex } from '../../../src/io/linux/netlink/devices.ts'
import { AF_PACKET, bind, SOCK_RAW, send, socket } from '../../../src/io/linux/system/libc.ts'
import { allocate } from '../../../src/io/linux/system/memory.ts'
import { POLLIN, Poller } from '../../../src/io/linux/system/poller.ts'
import { put16, u16 } from '../../../src/wire/bytes.ts'

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

/** In an IPv4 packet between hosts of the mirror; its checksum nobody looks at. */
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

/** The packet as two fragments of it, the second first. */
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

/** From a frame without tags to what is mirrored of it. */
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
const target = allocate(20)
target.words[0] = AF_PACKET
target.words[1] = deviceIndex(to)
const fd = socket(AF_PACKET, SOCK_RAW, 0)
if (bind(fd, target.address, 20) !== 0) throw new Error(`cannot send to ${to}`)
const filter = compileFilter(`tcp port ${PORT}`, { link: 'ethernet', snapLength: 0x40000 })
const ring = new PacketRing({ device: from, link: 'ethernet', filter, isPromiscuous: true, ringMegabytes: 64 })
const poller = new Poller()
poller.add(ring.fd, POLLIN)
const output = allocate(1 << 16)
let id = 0
process.stdout.write('mirroring\n')
for (;;) {
  poller.wait(Number.POSITIVE_INFINITY)
  ring.receive((bytes, at, length) => {
    const ethernet = Uint8Array.from(bytes.subarray(at, at + length))
    // Without what a short frame is filled up with.
    const packet = ethernet.subarray(ETHERNET_HEADER, ETHERNET_HEADER + u16(ethernet, ETHERNET_HEADER + 2))
    const [fromPort, toPort] = [u16(packet, 20), u16(packet, 22)]
    const form = FORMS[(toPort === PORT ? fromPort : toPort) % FORMS.length]
    id = (id + 1) & 0xffff
    for (const one of form?.(ethernet, packet, id) ?? []) {
      output.bytes.set(one)
      if (send(fd, output.address, one.length, 0) !== one.length) process.stdout.write('a frame is not sent\n')
    }
  }, 1000)
}
