/** Reads and writes IPv6 headers (RFC 8200), and parses TCP segments in packets of either IP version. */
import { addressBook } from './address-book.ts'
import { put16, put32, u8, u16 } from './bytes.ts'
import { Flaw } from './flaw.ts'
import { fillSegment, type IpFields, parseIpv4, type Segment, TCP, TCP_HEADER } from './segment.ts'

/** Bytes of an IPv6 header without extension headers. */
export const IPV6_HEADER = 40
const HOP_BY_HOP = 0
const ROUTING = 43
/** The next-header number of a fragment header. `HeaderChain.protocol` has this value for a fragment. */
export const FRAGMENT = 44
export const FRAGMENT_HEADER = 8
const DESTINATION_OPTIONS = 60
const NEXT_HEADER_AT = 6
/** Mask of the fragment offset and the M flag (RFC 8200 §4.5). */
const IS_FRAGMENT = 0xfff9

/** The result of `followHeaders`, in one reused object. */
class HeaderChain {
  /** Protocol of the payload: TCP, UDP, IPv6 and so on; FRAGMENT if the packet is a fragment. */
  protocol = 0
  /** Bytes before the payload; for a fragment, before its fragment header. */
  length = 0
  /** Offset in the packet of the next-header field that names `protocol`, in bytes. */
  namedAt = 0
}
export const chain = new HeaderChain()

/**
 * Follows the extension headers and fills `chain`. Skips the fragment header of an unfragmented packet (RFC 6946).
 * @param present bytes present from `at`, at least 40; @param totalLength bytes of the packet
 * @returns BadHeader, Truncated or None
 */
export function followHeaders(bytes: Uint8Array, at: number, present: number, totalLength: number): Flaw {
  let length = IPV6_HEADER
  let namedAt = NEXT_HEADER_AT
  let next = u8(bytes, at + NEXT_HEADER_AT)
  while (next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS || next === FRAGMENT) {
    if (length + 8 > present) return length + 8 > totalLength ? Flaw.BadHeader : Flaw.Truncated
    if (next === FRAGMENT && u16(bytes, at + length + 2) & IS_FRAGMENT) break
    const headerLength = next === FRAGMENT ? FRAGMENT_HEADER : (u8(bytes, at + length + 1) + 1) * 8
    next = u8(bytes, at + length)
    namedAt = length
    length += headerLength
  }
  chain.protocol = next
  chain.length = length
  chain.namedAt = namedAt
  return Flaw.None
}

/** Bytes of the packet at `at`. Its length field is 0 above 64 KB (RFC 2675, BIG TCP); then it is `wireLength`. */
export function lengthOfIpv6(bytes: Uint8Array, at: number, wireLength: number): number {
  const payloadLength = u16(bytes, at + 4)
  return payloadLength === 0 ? wireLength : IPV6_HEADER + payloadLength
}

/** Whether an IP packet of either version is a fragment. @param length bytes present */
export function isFragment(bytes: Uint8Array, at: number, length: number): boolean {
  if (u8(bytes, at) >>> 4 === 4) return (u16(bytes, at + 6) & 0x3fff) !== 0
  return followHeaders(bytes, at, length, length) === Flaw.None && chain.protocol === FRAGMENT
}

/** Reads an IP packet of either version that carries a TCP segment. Parameters and result are those of `parseIpv4`. */
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
 * Reads an IPv6 packet that carries a TCP segment, with or without extension headers. Addresses are added to the book
 * last, so that a flawed packet adds none.
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
  const totalLength = lengthOfIpv6(bytes, at, wireLength)
  const present = Math.min(capturedLength, totalLength)
  const flaw = followHeaders(bytes, at, present, totalLength)
  if (flaw !== Flaw.None) return flaw
  if (chain.protocol !== TCP) return chain.protocol === FRAGMENT ? Flaw.Fragment : Flaw.NotTcp
  const header = chain.length
  if (header + TCP_HEADER > present) return header + TCP_HEADER > totalLength ? Flaw.BadHeader : Flaw.Truncated
  const tcpAt = at + header
  const tcpHeader = (u8(bytes, tcpAt + 12) >>> 4) * 4
  if (tcpHeader < TCP_HEADER || header + tcpHeader > totalLength) return Flaw.BadHeader
  if (capturedLength < header + tcpHeader) return Flaw.Truncated
  if (!headersOnly && capturedLength < totalLength) return Flaw.Truncated
  if (!fillIpv6(bytes, at, segment)) return Flaw.AddressesFull
  fillSegment(bytes, tcpAt, tcpHeader, totalLength - header, segment)
  return Flaw.None
}

/** @returns false if the address book is full */
export function fillIpv6(
  bytes: Uint8Array,
  at: number,
  segment: IpFields & Pick<Segment, 'flowLabel' | 'dontFragment'>
): boolean {
  const fromAddress = addressBook.intern(bytes, at + 8)
  const toAddress = addressBook.intern(bytes, at + 24)
  if (fromAddress === 0 || toAddress === 0) return false
  segment.bytes = bytes
  segment.fromAddress = fromAddress
  segment.toAddress = toAddress
  segment.trafficClass = (u16(bytes, at) >>> 4) & 0xff
  segment.flowLabel = ((u8(bytes, at + 1) & 0x0f) << 16) | u16(bytes, at + 2)
  segment.ttl = u8(bytes, at + 7)
  // IPv6 has no id, and routers do not fragment its packets.
  segment.ipId = 0
  segment.dontFragment = true
  return true
}

/** The fields of a header except the payload length. Callers reuse one object. */
export class Ipv6Header {
  protocol = 0
  fromAddress = 0
  toAddress = 0
  ttl = 0
  trafficClass = 0
  flowLabel = 0
}

/** Writes a header (RFC 8200 §3). @param payloadLength bytes after it, extension headers included */
export function putIpv6(memory: Uint8Array, at: number, header: Ipv6Header, payloadLength: number): void {
  put32(memory, at, 0x60000000 | (header.trafficClass << 20) | header.flowLabel)
  put16(memory, at + 4, payloadLength)
  memory[at + NEXT_HEADER_AT] = header.protocol
  memory[at + 7] = header.ttl
  addressBook.put(header.fromAddress, memory, at + 8)
  addressBook.put(header.toAddress, memory, at + 24)
}

/** Writes a fragment header (RFC 8200 §4.5). @param offset of the fragment in bytes, a multiple of 8 */
export function putFragment(
  memory: Uint8Array,
  at: number,
  protocol: number,
  offset: number,
  isLast: boolean,
  id: number
): void {
  put16(memory, at, protocol << 8)
  put16(memory, at + 2, offset | (isLast ? 0 : 1))
  put32(memory, at + 4, id)
}
