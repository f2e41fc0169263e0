/** The Internet checksum (RFC 1071). Sums are kept unfolded in a number, folded only at the end. */
import { u8, u16 } from './bytes.ts'

/** The one's complement sum of 16-bit words, not folded. An odd last octet counts as a word's high half. */
export function sum(bytes: Uint8Array, at: number, length: number): number {
  let total = 0
  const end = at + (length & ~1)
  for (let index = at; index < end; index += 2) total += u16(bytes, index)
  return length & 1 ? total + (u8(bytes, end) << 8) : total
}

/** @param total any non-negative sum of fewer than 2³⁷ words' worth @returns 0…0xffff */
export function fold(total: number): number {
  let folded = total
  while (folded > 0xffff) folded = (folded % 0x10000) + Math.floor(folded / 0x10000)
  return folded
}

/**
 * Copies and sums in one pass.
 * @returns the sum of the copied octets as 16-bit words, not folded
 */
export function copyAndSum(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): number {
  let total = 0
  const even = length & ~1
  for (let index = 0; index < even; index += 2) {
    const high = u8(from, fromAt + index)
    const low = u8(from, fromAt + index + 1)
    to[toAt + index] = high
    to[toAt + index + 1] = low
    total += (high << 8) | low
  }
  if (length & 1) {
    const last = u8(from, fromAt + even)
    to[toAt + even] = last
    total += last << 8
  }
  return total
}

/** The sum over the pseudo-header (RFC 9293 §3.1), not folded. Addresses as int32. */
export function pseudoHeaderSum(fromAddress: number, toAddress: number, protocol: number, length: number): number {
  return (
    (fromAddress >>> 16) +
    (fromAddress & 0xffff) +
    (toAddress >>> 16) +
    (toAddress & 0xffff) +
    protocol +
    (length >>> 16) +
    (length & 0xffff)
  )
}
