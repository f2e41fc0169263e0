/** Converts IPv4 and IPv6 addresses between text, bytes and the int32 of `address-book.ts`. */
import { addressBook, isIpv6 } from './address-book.ts'
import { put16, u16 } from './bytes.ts'

const GROUPS = 8

/**
 * Parses a dotted quad or an IPv6 address (RFC 4291 §2.2). `::ffff:10.0.0.1` is 10.0.0.1.
 * @returns an IPv4 address as int32 in host byte order, or the number of an IPv6 address in this thread's book;
 *   undefined if the text is neither
 */
export function parseAddress(text: string): number | undefined {
  return text.includes(':') ? parseIpv6Address(text) : parseIpv4Address(text)
}

/** @returns the address as int32 in host byte order, or undefined if the text is not a dotted quad */
function parseIpv4Address(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  const bytes = match.slice(1).map(Number)
  if (bytes.some((byte) => byte > 255)) return undefined
  const address = bytes.reduce((address, byte) => (address << 8) | byte, 0)
  // The address book uses the numbers of 0.0.0.0/8 for IPv6. No host has such an address; 0.0.0.0 itself means any.
  return address !== 0 && bytes[0] === 0 ? undefined : address
}

function parseIpv6Address(text: string): number | undefined {
  const lastColon = text.lastIndexOf(':')
  const quad = text.includes('.') ? parseIpv4Address(text.slice(lastColon + 1)) : undefined
  if (text.includes('.') && quad === undefined) return undefined
  const plain =
    quad === undefined
      ? text
      : `${text.slice(0, lastColon + 1)}${(quad >>> 16).toString(16)}:${(quad & 0xffff).toString(16)}`
  const halves = plain.split('::')
  if (halves.length > 2) return undefined
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = GROUPS - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...head, ...new Array<string>(missing).fill('0'), ...tail]
  if (groups.some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return undefined
  const bytes = new Uint8Array(GROUPS * 2)
  for (const [index, group] of groups.entries()) put16(bytes, index * 2, Number.parseInt(group, 16))
  return addressFrom(bytes)
}

/** The address of 4 or 16 bytes in network byte order. An IPv4-mapped one (`::ffff:0:0/96`) becomes IPv4. */
export function addressFrom(bytes: Uint8Array): number {
  const isMapped =
    bytes.length === 4 || (bytes.subarray(0, 10).every((byte) => byte === 0) && u16(bytes, 10) === 0xffff)
  if (!isMapped) return addressBook.intern(bytes, 0)
  return bytes.subarray(-4).reduce((address, byte) => (address << 8) | byte, 0)
}

/** The 4 or 16 bytes of an address, in network byte order. */
export function addressBytes(address: number): Uint8Array {
  if (!isIpv6(address)) return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address)
  const bytes = new Uint8Array(GROUPS * 2)
  addressBook.put(address, bytes, 0)
  return bytes
}

/** Writes an IPv6 address as RFC 5952 §4 recommends. */
export function formatAddress(address: number): string {
  if (isIpv6(address)) return formatIpv6(addressBytes(address))
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** `10.0.0.2:80`, `[2001:db8::2]:80`. */
export function formatEndpoint(address: number, port: number): string {
  return isIpv6(address) ? `[${formatAddress(address)}]:${port}` : `${formatAddress(address)}:${port}`
}

/** Shortens the first of the longest runs of zero groups to `::`, if it has at least two groups (RFC 5952 §4.2). */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: GROUPS }, (_, index) => u16(bytes, index * 2))
  let from = 0
  let length = 1
  for (let at = 0; at < GROUPS; at++) {
    let end = at
    while (end < GROUPS && groups[end] === 0) end++
    if (end - at > length) {
      from = at
      length = end - at
    }
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return text(groups)
  return `${text(groups.slice(0, from))}::${text(groups.slice(from + length))}`
}

/** Whether all bits of an address after the first `length` are zero. */
export function isPrefix(bytes: Uint8Array, length: number): boolean {
  return bytes.every((byte, index) => (byte & (0xff >>> Math.min(8, Math.max(0, length - index * 8)))) === 0)
}
