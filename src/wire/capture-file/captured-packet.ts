/** The packet type and the result codes of capture file readers, with functions that the readers share. */

/** One packet of a capture file. Readers reuse the object for the next packet. */
export class CapturedPacket {
  /** Valid until the next call of `next` or `append` of the reader. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Where the frame begins, link-layer header included. */
  at = 0
  capturedLength = 0
  /** Bytes of the frame on the wire; more than `capturedLength` if it was truncated. */
  wireLength = 0
  /** A `LinkType`, or an unsupported number. */
  linkType = 0
  /** Milliseconds since 1970, with fractions; a double resolves about a quarter of a microsecond. */
  timeMs = 0
}

export const Step = {
  /** A packet was read. */
  Packet: 0,
  /** More input is needed. */
  More: 1,
  /** The input ended after the last packet. */
  End: 2,
  /** The rest cannot be read; `failure` says why. */
  Failed: 3
} as const
export type Step = (typeof Step)[keyof typeof Step]

/** A larger length means invalid data: the largest captured packets have 512 KB (BIG TCP). */
export const PACKET_MAX = 1 << 20

/** An unsigned 32-bit word in either byte order; 0 for bytes beyond the end. */
export function word(bytes: Uint8Array, at: number, isLittle: boolean): number {
  const a = bytes[at] ?? 0
  const b = bytes[at + 1] ?? 0
  const c = bytes[at + 2] ?? 0
  const d = bytes[at + 3] ?? 0
  return (isLittle ? (d << 24) | (c << 16) | (b << 8) | a : (a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

/** An unsigned 16-bit half word in either byte order; 0 for bytes beyond the end. */
export function half(bytes: Uint8Array, at: number, isLittle: boolean): number {
  const a = bytes[at] ?? 0
  const b = bytes[at + 1] ?? 0
  return isLittle ? (b << 8) | a : (a << 8) | b
}

/** Groups digits as in `1,048,577`, whatever the locale. */
export function grouped(count: number): string {
  return `${count}`.replace(/\B(?=(\d{3})+$)/g, ',')
}
