/** Writes real IP packets with TCP segments and checksums, for tests. It may allocate. */
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { put16, put32 } from '../../wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../wire/checksum.ts'
import { IPV6_HEADER } from '../../wire/ipv6.ts'
import { ACK, IPV4_HEADER, OptionKind, TCP, TCP_HEADER } from '../../wire/segment.ts'

export interface PacketFields {
  readonly fromAddress: number
  readonly fromPort: number
  readonly toAddress: number
  readonly toPort: number
  readonly flags: number
  readonly seq: number
  readonly ack?: number | undefined
  readonly window?: number | undefined
  readonly urgentPointer?: number | undefined
  readonly payload?: Uint8Array | undefined
  /** Encoded TCP options, see `encodeOptions`. */
  readonly options?: Uint8Array | undefined
  readonly ipId?: number | undefined
  readonly ttl?: number | undefined
  readonly trafficClass?: number | undefined
  /** IPv6 only. */
  readonly flowLabel?: number | undefined
  /** IPv6 only: extension headers, each a type and its 6 + 8n bytes after the first two. */
  readonly extensions?: readonly (readonly [number, Uint8Array])[] | undefined
}

const NO_BYTES = new Uint8Array(0)

export function writePacket(fields: PacketFields): Uint8Array {
  const payload = fields.payload ?? NO_BYTES
  const options = fields.options ?? NO_BYTES
  const tcpHeader = TCP_HEADER + Math.ceil(options.length / 4) * 4
  const tcpLength = tcpHeader + payload.length
  const header = isIpv6(fields.toAddress) ? ipv6Header(fields, tcpLength) : ipv4Header(fields, tcpLength)
  const bytes = new Uint8Array(header.length + tcpLength)
  bytes.set(header)
  const at = header.length
  put16(bytes, at, fields.fromPort)
  put16(bytes, at + 2, fields.toPort)
  put32(bytes, at + 4, fields.seq)
  put32(bytes, at + 8, fields.flags & ACK ? (fields.ack ?? 0) : 0)
  bytes[at + 12] = (tcpHeader / 4) << 4
  bytes[at + 13] = fields.flags
  put16(bytes, at + 14, fields.window ?? 65535)
  put16(bytes, at + 18, fields.urgentPointer ?? 0)
  bytes.set(options, at + TCP_HEADER)
  bytes.set(payload, at + tcpHeader)
  const total = pseudoHeaderSum(fields.fromAddress, fields.toAddress, TCP, tcpLength) + sum(bytes, at, tcpLength)
  put16(bytes, at + 16, ~fold(total))
  return bytes
}

function ipv4Header(fields: PacketFields, tcpLength: number): Uint8Array {
  const bytes = new Uint8Array(IPV4_HEADER)
  bytes[0] = 0x45
  bytes[1] = fields.trafficClass ?? 0
  put16(bytes, 2, IPV4_HEADER + tcpLength)
  put16(bytes, 4, fields.ipId ?? 0)
  put16(bytes, 6, 0x4000)
  bytes[8] = fields.ttl ?? 64
  bytes[9] = TCP
  put32(bytes, 12, fields.fromAddress)
  put32(bytes, 16, fields.toAddress)
  put16(bytes, 10, ~fold(sum(bytes, 0, IPV4_HEADER)))
  return bytes
}

function ipv6Header(fields: PacketFields, tcpLength: number): Uint8Array {
  const extensions = fields.extensions ?? []
  const behind = extensions.flatMap(([, content], index) => {
    const next = extensions[index + 1]?.[0] ?? TCP
    return [next, (content.length + 2) / 8 - 1, ...content]
  })
  const bytes = new Uint8Array(IPV6_HEADER + behind.length)
  put32(bytes, 0, 0x60000000 | ((fields.trafficClass ?? 0) << 20) | (fields.flowLabel ?? 0))
  put16(bytes, 4, behind.length + tcpLength)
  bytes[6] = extensions[0]?.[0] ?? TCP
  bytes[7] = fields.ttl ?? 64
  addressBook.put(fields.fromAddress, bytes, 8)
  addressBook.put(fields.toAddress, bytes, 24)
  bytes.set(behind, IPV6_HEADER)
  return bytes
}

/**
 * Encodes TCP options from text in packetdrill's notation: `mss 1460`, `sackOK`, `wscale 7`, `nop`, `sack 1:5 9:12`,
 * `TS val 1 ecr 2` or, shorter, `ts 1 2`.
 */
export function encodeOptions(texts: readonly string[]): Uint8Array {
  return Uint8Array.from(texts.flatMap(encodeOption))
}

function encodeOption(text: string): number[] {
  const words = text.trim().split(/\s+/)
  const [first = 0, second = 0] = words.filter((word) => /^\d+$/.test(word)).map(Number)
  switch (words[0]) {
    case 'mss':
      return [OptionKind.Mss, 4, first >>> 8, first & 255]
    case 'sackOK':
      return [OptionKind.SackPermitted, 2]
    case 'wscale':
      return [OptionKind.WindowScale, 3, first]
    case 'nop':
      return [OptionKind.Nop]
    case 'ts':
    case 'TS':
      return [OptionKind.Timestamps, 10, ...bytesOf(first), ...bytesOf(second)]
    case 'sack': {
      const edges = words.slice(1).flatMap((pair) => pair.split(':').map(Number))
      return [OptionKind.Sack, 2 + edges.length * 4, ...edges.flatMap(bytesOf)]
    }
    default:
      throw new Error(`unknown TCP option: ${text}`)
  }
}

function bytesOf(value: number): number[] {
  return [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
}

/** Normalizes the text of an option: `ts 1 2` becomes `TS val 1 ecr 2`. */
export function normalOption(text: string): string {
  const words = text.trim().split(/\s+/)
  return words[0] === 'ts' ? `TS val ${words[1]} ecr ${words[2]}` : words.join(' ')
}
