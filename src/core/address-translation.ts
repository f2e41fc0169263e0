/** Answers as they would be without address translation (NAT) between the target and where they are captured. */
import { i32, put16, put32, u8, u16 } from '../wire/bytes.ts'
import { IPV4_HEADER } from '../wire/segment.ts'

/** Where an answer has the new address and port, of the target or of the client, it stands for the original. */
export interface Translation {
  /** IPv4, host byte order, int32. */
  readonly newAddress: number
  /** 0: any, and it stays as it is. */
  readonly newPort: number
  readonly originalAddress: number
  readonly originalPort: number
}

const ADDRESSES = [
  { addressAt: 12, portAt: 0 },
  { addressAt: 16, portAt: 2 }
] as const

/**
 * Changes addresses and ports of an IPv4 packet in its place; the checksums stay as they were, since nobody looks at
 * those of an answer's header.
 * @param capturedLength octets present from `at`
 */
export function translate(
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  translations: readonly Translation[]
): void {
  if (capturedLength < IPV4_HEADER || u8(bytes, at) >>> 4 !== 4) return
  const headerLength = (u8(bytes, at) & 0x0f) * 4
  if (capturedLength < headerLength + 4) return
  for (let side = 0; side < ADDRESSES.length; side++) {
    const { addressAt, portAt } = ADDRESSES[side === 0 ? 0 : 1]
    const address = i32(bytes, at + addressAt)
    const port = u16(bytes, at + headerLength + portAt)
    for (let index = 0; index < translations.length; index++) {
      const one = translations[index]
      if (one === undefined || one.newAddress !== address || (one.newPort !== 0 && one.newPort !== port)) continue
      put32(bytes, at + addressAt, one.originalAddress)
      if (one.newPort !== 0) put16(bytes, at + headerLength + portAt, one.originalPort)
      break
    }
  }
}
