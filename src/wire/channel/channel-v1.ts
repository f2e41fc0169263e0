/**
 * Version 1 of the channel's protocol, byte for byte that of tcpcopy 1.x. All integers are big-endian.
 *
 * tcpcopy sends messages of 14 bytes: `u32 clientAddress, u16 clientPort, u16 type, u32 targetAddress, u16 targetPort`.
 * intercept sends records of 64 bytes: the first 20 of the IP header, 20 of the TCP header and the first 24 of the TCP
 * options, zero-padded, without payload. The `Framing` for which both programs are built says how records follow each
 * other.
 */
import { copyBytes, i32, put16, put32, u8, u16 } from '../bytes.ts'
import { Flaw } from '../flaw.ts'
import type { Flow } from '../flow.ts'
import { fillIp, fillTcp, IPV4_HEADER, readOptions, type Segment, TCP, TCP_HEADER } from '../segment.ts'

/** Bytes of a message to intercept. */
export const MESSAGE_LENGTH = 14
/** Bytes of a record from intercept. */
export const RECORD_LENGTH = 64
/** Bytes of TCP options in a record. */
const RECORD_OPTIONS = 24
/** Bytes of a record with payload, and of the longest payload that it holds behind the TCP header. */
const LONG_RECORD_LENGTH = 192
/** A longer answer is left out of its record. */
export const RECORD_PAYLOAD_MAX = 128

/** How records follow each other in the stream from intercept. The stream does not identify its framing. */
export interface Framing {
  /** Bytes of the count before each message; 0: no count, each record is a message. */
  readonly countLength: number
  /** Most records in a message. */
  readonly recordsMax: number
  readonly recordLength: number
}

/** The framings of the builds of tcpcopy 1.x and its intercept. */
export const Framings = {
  Combined: { countLength: 2, recordsMax: 16, recordLength: RECORD_LENGTH },
  /** `--disable-combined` */
  Bare: { countLength: 0, recordsMax: 1, recordLength: RECORD_LENGTH },
  /** `--with-resp-payload` */
  WithPayload: { countLength: 2, recordsMax: 6, recordLength: LONG_RECORD_LENGTH }
} as const satisfies Record<string, Framing>

/** Bytes of the longest record. */
export const RECORD_LENGTH_MAX = LONG_RECORD_LENGTH
/** Bytes of a captured header, with all TCP options. */
export const HEADER_LENGTH = IPV4_HEADER + TCP_HEADER + 40

/** `Switch` is the last message of version 1 on a connection; version 2 follows (docs/channel.md). */
export const MessageType = { AddRoute: 1, RemoveRoute: 2, Version: 6, Switch: 7 } as const

/** Writes the first message of a connection: zero except for the type. `putOffer` may add an offer of version 2. */
export function putHello(bytes: Uint8Array, at: number): void {
  putBareMessage(bytes, at, MessageType.Version)
}

/** Writes a message without a flow: all zero but the type. */
export function putBareMessage(bytes: Uint8Array, at: number, type: number): void {
  bytes.fill(0, at, at + MESSAGE_LENGTH)
  put16(bytes, at + 6, type)
}

/** Writes a message about a flow, which must be IPv4. */
export function putMessage(bytes: Uint8Array, at: number, type: number, flow: Flow): void {
  put32(bytes, at, flow.clientAddress)
  put16(bytes, at + 4, flow.clientPort)
  put16(bytes, at + 6, type)
  put32(bytes, at + 8, flow.serverAddress)
  put16(bytes, at + 12, flow.serverPort)
}

export function messageType(bytes: Uint8Array, at: number): number {
  return u16(bytes, at + 6)
}

/** Fills `flow` with the flow of a message. */
export function readMessageFlow(bytes: Uint8Array, at: number, flow: Flow): void {
  flow.clientAddress = i32(bytes, at)
  flow.clientPort = u16(bytes, at + 4)
  flow.serverAddress = i32(bytes, at + 8)
  flow.serverPort = u16(bytes, at + 12)
}

/**
 * Writes the headers of a captured packet with all TCP options. The first `RECORD_LENGTH` bytes are its record.
 * @param at start of the packet's IPv4 header; IP and TCP headers must be complete
 */
export function putHeader(bytes: Uint8Array, at: number, header: Uint8Array, headerAt: number): void {
  const tcpAt = at + (u8(bytes, at) & 0x0f) * 4
  const tcpLength = (u8(bytes, tcpAt + 12) >>> 4) * 4
  copyBytes(bytes, at, header, headerAt, IPV4_HEADER)
  copyBytes(bytes, tcpAt, header, headerAt + IPV4_HEADER, tcpLength)
  header.fill(0, headerAt + IPV4_HEADER + tcpLength, headerAt + HEADER_LENGTH)
}

/**
 * Does the same for an IPv6 packet, which has no record in version 1: writes an IPv4 header that holds the addresses'
 * numbers in the address book. The result is valid only in this thread.
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
 * Reads a record into a segment without payload bytes; `payloadLength` is the length that the payload had. IP options
 * and TCP options beyond 24 bytes are counted in the lengths but are not in the record.
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
 * Writes an answer's payload behind the TCP header of its record: all of it, or none if it is longer than 128 bytes.
 * @param end end of the captured bytes
 * @param record as `putHeader` wrote it, of `RECORD_LENGTH_MAX`; everything behind the headers is overwritten
 */
export function putPayload(segment: Segment, end: number, record: Uint8Array): void {
  const { bytes, payloadAt, payloadLength, tcpAt } = segment
  record.fill(0, HEADER_LENGTH)
  if (payloadLength > RECORD_PAYLOAD_MAX || payloadAt + payloadLength > end) return
  const at = IPV4_HEADER + (payloadAt - tcpAt)
  copyBytes(bytes, payloadAt, record, at, Math.min(payloadLength, RECORD_LENGTH_MAX - at))
}

/**
 * Length of the message from intercept at `at`.
 * @param present bytes available from `at`
 * @returns 0: not known yet; −1: invalid in this framing
 */
export function messageLength(framing: Framing, bytes: Uint8Array, at: number, present: number): number {
  const { countLength, recordsMax, recordLength } = framing
  if (present < 2) return 0
  if (countLength === 0) return u8(bytes, at) >>> 4 === 4 ? recordLength : -1
  const count = u16(bytes, at)
  return count > 0 && count <= recordsMax ? countLength + count * recordLength : -1
}
