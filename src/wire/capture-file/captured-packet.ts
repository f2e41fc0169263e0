/** What a reader of capture files gives, and how its steps end. */

/** One packet of a capture file, in an object that is used again for the next. */
export class CapturedPacket {
  /** Valid until the reader is asked for the next packet, or is given more input. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Where the frame begins, with its link layer. */
  at = 0
  capturedLength = 0
  /** Octets the frame had; more than `capturedLength` if it was cut. */
  wireLength = 0
  /** See LinkType. */
  linkType = 0
  /** Milliseconds since 1970, with fractions as fine as a quarter of a microsecond. */
  timeMs = 0
}

export const Step = {
  /** There is a packet. */
  Packet: 0,
  /** More input is needed. */
  More: 1,
  /** All was read. */
  End: 2,
  /** What follows cannot be read: see `failure`. */
  Failed: 3
} as const
export type Step = (typeof Step)[keyof typeof Step]

/** Larger packets than the largest that any capture has (BIG TCP: 512 KB) are no packets. */
export const PACKET_MAX = 1 << 20

/** A 32-bit word, unsigned, in either byte order. */
export function word(bytes: Uint8Array, at: number, isLittle: boolean): number {
  const a = bytes[at] ?? 0
  const b = bytes[at + 1] ?? 0
  const c = bytes[at + 2] ?? 0
  const d = bytes[at + 3] ?? 0
  return (isLittle ? (d << 24) | (c << 16) | (b << 8) | a : (a << 24) | (b << 16) | (c << 8) | d) >>> 0
}

/** A 16-bit half word in either byte order. */
export function half(bytes: Uint8Array, at: number, isLittle: boolean): number {
  const a = bytes[at] ?? 0
  const b = bytes[at + 1] ?? 0
  return isLittle ? (b << 8) | a : (a << 8) | b
}

/** `1,048,577`, without asking for a locale. */
export function grouped(count: number): string {
  return `${count}`.replace(/\B(?=(\d{3})+$)/g, ',')
}
