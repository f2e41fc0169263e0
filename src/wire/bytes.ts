/**
 * Reading and writing integers in network byte order, and elements of typed arrays.
 *
 * The one place where an index is trusted: callers have checked lengths before (`!` below). Inside bounds a typed
 * array never yields undefined.
 */

export function u8(bytes: Uint8Array, at: number): number {
  return bytes[at]!
}

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

/** As int32: IPv4 addresses and sequence numbers are kept so. */
export function i32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** Copies without allocating a view, which for the sizes of packets costs more than the loop. */
export function copyBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let index = 0; index < length; index++) to[toAt + index] = from[fromAt + index]!
}

/** The element of an array of int32, for an index known to be in it. */
export function int32At(array: Int32Array, index: number): number {
  return array[index]!
}

/** The element of an array of uint16, for an index known to be in it. */
export function uint16At(array: Uint16Array, index: number): number {
  return array[index]!
}

/** The element of an array of float64, for an index known to be in it. */
export function float64At(array: Float64Array, index: number): number {
  return array[index]!
}
