/**
 * Writes segments in the notation of packetdrill, `P. 100:138(38) ack 501 win 502 <nop,nop,TS val 1 ecr 2>`, for
 * `--trace` and for drills. It is not optimized.
 */
import { i32, u8, u16 } from './bytes.ts'
import { ACK, FIN, OptionKind, PSH, RST, type Segment, SYN, TCP_HEADER, URG, urgentPointer } from './segment.ts'

/** Flags in the order in which packetdrill writes them. */
const LETTERS: readonly (readonly [number, string])[] = [
  [FIN, 'F'],
  [SYN, 'S'],
  [RST, 'R'],
  [PSH, 'P'],
  [ACK, '.'],
  [URG, 'U'],
  [0x40, 'E'],
  [0x80, 'W']
]

/** Flags as letters, `P.` for example; `-` if none is set. */
export function formatFlags(flags: number): string {
  const letters = LETTERS.filter(([flag]) => flags & flag).map(([, letter]) => letter)
  return letters.join('') || '-'
}

/** @returns the flags, or undefined if the text has an unknown letter */
export function parseFlags(text: string): number | undefined {
  let flags = 0
  if (text === '-') return flags
  for (const letter of text) {
    const found = LETTERS.find(([, known]) => known === letter)
    if (found === undefined) return undefined
    flags |= found[0]
  }
  return flags
}

/** The whole segment, with sequence numbers and the unscaled window as on the wire. */
export function formatSegment(segment: Segment): string {
  const from = segment.seq >>> 0
  const end = (segment.seq + segment.payloadLength) >>> 0
  const parts = [formatFlags(segment.flags), `${from}:${end}(${segment.payloadLength})`]
  if (segment.flags & ACK) parts.push(`ack ${segment.ack >>> 0}`)
  parts.push(`win ${segment.window}`)
  if (segment.flags & URG) parts.push(`urg ${urgentPointer(segment)}`)
  const options = formatOptions(segment)
  if (options.length > 0) parts.push(`<${options.join(',')}>`)
  return parts.join(' ')
}

/** Each option as text, in order, up to the first that is malformed or truncated. */
export function formatOptions(segment: Segment): string[] {
  const { bytes, tcpAt } = segment
  const texts: string[] = []
  // A record of intercept holds only the first options, and `payloadAt` is where they end.
  const end = Math.min(tcpAt + (u8(bytes, tcpAt + 12) >>> 4) * 4, segment.payloadAt)
  let at = tcpAt + TCP_HEADER
  while (at < end) {
    const kind = u8(bytes, at)
    if (kind === OptionKind.End) return texts
    if (kind === OptionKind.Nop) {
      texts.push('nop')
      at += 1
      continue
    }
    const length = at + 1 < end ? u8(bytes, at + 1) : 0
    if (length < 2 || at + length > end) return [...texts, `malformed ${kind}`]
    texts.push(formatOption(bytes, at, kind, length))
    at += length
  }
  return texts
}

function formatOption(bytes: Uint8Array, at: number, kind: number, length: number): string {
  if (kind === OptionKind.Mss && length === 4) return `mss ${u16(bytes, at + 2)}`
  if (kind === OptionKind.WindowScale && length === 3) return `wscale ${u8(bytes, at + 2)}`
  if (kind === OptionKind.SackPermitted && length === 2) return 'sackOK'
  if (kind === OptionKind.Timestamps && length === 10) {
    return `TS val ${i32(bytes, at + 2) >>> 0} ecr ${i32(bytes, at + 6) >>> 0}`
  }
  if (kind === OptionKind.Sack && (length - 2) % 8 === 0) {
    const edges: string[] = []
    for (let edge = at + 2; edge < at + length; edge += 8) {
      edges.push(`${i32(bytes, edge) >>> 0}:${i32(bytes, edge + 4) >>> 0}`)
    }
    return `sack ${edges.join(' ')}`
  }
  const value = Array.from({ length: length - 2 }, (_, index) => u8(bytes, at + 2 + index))
  return `option ${kind} ${value.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`.trimEnd()
}
