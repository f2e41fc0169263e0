/** Turns a frame of the outbox into packets, as segmentation does with a super-packet. */
import type { Outbox } from '../../core/packets/outbox.ts'
import { addressBook } from '../../wire/address-book.ts'
import { i32, put16, put32, u8, u16 } from '../../wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../wire/checksum.ts'
import { IPV6_HEADER } from '../../wire/ipv6.ts'
import { IPV4_HEADER, PSH, TCP } from '../../wire/segment.ts'

const PARTIAL = 'a super-packet has a wrong partial checksum or length'

/** The packets of a frame as they arrive, each with bytes of its own. */
export function packetsOf(outbox: Outbox, frame: number): Uint8Array[] {
  const { memory } = outbox
  const headerAt = outbox.headerAt[frame] ?? 0
  const header = memory.slice(headerAt, headerAt + (outbox.headerLength[frame] ?? 0))
  const payloads: Uint8Array[] = []
  for (let range = outbox.firstRange[frame] ?? 0; range < (outbox.firstRange[frame + 1] ?? 0); range++) {
    const at = outbox.rangeAt[range] ?? 0
    payloads.push(memory.subarray(at, at + (outbox.rangeLength[range] ?? 0)))
  }
  const payload = joined(payloads)
  const segmentLength = outbox.segmentLength[frame] ?? 0
  return segmentLength === 0 ? [joined([header, payload])] : cut(header, payload, segmentLength)
}

/** Cuts a super-packet as Linux does in software (tcp_gso_segment): IPv4 ids count up, and only the last has PSH. */
function cut(header: Uint8Array, payload: Uint8Array, segmentLength: number): Uint8Array[] {
  const isIpv6 = u8(header, 0) >>> 4 === 6
  const ipHeader = isIpv6 ? IPV6_HEADER : IPV4_HEADER
  const tcpLength = header.length - ipHeader + payload.length
  const isPartial =
    u16(header, ipHeader + 16) === fold(pseudo(header, tcpLength)) &&
    (isIpv6 ? u16(header, 4) === tcpLength : u16(header, 2) === IPV4_HEADER + tcpLength)
  if (!isPartial || (!isIpv6 && fold(sum(header, 0, IPV4_HEADER)) !== 0xffff)) throw new Error(PARTIAL)
  const packets: Uint8Array[] = []
  for (let from = 0; from < payload.length; from += segmentLength) {
    const packet = joined([header, payload.subarray(from, from + segmentLength)])
    const length = packet.length - ipHeader
    if (isIpv6) put16(packet, 4, length)
    else {
      put16(packet, 2, packet.length)
      put16(packet, 4, u16(header, 4) + packets.length)
      put16(packet, 10, 0)
      put16(packet, 10, ~fold(sum(packet, 0, IPV4_HEADER)))
    }
    put32(packet, ipHeader + 4, i32(header, ipHeader + 4) + from)
    if (from + segmentLength < payload.length) packet[ipHeader + 13] = u8(header, ipHeader + 13) & ~PSH
    put16(packet, ipHeader + 16, 0)
    put16(packet, ipHeader + 16, ~fold(pseudo(header, length) + sum(packet, ipHeader, length)))
    packets.push(packet)
  }
  return packets
}

function pseudo(header: Uint8Array, length: number): number {
  const isIpv6 = u8(header, 0) >>> 4 === 6
  const [from, to] = isIpv6
    ? [addressBook.find(header, 8), addressBook.find(header, 24)]
    : [i32(header, 12), i32(header, 16)]
  return pseudoHeaderSum(from, to, TCP, length)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
