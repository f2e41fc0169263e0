/** Parses UDP datagrams (RFC 768) into one object that is reused for every packet. */
import { u8, u16 } from './bytes.ts'
import { fold, pseudoHeaderSum } from './checksum.ts'
import { Flaw } from './flaw.ts'
import { chain, FRAGMENT, fillIpv6, followHeaders, IPV6_HEADER, lengthOfIpv6 } from './ipv6.ts'
import { fillIp, IPV4_HEADER } from './segment.ts'

export const UDP = 17
export const UDP_HEADER = 8

export class Datagram {
  /** The memory that holds the packet, valid as long as the capture guarantees. */
  bytes: Uint8Array = new Uint8Array(0)
  fromAddress = 0
  toAddress = 0
  fromPort = 0
  toPort = 0
  ttl = 0
  /** DSCP and ECN. */
  trafficClass = 0
  /** IPv6 flow label; IPv4 leaves it unchanged. */
  flowLabel = 0
  ipId = 0
  dontFragment = false
  /** As on the wire; 0: the sender did not compute one. */
  checksum = 0
  payloadAt = 0
  payloadLength = 0
}

/**
 * Reads an IP packet that carries a whole datagram. Bytes beyond the length in the UDP header are not part of it.
 * @param capturedLength bytes present; @param wireLength bytes of the packet on the wire
 * @returns the flaw; with None the datagram is filled, but its checksum is not verified
 */
export function parseDatagram(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  datagram: Datagram
): Flaw {
  if (capturedLength < IPV4_HEADER) return Flaw.Truncated
  const version = u8(bytes, at) >>> 4
  if (version === 6) return parseOverIpv6(bytes, at, capturedLength, wireLength, datagram)
  return version === 4 ? parseOverIpv4(bytes, at, capturedLength, datagram) : Flaw.NotIpv4
}

function parseOverIpv4(bytes: Uint8Array, at: number, capturedLength: number, datagram: Datagram): Flaw {
  const ipHeader = (u8(bytes, at) & 0x0f) * 4
  const ipPayload = u16(bytes, at + 2) - ipHeader
  if (ipHeader < IPV4_HEADER || ipPayload < 0) return Flaw.BadHeader
  if (u8(bytes, at + 9) !== UDP) return Flaw.NotUdp
  // The address book uses the numbers of 0.0.0.0/8 for IPv6. No host can be answered at such an address.
  if (u8(bytes, at + 12) === 0 || u8(bytes, at + 16) === 0) return Flaw.BadHeader
  const fragment = u16(bytes, at + 6)
  if (fragment & 0x3fff) return Flaw.Fragment
  const flaw = fillUdp(bytes, at + ipHeader, capturedLength - ipHeader, ipPayload, datagram)
  if (flaw !== Flaw.None) return flaw
  fillIp(bytes, at, datagram)
  datagram.dontFragment = (fragment & 0x4000) !== 0
  return flaw
}

function parseOverIpv6(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  datagram: Datagram
): Flaw {
  if (capturedLength < IPV6_HEADER) return Flaw.Truncated
  const totalLength = lengthOfIpv6(bytes, at, wireLength)
  const chainFlaw = followHeaders(bytes, at, Math.min(capturedLength, totalLength), totalLength)
  if (chainFlaw !== Flaw.None) return chainFlaw
  if (chain.protocol !== UDP) return chain.protocol === FRAGMENT ? Flaw.Fragment : Flaw.NotUdp
  const header = chain.length
  const flaw = fillUdp(bytes, at + header, capturedLength - header, totalLength - header, datagram)
  if (flaw !== Flaw.None) return flaw
  return fillIpv6(bytes, at, datagram) ? Flaw.None : Flaw.AddressesFull
}

/** @param captured bytes present from `udpAt`; @param length bytes of the IP payload on the wire */
function fillUdp(bytes: Uint8Array, udpAt: number, captured: number, length: number, datagram: Datagram): Flaw {
  if (length < UDP_HEADER) return Flaw.BadHeader
  if (captured < UDP_HEADER) return Flaw.Truncated
  const udpLength = u16(bytes, udpAt + 4)
  if (udpLength < UDP_HEADER || udpLength > length) return Flaw.BadHeader
  datagram.fromPort = u16(bytes, udpAt)
  datagram.toPort = u16(bytes, udpAt + 2)
  datagram.checksum = u16(bytes, udpAt + 6)
  datagram.payloadAt = udpAt + UDP_HEADER
  datagram.payloadLength = udpLength - UDP_HEADER
  return captured < udpLength ? Flaw.Truncated : Flaw.None
}

/**
 * Whether the checksum holds only the sum of the pseudo-header. A capture on the sending host sees this if the network
 * card completes checksums.
 */
export function isDatagramPartial({ fromAddress, toAddress, payloadLength, checksum }: Datagram): boolean {
  return checksum === fold(pseudoHeaderSum(fromAddress, toAddress, UDP, UDP_HEADER + payloadLength))
}
