/** Parses TCP segments into one object that is reused for every packet. */
import { i32, u8, u16 } from './bytes.ts'
import { fold, pseudoHeaderSum, sum } from './checksum.ts'
import { Flaw } from './flaw.ts'
import { add, type Seq, seq } from './seq.ts'

/** TCP control bits (RFC 9293 §3.1). */
export const FIN = 0x01
export const SYN = 0x02
export const RST = 0x04
export const PSH = 0x08
export const ACK = 0x10
export const URG = 0x20

export const TCP = 6
/** Bytes of an IPv4 header without options. */
export const IPV4_HEADER = 20
/** Bytes of a TCP header without options. */
export const TCP_HEADER = 20

/** Option kinds (IANA TCP parameters). */
export const OptionKind = { End: 0, Nop: 1, Mss: 2, WindowScale: 3, SackPermitted: 4, Sack: 5, Timestamps: 8 } as const

export class Segment {
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
  seq: Seq = seq(0)
  ack: Seq = seq(0)
  flags = 0
  /** As on the wire, not scaled. */
  window = 0
  tcpAt = 0
  /** Bytes of TCP header and payload. */
  tcpLength = 0
  payloadAt = 0
  payloadLength = 0
  /** 0: the option is absent. */
  mss = 0
  /** −1: the option is absent. */
  windowScale = -1
  sackPermitted = false
  hasTimestamps = false
  tsVal: Seq = seq(0)
  tsEcr: Seq = seq(0)
  /** Up to four pairs of left and right edges (RFC 2018 §3). */
  readonly sackEdges = new Int32Array(8)
  sackCount = 0
  /** For an answer: when it arrived at the assistant, in milliseconds on the reader's clock. NaN: unknown. */
  arrivedAt = Number.NaN
}

/**
 * Reads an IPv4 packet that carries a TCP segment.
 * @param capturedLength bytes present; @param wireLength bytes of the packet on the wire, used if the packet's own
 *   length field is 0 (BIG TCP)
 * @param headersOnly accepts a packet without its payload
 * @returns the flaw; with None the segment is filled, but its checksum is not verified
 */
export function parseIpv4(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  headersOnly: boolean,
  segment: Segment
): Flaw {
  if (capturedLength < IPV4_HEADER) return Flaw.Truncated
  const version = u8(bytes, at)
  if (version >>> 4 !== 4) return Flaw.NotIpv4
  const ipHeader = (version & 0x0f) * 4
  const totalLength = u16(bytes, at + 2) || wireLength
  if (ipHeader < IPV4_HEADER || totalLength < ipHeader) return Flaw.BadHeader
  if (u8(bytes, at + 9) !== TCP) return Flaw.NotTcp
  // The address book uses the numbers of 0.0.0.0/8 for IPv6. No host has such an address (RFC 1122 §3.2.1.3).
  if (u8(bytes, at + 12) === 0 || u8(bytes, at + 16) === 0) return Flaw.BadHeader
  const fragment = u16(bytes, at + 6)
  if (fragment & 0x3fff) return Flaw.Fragment
  fillIp(bytes, at, segment)
  segment.dontFragment = (fragment & 0x4000) !== 0
  if (totalLength - ipHeader < TCP_HEADER) return Flaw.BadHeader
  if (capturedLength < ipHeader + TCP_HEADER) return Flaw.Truncated
  const tcpAt = at + ipHeader
  const tcpHeader = (u8(bytes, tcpAt + 12) >>> 4) * 4
  if (tcpHeader < TCP_HEADER || ipHeader + tcpHeader > totalLength) return Flaw.BadHeader
  if (capturedLength < ipHeader + tcpHeader) return Flaw.Truncated
  fillSegment(bytes, tcpAt, tcpHeader, totalLength - ipHeader, segment)
  return !headersOnly && capturedLength < totalLength ? Flaw.Truncated : Flaw.None
}

/**
 * Reads the TCP header of a packet of either IP version.
 * @param tcpHeader bytes of the TCP header with options; @param tcpLength bytes of TCP header and payload
 */
export function fillSegment(
  bytes: Uint8Array,
  tcpAt: number,
  tcpHeader: number,
  tcpLength: number,
  segment: Segment
): void {
  fillTcp(bytes, tcpAt, segment)
  readOptions(bytes, tcpAt + TCP_HEADER, tcpAt + tcpHeader, segment)
  segment.tcpAt = tcpAt
  segment.tcpLength = tcpLength
  segment.payloadAt = tcpAt + tcpHeader
  segment.payloadLength = tcpLength - tcpHeader
}

/** RFC 9293 §3.1. The payload must be present. */
export function verifyChecksum(segment: Segment): Flaw {
  const total =
    pseudoHeaderSum(segment.fromAddress, segment.toAddress, TCP, segment.tcpLength) +
    sum(segment.bytes, segment.tcpAt, segment.tcpLength)
  return fold(total) === 0xffff ? Flaw.None : Flaw.BadChecksum
}

/**
 * Whether a wrong checksum is only incomplete. A capture on the sending host sees the packet before the network card
 * completes the checksum: the field is 0, or the sum of the pseudo-header, with the segment's length or with length 0
 * for cards that do segmentation.
 */
export function isChecksumPartial({ bytes, fromAddress, toAddress, tcpAt, tcpLength }: Segment): boolean {
  const field = u16(bytes, tcpAt + 16)
  const isOf = (length: number): boolean => field === fold(pseudoHeaderSum(fromAddress, toAddress, TCP, length))
  return field === 0 || isOf(tcpLength) || isOf(0)
}

/** How far after the segment's sequence number its urgent data ends, in bytes (RFC 9293 §3.8.5); 0 without URG. */
export function urgentPointer(segment: Segment): number {
  return segment.flags & URG ? u16(segment.bytes, segment.tcpAt + 18) : 0
}

/** The sequence number of the first byte of payload. A SYN takes the number before it (RFC 9293 §3.4). */
export function payloadSeq(segment: Segment): Seq {
  return segment.flags & SYN ? add(segment.seq, 1) : segment.seq
}

/** The fields of an IPv4 header that `Segment` and `Datagram` share. */
export type IpFields = Pick<Segment, 'bytes' | 'trafficClass' | 'ipId' | 'ttl' | 'fromAddress' | 'toAddress'>

export function fillIp(bytes: Uint8Array, at: number, segment: IpFields): void {
  segment.bytes = bytes
  segment.trafficClass = u8(bytes, at + 1)
  segment.ipId = u16(bytes, at + 4)
  segment.ttl = u8(bytes, at + 8)
  segment.fromAddress = i32(bytes, at + 12)
  segment.toAddress = i32(bytes, at + 16)
}

export function fillTcp(bytes: Uint8Array, at: number, segment: Segment): void {
  segment.fromPort = u16(bytes, at)
  segment.toPort = u16(bytes, at + 2)
  segment.seq = seq(i32(bytes, at + 4))
  segment.ack = seq(i32(bytes, at + 8))
  segment.flags = u8(bytes, at + 13)
  segment.window = u16(bytes, at + 14)
}

/** Reads options up to the first malformed one. The options before it stay valid. */
export function readOptions(bytes: Uint8Array, from: number, end: number, segment: Segment): void {
  segment.mss = 0
  segment.windowScale = -1
  segment.sackPermitted = false
  segment.hasTimestamps = false
  segment.sackCount = 0
  let at = from
  while (at < end) {
    const kind = u8(bytes, at)
    if (kind === OptionKind.End) return
    if (kind === OptionKind.Nop) {
      at += 1
      continue
    }
    if (at + 1 >= end) return
    const length = u8(bytes, at + 1)
    if (length < 2 || at + length > end) return
    readOption(bytes, at, kind, length, segment)
    at += length
  }
}

function readOption(bytes: Uint8Array, at: number, kind: number, length: number, segment: Segment): void {
  if (kind === OptionKind.Timestamps && length === 10) {
    segment.hasTimestamps = true
    segment.tsVal = seq(i32(bytes, at + 2))
    segment.tsEcr = seq(i32(bytes, at + 6))
  } else if (kind === OptionKind.Mss && length === 4) {
    segment.mss = u16(bytes, at + 2)
  } else if (kind === OptionKind.WindowScale && length === 3) {
    segment.windowScale = Math.min(u8(bytes, at + 2), 14) // RFC 7323 §2.3
  } else if (kind === OptionKind.SackPermitted && length === 2) {
    segment.sackPermitted = true
  } else if (kind === OptionKind.Sack && length >= 10 && (length - 2) % 8 === 0) {
    segment.sackCount = Math.min((length - 2) / 8, 4)
    for (let edge = 0; edge < segment.sackCount * 2; edge++) {
      segment.sackEdges[edge] = i32(bytes, at + 2 + edge * 4)
    }
  }
}
