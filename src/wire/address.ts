/** Addresses, IPv4 and IPv6, and their text. In memory both are int32: see `address-book.ts`. */
import { addressBook, isIpv6 } from './address-book.ts'
import { put16, u16 } from './bytes.ts'

const GROUPS = 8

/**
 * @returns the address as int32, host byte order, or its number in the thread's book; undefined if the text is neither a
 *   dotted quad nor an IPv6 address (RFC 4291 §2.2). `::ffff:10.0.0.1` is 10.0.0.1.
 */
export function parseAddress(text: string): number | undefined {
  return text.includes(':') ? parseIpv6Address(text) : parseIpv4Address(text)
}

/** @returns the address as int32, host byte order, or undefined if the text is not a dotted quad */
function parseIpv4Address(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  const octets = match.slice(1).map(Number)
  if (octets.some((octet) => octet > 255)) return undefined
  const address = octets.reduce((address, octet) => (address << 8) | octet, 0)
  // No host has an address of 0.0.0.0/8 but "any": in here, such a number is an IPv6 address.
  return address !== 0 && octets[0] === 0 ? undefined : address
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
  const octets = new Uint8Array(GROUPS * 2)
  for (const [index, group] of groups.entries()) put16(octets, index * 2, Number.parseInt(group, 16))
  return addressFrom(octets)
}

/** The address that 4 or 16 octets are. One that stands for IPv4 (`::ffff:0:0/96`) is IPv4. */
export function addressFrom(octets: Uint8Array): number {
  const isMapped =
    octets.length === 4 || (octets.subarray(0, 10).every((octet) => octet === 0) && u16(octets, 10) === 0xffff)
  if (!isMapped) return addressBook.intern(octets, 0)
  return octets.subarray(-4).reduce((address, octet) => (address << 8) | octet, 0)
}

/** The 4 or 16 octets of an address, in network byte order. */
export function addressOctets(address: number): Uint8Array {
  if (!isIpv6(address)) return Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address)
  const octets = new Uint8Array(GROUPS * 2)
  addressBook.put(address, octets, 0)
  return octets
}

/** As RFC 5952 §4 has it for IPv6. */
export function formatAddress(address: number): string {
  if (isIpv6(address)) return formatIpv6(addressOctets(address))
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** `10.0.0.2:80`, `[2001:db8::2]:80`. */
export function formatEndpoint(address: number, port: number): string {
  return isIpv6(address) ? `[${formatAddress(address)}]:${port}` : `${formatAddress(address)}:${port}`
}

/** The first of the longest runs of zeros is left out, if it has two groups at least. */
function formatIpv6(octets: Uint8Array): string {
  const groups = Array.from({ length: GROUPS }, (_, index) => u16(octets, index * 2))
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

/** Whether the low bits of an address beyond the first `length` are all zero. */
export function isPrefix(octets: Uint8Array, length: number): boolean {
  return octets.every((octet, index) => (octet & (0xff >>> Math.min(8, Math.max(0, length - index * 8)))) === 0)
}
