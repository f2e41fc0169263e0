/** Undoes address translation (NAT) between the target and the capture in the headers of answers. */
import { addressBook } from '../../wire/address-book.ts'
import { i32, put16, put32, u8, u16 } from '../../wire/bytes.ts'
import { Flaw } from '../../wire/flaw.ts'
import { chain, followHeaders, IPV6_HEADER } from '../../wire/ipv6.ts'
import { IPV4_HEADER } from '../../wire/segment.ts'

/** A new address and port of a target or client, and the original ones that replace them. */
export interface Translation {
  /** Has the same IP version as the original address. */
  readonly newAddress: number
  /** 0: any port, which stays unchanged. */
  readonly newPort: number
  readonly originalAddress: number
  readonly originalPort: number
}

/**
 * Changes addresses and ports of an IP packet in place. Checksums stay unchanged, because those of an answer's header
 * are not verified.
 * @param capturedLength bytes present from `at`
 */
export function translate(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  translations: readonly Translation[]
): void {
  if (capturedLength < IPV4_HEADER) return
  const isIpv6 = u8(bytes, at) >>> 4 === 6
  const headerLength = isIpv6 ? lengthOfHeaders(bytes, at, capturedLength) : (u8(bytes, at) & 0x0f) * 4
  if (headerLength < IPV4_HEADER || capturedLength < headerLength + 4) return
  for (let side = 0; side < 2; side++) {
    const addressAt = at + (isIpv6 ? 8 + side * 16 : 12 + side * 4)
    const portAt = at + headerLength + side * 2
    const address = isIpv6 ? addressBook.find(bytes, addressAt) : i32(bytes, addressAt)
    const port = u16(bytes, portAt)
    for (let index = 0; index < translations.length; index++) {
      const one = translations[index]
      if (one === undefined || one.newAddress !== address || (one.newPort !== 0 && one.newPort !== port)) continue
      if (isIpv6) addressBook.put(one.originalAddress, bytes, addressAt)
      else put32(bytes, addressAt, one.originalAddress)
      if (one.newPort !== 0) put16(bytes, portAt, one.originalPort)
      break
    }
  }
}

/** @returns 0 if the headers are incomplete */
function lengthOfHeaders(bytes: Uint8Array, at: number, capturedLength: number): number {
  if (capturedLength < IPV6_HEADER) return 0
  return followHeaders(bytes, at, capturedLength, capturedLength) === Flaw.None ? chain.length : 0
}
