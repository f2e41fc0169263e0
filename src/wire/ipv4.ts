/** Writes IPv4 headers (RFC 791 §3.1) without options. */
import { put16, put32 } from './bytes.ts'
import { fold, sum } from './checksum.ts'
import { IPV4_HEADER } from './segment.ts'

/** The fields of a header except length and checksum. Callers reuse one object. */
export class Ipv4Header {
  protocol = 0
  fromAddress = 0
  toAddress = 0
  ttl = 0
  /** DSCP and ECN. */
  trafficClass = 0
  id = 0
  /** Flags and fragment offset, as on the wire. */
  fragment = 0
}

/** @param totalLength bytes of the packet, including this header */
export function putIpv4(memory: Uint8Array, at: number, header: Ipv4Header, totalLength: number): void {
  memory[at] = 0x45
  memory[at + 1] = header.trafficClass
  put16(memory, at + 2, totalLength)
  put16(memory, at + 4, header.id)
  put16(memory, at + 6, header.fragment)
  memory[at + 8] = header.ttl
  memory[at + 9] = header.protocol
  put16(memory, at + 10, 0)
  put32(memory, at + 12, header.fromAddress)
  put32(memory, at + 16, header.toAddress)
  put16(memory, at + 10, ~fold(sum(memory, at, IPV4_HEADER)))
}
