/** One parsed UDP datagram over IPv4 (RFC 768), in an object that is reused for every packet. */
import { u8, u16 } from './bytes.ts'
import { fold, pseudoHeaderSum } from './checksum.ts'
import { Flaw } from './flaw.ts'
import { fillIp, IPV4_HEADER } from './segment.ts'

export const UDP = 17
export const UDP_HEADER = 8

export class Datagram {
  /** The packet; valid only as long as its capture says. */
  bytes: Uint8Array = new Uint8Array(0)
  fromAddress = 0
  toAddress = 0
  fromPort = 0
  toPort = 0
  ttl = 0
  /** The DSCP and ECN octet. */
  trafficClass = 0
  ipId = 0
  dontFragment = false
  /** As on the wire; 0: the sender made none. */
  checksum = 0
  payloadAt = 0
  payloadLength = 0
}

/**
 * Reads an IPv4 packet that carries a whole datagram. Octets behind the datagram's own length are none of it.
 * @param capturedLength octets present
 * @returns what is wrong; on None the datagram is filled, its checksum not verified
 */
export function parseDatagram(bytes: Uint8Array, at: number, capturedLength: number, datagram: Datagram): Flaw {
  if (capturedLength < IPV4_HEADER) return Flaw.Truncated
  const version = u8(bytes, at)
  if (version >>> 4 !== 4) return Flaw.NotIpv4
  const ipHeader = (version & 0x0f) * 4
  const ipPayload = u16(bytes, at + 2) - ipHeader
  if (ipHeader < IPV4_HEADER || ipPayload < 0) return Flaw.BadHeader
  if (u8(bytes, at + 9) !== UDP) return Flaw.NotUdp
  const fragment = u16(bytes, at + 6)
  if (fragment & 0x3fff) return Flaw.Fragment
  if (ipPayload < UDP_HEADER) return Flaw.BadHeader
  if (capturedLength < ipHeader + UDP_HEADER) return Flaw.Truncated
  const udpAt = at + ipHeader
  const udpLength = u16(bytes, udpAt + 4)
  if (udpLength < UDP_HEADER || udpLength > ipPayload) return Flaw.BadHeader
  fillIp(bytes, at, datagram)
  datagram.dontFragment = (fragment & 0x4000) !== 0
  datagram.fromPort = u16(bytes, udpAt)
  datagram.toPort = u16(bytes, udpAt + 2)
  datagram.checksum = u16(bytes, udpAt + 6)
  datagram.payloadAt = udpAt + UDP_HEADER
  datagram.payloadLength = udpLength - UDP_HEADER
  return capturedLength < ipHeader + udpLength ? Flaw.Truncated : Flaw.None
}

/** Whether a checksum is only begun: who captured on the host that sent it saw the sum of the pseudo-header. */
export function isDatagramPartial({ fromAddress, toAddress, payloadLength, checksum }: Datagram): boolean {
  return checksum === fold(pseudoHeaderSum(fromAddress, toAddress, UDP, UDP_HEADER + payloadLength))
}
