/** TCP segments over IPv6 (RFC 8200), and packets of either version. */
import { addressBook } from './address-book.ts'
import { u8, u16 } from './bytes.ts'
import { Flaw } from './flaw.ts'
import { fillTcp, parseIpv4, readOptions, type Segment, TCP, TCP_HEADER } from './segment.ts'

/** Octets of an IPv6 header without extension headers. */
export const IPV6_HEADER = 40
const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const DESTINATION_OPTIONS = 60
/** Offset and the flag that more follow (RFC 8200 §4.5). */
const IS_FRAGMENT = 0xfff9

/** Reads an IP packet of either version that carries a TCP segment. As `parseIpv4`. */
export function parseIp(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  headersOnly: boolean,
  segment: Segment
): Flaw {
  return capturedLength > 0 && u8(bytes, at) >>> 4 === 6
    ? parseIpv6(bytes, at, capturedLength, wireLength, headersOnly, segment)
    : parseIpv4(bytes, at, capturedLength, wireLength, headersOnly, segment)
}

/**
 * Reads an IPv6 packet that carries a TCP segment, behind extension headers or not. A payload length of 0 is that of a
 * packet of more than 64 KB (RFC 2675, BIG TCP): `wireLength` says how long it is. Addresses are put into the book last,
 * so that only segments bring some.
 */
function parseIpv6(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  headersOnly: boolean,
  segment: Segment
): Flaw {
  if (capturedLength < IPV6_HEADER) return Flaw.Truncated
  const payloadLength = u16(bytes, at + 4)
  const totalLength = payloadLength === 0 ? wireLength : IPV6_HEADER + payloadLength
  const present = Math.min(capturedLength, totalLength)
  let header = IPV6_HEADER
  let next = u8(bytes, at + 6)
  while (next !== TCP) {
    if (next !== HOP_BY_HOP && next !== ROUTING && next !== DESTINATION_OPTIONS && next !== FRAGMENT) return Flaw.NotTcp
    if (header + 8 > present) return header + 8 > totalLength ? Flaw.BadHeader : Flaw.Truncated
    // A fragment that is the whole packet is none (RFC 6946).
    if (next === FRAGMENT && u16(bytes, at + header + 2) & IS_FRAGMENT) return Flaw.Fragment
    const length = next === FRAGMENT ? 8 : (u8(bytes, at + header + 1) + 1) * 8
    next = u8(bytes, at + header)
    header += length
  }
  if (header + TCP_HEADER > present) return header + TCP_HEADER > totalLength ? Flaw.BadHeader : Flaw.Truncated
  const tcpAt = at + header
  const tcpHeader = (u8(bytes, tcpAt + 12) >>> 4) * 4
  if (tcpHeader < TCP_HEADER || header + tcpHeader > totalLength) return Flaw.BadHeader
  if (capturedLength < header + tcpHeader) return Flaw.Truncated
  if (!headersOnly && capturedLength < totalLength) return Flaw.Truncated
  if (!fillIpv6(bytes, at, segment)) return Flaw.AddressesFull
  fillTcp(bytes, tcpAt, segment)
  readOptions(bytes, tcpAt + TCP_HEADER, tcpAt + tcpHeader, segment)
  segment.tcpAt = tcpAt
  segment.tcpLength = totalLength - header
  segment.payloadAt = tcpAt + tcpHeader
  segment.payloadLength = totalLength - header - tcpHeader
  return Flaw.None
}

/** @returns false if the book has no room for an address */
function fillIpv6(bytes: Uint8Array, at: number, segment: Segment): boolean {
  const fromAddress = addressBook.intern(bytes, at + 8)
  const toAddress = addressBook.intern(bytes, at + 24)
  if (fromAddress === 0 || toAddress === 0) return false
  segment.bytes = bytes
  segment.fromAddress = fromAddress
  segment.toAddress = toAddress
  segment.trafficClass = (u16(bytes, at) >>> 4) & 0xff
  segment.flowLabel = ((u8(bytes, at + 1) & 0x0f) << 16) | u16(bytes, at + 2)
  segment.ttl = u8(bytes, at + 7)
  // IPv6 has none, and no router cuts its packets.
  segment.ipId = 0
  segment.dontFragment = true
  return true
}
