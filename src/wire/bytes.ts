/**
 * Reads and writes integers in network byte order, and reads elements of typed arrays.
 *
 * Only this file uses `!`: callers have checked lengths, and a typed array never yields undefined within its bounds.
 */

export function u8(bytes: Uint8Array, at: number): number {
  return bytes[at]!
}

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

/** Reads 32 bits as int32, the form of IPv4 addresses and sequence numbers in this program. */
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

/** Copies in a loop, because `subarray` and `set` allocate a view, which costs more than the loop for one packet. */
export function copyBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let index = 0; index < length; index++) to[toAt + index] = from[fromAt + index]!
}

/** The element at an index that is known to be within bounds. */
export function int32At(array: Int32Array, index: number): number {
  return array[index]!
}

/** The element at an index that is known to be within bounds. */
export function uint16At(array: Uint16Array, index: number): number {
  return array[index]!
}

/** The element at an index that is known to be within bounds. */
export function float64At(array: Float64Array, index: number): number {
  return array[index]!
}
