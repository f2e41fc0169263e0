/**
 * Arithmetic of sequence numbers, which are 32 bits and wrap (RFC 9293 §3.4). They are int32 and compared by distance,
 * which is correct while two numbers are less than 2³¹ apart.
 */
declare const brand: unique symbol
/**
 * An int32 that wraps: a sequence or acknowledgment number, a timestamp value (compared the same way, RFC 7323 §5.2),
 * or an offset in a stream that starts at 0.
 */
export type Seq = number & { readonly [brand]: true }

/** The low 32 bits of any integer. */
export function seq(value: number): Seq {
  return (value | 0) as Seq // the only place that makes the branded type
}

export function add(a: Seq, count: number): Seq {
  return seq(a + count)
}

/** How far `a` is after `b`; negative if it is before. */
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
