/**
 * Version 1 of the channel's protocol, byte for byte that of tcpcopy 1.x. All integers are big-endian.
 *
 * A message to intercept has 14 bytes: client address and port, a 16-bit type, target address and port. A record from
 * intercept has 64 bytes: the first 20 of the IP header, 20 of the TCP header and the first 24 of the TCP options,
 * zero-padded, without payload. The `Framing` that both programs are built for says how records are grouped.
 */
import { copyBytes, i32, put16, put32, u8, u16 } from '../bytes.ts'
import { Flaw } from '../flaw.ts'
import { fillIp, fillTcp, IPV4_HEADER, readOptions, type Segment, TCP, TCP_HEADER } from '../segment.ts'

/** Bytes of a message to intercept. */
export const MESSAGE_LENGTH = 14
/** Bytes of a record from intercept. */
export const RECORD_LENGTH = 64
/** Bytes of TCP options in a record. */
const RECORD_OPTIONS = 24
/** Bytes of a record with payload. */
const LONG_RECORD_LENGTH = 192
/** A longer answer is left out of its record. */
export const RECORD_PAYLOAD_MAX = 128

/**
 * How records are grouped in the stream from intercept. The stream does not say, so both ends must be configured alike.
 */
export interface Framing {
  /** Bytes of the record count that precedes each message; 0: each record is a message of its own. */
  readonly countLength: number
  /** Most records in a message. */
  readonly recordsMax: number
  readonly recordLength: number
}

/** The framings that tcpcopy 1.x and its intercept can be built for. */
export const Framings = {
  Combined: { countLength: 2, recordsMax: 16, recordLength: RECORD_LENGTH },
  /** `--disable-combined` */
  Bare: { countLength: 0, recordsMax: 1, recordLength: RECORD_LENGTH },
  /** `--with-resp-payload` */
  WithPayload: { countLength: 2, recordsMax: 6, recordLength: LONG_RECORD_LENGTH }
} as const satisfies Record<string, Framing>

/** Bytes of the longest record. */
export const RECORD_LENGTH_MAX = LONG_RECORD_LENGTH
/** Bytes of a captured header with all TCP options; a record has fewer of them. */
export const HEADER_LENGTH = IPV4_HEADER + TCP_HEADER + 40

/** After `Switch` the connection speaks version 2 (docs/channel.md). */
export const MessageType = { AddRoute: 1, RemoveRoute: 2, Version: 6, Switch: 7 } as const

/** Writes the first message of a connection: zero except for the type. `putOffer` may add an offer of version 2. */
export function putHello(bytes: Uint8Array, at: number): void {
  putMessage(bytes, at, 0, 0, MessageType.Version, 0, 0)
}

export function putMessage(
  bytes: Uint8Array,
  at: number,
  clientAddress: number,
  clientPort: number,
  type: number,
  targetAddress: number,
  targetPort: number
): void {
  put32(bytes, at, clientAddress)
  put16(bytes, at + 4, clientPort)
  put16(bytes, at + 6, type)
  put32(bytes, at + 8, targetAddress)
  put16(bytes, at + 12, targetPort)
}

export function messageClientAddress(bytes: Uint8Array, at: number): number {
  return i32(bytes, at)
}
export function messageClientPort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 4)
}
export function messageType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6)
}
export function messageTargetAddress(bytes: Uint8Array, at: number): number {
  return i32(bytes, at + 8)
}
export function messageTargetPort(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 12)
}

/**
 * Writes the headers of a captured packet as in a record, but with all TCP options. The first `RECORD_LENGTH` bytes are
 * the record.
 * @param at where the packet's IPv4 header begins; its IP and TCP headers must be complete
 */
export function putHeader(bytes: Uint8Array, at: number, header: Uint8Array, headerAt: number): void {
  const tcpAt = at + (u8(bytes, at) & 0x0f) * 4
  const tcpLength = (u8(bytes, tcpAt + 12) >>> 4) * 4
  copyBytes(bytes, at, header, headerAt, IPV4_HEADER)
  copyBytes(bytes, tcpAt, header, headerAt + IPV4_HEADER, tcpLength)
  header.fill(0, headerAt + IPV4_HEADER + tcpLength, headerAt + HEADER_LENGTH)
}

/**
 * Does the same for an IPv6 packet, with a made-up IPv4 header that holds the addresses' numbers in the book. The
 * result is valid only within this thread; version 1 has no record for IPv6.
 * @param segment the packet, parsed
 */
export function putHeader6(segment: Segment, header: Uint8Array, at: number): void {
  header.fill(0, at, at + HEADER_LENGTH)
  header[at] = 0x45
  header[at + 1] = segment.trafficClass
  put16(header, at + 2, Math.min(IPV4_HEADER + segment.tcpLength, 0xffff))
  header[at + 8] = segment.ttl
  header[at + 9] = TCP
  put32(header, at + 12, segment.fromAddress)
  put32(header, at + 16, segment.toAddress)
  copyBytes(segment.bytes, segment.tcpAt, header, at + IPV4_HEADER, segment.payloadAt - segment.tcpAt)
}

/**
 * Reads a record into a segment without payload bytes; `payloadLength` is that of the captured packet. The record lacks
 * IP options and TCP options beyond 24 bytes, although its length fields include them.
 */
export function parseRecord(bytes: Uint8Array, at: number, segment: Segment): Flaw {
  const version = u8(bytes, at)
  if (version >>> 4 !== 4) return Flaw.NotIpv4
  const tcpAt = at + IPV4_HEADER
  const ipHeader = (version & 0x0f) * 4
  const tcpHeader = (u8(bytes, tcpAt + 12) >>> 4) * 4
  const totalLength = u16(bytes, at + 2)
  if (ipHeader < IPV4_HEADER || tcpHeader < TCP_HEADER || totalLength < ipHeader + tcpHeader) return Flaw.BadHeader
  fillIp(bytes, at, segment)
  fillTcp(bytes, tcpAt, segment)
  const optionsAt = tcpAt + TCP_HEADER
  readOptions(bytes, optionsAt, optionsAt + Math.min(tcpHeader - TCP_HEADER, RECORD_OPTIONS), segment)
  segment.dontFragment = (u8(bytes, at + 6) & 0x40) !== 0
  segment.tcpAt = tcpAt
  segment.tcpLength = totalLength - ipHeader
  segment.payloadAt = at + RECORD_LENGTH
  segment.payloadLength = totalLength - ipHeader - tcpHeader
  return Flaw.None
}

/**
 * Writes an answer's payload after the TCP header of its record, for framings with payload; none if it is longer than
 * 128 bytes or not captured whole.
 * @param end where the captured bytes of the packet end
 * @param record written by `putHeader`, `RECORD_LENGTH_MAX` long; everything after the headers is overwritten
 */
export function putPayload(segment: Segment, end: number, record: Uint8Array): void {
  const { bytes, payloadAt, payloadLength, tcpAt } = segment
  record.fill(0, HEADER_LENGTH)
  if (payloadLength > RECORD_PAYLOAD_MAX || payloadAt + payloadLength > end) return
  const at = IPV4_HEADER + (payloadAt - tcpAt)
  copyBytes(bytes, payloadAt, record, at, Math.min(payloadLength, RECORD_LENGTH_MAX - at))
}

/**
 * The length of the message from intercept that begins at `at`.
 * @param present bytes present from `at`
 * @returns bytes; 0: too few bytes are present; −1: invalid in this framing
 */
export function messageLength(framing: Framing, bytes: Uint8Array, at: number, present: number): number {
  const { countLength, recordsMax, recordLength } = framing
  if (present < 2) return 0
  if (countLength === 0) return u8(bytes, at) >>> 4 === 4 ? recordLength : -1
  const count = u16(bytes, at)
  return count > 0 && count <= recordsMax ? countLength + count * recordLength : -1
}
