/**
 * Sequence numbers: 32 bits that wrap (RFC 9293 §3.4), kept as int32 and compared by distance, which is right as
 * long as two numbers are less than 2³¹ apart.
 */
declare const brand: unique symbol
/**
 * A sequence or acknowledgment number, a timestamp value (RFC 7323 §4.2 compares these alike), or an offset in a stream
 * counted in the same way from 0 on, as int32.
 */
export type Seq = number & { readonly [brand]: true }

/** The 32 low bits of any integer. */
export function seq(value: number): Seq {
  return (value | 0) as Seq // the one place where the brand is given
}

export function add(a: Seq, octets: number): Seq {
  return seq(a + octets)
}

/** Octets from `b` up to `a`: positive if `a` is later. */
export function distance(a: Seq, b: Seq): number {
  return (a - b) | 0
}

export function isAfter(a: Seq, b: Seq): boolean {
  return ((a - b) | 0) > 0
}

export function isBefore(a: Seq, b: Seq): boolean {
  return ((a - b) | 0) < 0
}

export function later(a: Seq, b: Seq): Seq {
  return ((a - b) | 0) > 0 ? a : b
}
