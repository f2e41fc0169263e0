/** Removes from the replacement addresses of `-c` those that a copy must not have. */
import type { AddressRange } from '../../core/selection/mapping.ts'
import { OperatorError } from '../../errors.ts'
import type { Prefix } from '../../io/linux/netlink/local-addresses.ts'
import { addressBytes, addressFrom } from '../../wire/address.ts'
import { isIpv6 } from '../../wire/address-book.ts'

/** Addresses from `first` to `last` as whole numbers, of one IP version. */
interface Interval {
  readonly isIpv6: boolean
  readonly first: bigint
  readonly last: bigint
}

/** Whether an address is in a prefix. */
export function isIn(address: number, prefix: Prefix): boolean {
  const { isIpv6: version, first, last } = intervalOf(prefix)
  const number = numberOf(addressBytes(address))
  return isIpv6(address) === version && number >= first && number <= last
}

/**
 * @param own addresses of this host, whose connections a copy with the same address would disturb
 * @param taken other addresses that no copy may have: of intercept and of targets
 * @throws OperatorError `contradiction` if nothing is left
 */
export function rangesWithout(
  ranges: readonly AddressRange[],
  own: readonly Prefix[],
  taken: readonly number[]
): AddressRange[] {
  const refused = [...own, ...taken.map((address) => wholePrefix(addressBytes(address)))].map(intervalOf)
  const left = ranges.map(intervalOfRange).flatMap((range) => refused.reduce(without, [range]))
  for (const version of [false, true]) {
    const isGiven = ranges.some(({ first }) => isIpv6(first) === version)
    if (!isGiven || left.some((range) => range.isIpv6 === version)) continue
    const name = version ? 'IPv6' : 'IPv4'
    throw new OperatorError(
      'contradiction',
      `--client-addresses has no ${name} address that a copy can use: all of them belong to this host, a target or intercept`,
      'Use addresses that nobody owns, as in -c 10.99.0.0/24.'
    )
  }
  return left.map(rangeOf)
}

function wholePrefix(bytes: Uint8Array): Prefix {
  return { bytes, length: bytes.length * 8 }
}

/** What is left of ranges without one interval. */
function without(ranges: readonly Interval[], { isIpv6: version, first, last }: Interval): Interval[] {
  return ranges.flatMap((range) => {
    if (range.isIpv6 !== version || last < range.first || first > range.last) return [range]
    const parts = [
      { ...range, last: first - 1n },
      { ...range, first: last + 1n }
    ]
    return parts.filter((part) => part.first <= part.last)
  })
}

function intervalOf({ bytes, length }: Prefix): Interval {
  const first = numberOf(bytes)
  return { isIpv6: bytes.length === 16, first, last: first + (1n << BigInt(bytes.length * 8 - length)) - 1n }
}

function intervalOfRange({ first, count }: AddressRange): Interval {
  const bytes = addressBytes(first)
  const number = numberOf(bytes)
  return { isIpv6: bytes.length === 16, first: number, last: number + BigInt(count) - 1n }
}

function rangeOf({ isIpv6: version, first, last }: Interval): AddressRange {
  const bytes = new Uint8Array(version ? 16 : 4)
  for (let index = bytes.length - 1, rest = first; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn)
  return { first: addressFrom(bytes), count: Number(last - first) + 1 }
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n)
}
