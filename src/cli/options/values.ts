/** Reads option values. Errors say what was expected. */
import type { Translation } from '../../core/assistant/address-translation.ts'
import type { AddressRange } from '../../core/selection/mapping.ts'
import { OperatorError } from '../../errors.ts'
import { addressBytes, formatAddress, isPrefix, parseAddress } from '../../wire/address.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'

/** The error for an invalid value. */
export function badValue(option: string, value: string, expected: string): OperatorError {
  return new OperatorError('bad-value', `${option}: invalid value "${value}"`, `Expected ${expected}.`)
}

/** A whole number within inclusive bounds. */
export function wholeNumber(option: string, value: string, least: number, most: number): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= least && number <= most)) throw badValue(option, value, `a whole number from ${least} to ${most}`)
  return number
}

/** One of several fixed words. */
export function oneOf<T extends string>(option: string, value: string, words: readonly T[]): T {
  const word = words.find((one) => one === value)
  if (word === undefined) throw badValue(option, value, `one of ${words.join(', ')}`)
  return word
}

/** A number of seconds, fractions allowed. @returns milliseconds */
export function seconds(option: string, value: string, leastS: number, mostS: number): number {
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= leastS && number <= mostS))
    throw badValue(option, value, `a number of seconds from ${leastS} to ${mostS}`)
  return number * 1000
}

/** A number of bytes, with an optional decimal unit: `500k`, `1.5M`, `10G`. */
export function octets(option: string, value: string, least: number, most: number): number {
  const [, digits, letter = ''] = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(value) ?? []
  const number = digits === undefined ? Number.NaN : Math.round(Number(digits) * 1000 ** ' kMG'.indexOf(letter || ' '))
  if (number >= least && number <= most) return number
  throw badValue(option, value, `a number of bytes from ${least} to ${most}, as in 500k, 1.5M or 1G`)
}

/** A number with up to four decimal places, without rounding. @returns ten thousandths */
export function decimal(option: string, value: string, least: number, most: number, unit: string): number {
  const match = /^(\d{1,4})(?:\.(\d{1,4}))?$/.exec(value)
  const [, whole = '', places = ''] = match ?? []
  const number = match === null ? Number.NaN : Number(whole) * 10_000 + Number(places.padEnd(4, '0'))
  if (number >= least * 10_000 && number <= most * 10_000) return number
  throw badValue(option, value, `${unit} from ${least} to ${most}, with up to four decimal places`)
}

/** The parts of a repeatable, comma-separated value. */
export function listOf(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(','))
    .map((value) => value.trim())
    .filter((value) => value !== '')
}

/** One `-x` as written, before host names are resolved. */
export interface MapText {
  readonly sourceAddress: number
  readonly sourcePort: number
  readonly targetHost: string
  readonly targetPort: number
  readonly text: string
  /** Source and destination MAC of the frames to send. */
  readonly fromMac: Uint8Array | undefined
  readonly toMac: Uint8Array | undefined
}

const MAP_FORM =
  '[sourceIP:]sourcePort[@mac]-targetHost:targetPort[@mac], as in 80-10.0.0.2:8080 or 80-[2001:db8::2]:8080'
const MAC_FORM = 'the MAC address of a device, as in 80-10.0.0.2:80@02:00:00:00:00:0b'

/** A unicast MAC address (IEEE 802). */
function mac(map: string, text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined
  const octets = Uint8Array.from(text.split(':'), (pair) => Number.parseInt(pair, 16))
  const isMac =
    /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) && ((octets[0] ?? 1) & 1) === 0 && octets.some((one) => one > 0)
  if (!isMac) throw badValue('--map', map, MAC_FORM)
  return octets
}

/** `[sIP:]sPort[@sMac]-tIP:tPort[@tMac]`, split at the first `-`. */
export function mapText(text: string): MapText {
  const [, from = '', fromMac, to = '', toMac] = /^([^@-]*)(?:@([^@-]*))?-([^@]*)(?:@([^@]*))?$/.exec(text) ?? []
  const match = /^(?:(\[[^\]]+\]|[^:[\]-]+):)?(\d+)-(\[[^\]]+\]|[^:]+):(\d+)$/.exec(`${from}-${to}`)
  if (match === null) throw badValue('--map', text, MAP_FORM)
  const [, sourceText, sourcePort = '', targetHost = '', targetPort = ''] = match
  const sourceAddress = sourceText === undefined ? 0 : parseAddress(withoutBrackets(sourceText))
  if (sourceAddress === undefined) throw badValue('--map', text, MAP_FORM)
  return {
    sourceAddress,
    sourcePort: wholeNumber(`--map ${text}: source port`, sourcePort, 1, 65535),
    targetHost: withoutBrackets(targetHost),
    targetPort: wholeNumber(`--map ${text}: target port`, targetPort, 1, 65535),
    text,
    fromMac: mac(text, fromMac),
    toMac: mac(text, toMac)
  }
}

/** Removes the brackets of `[2001:db8::1]`; returns any other text unchanged. */
export function withoutBrackets(text: string): string {
  return text.startsWith('[') && text.endsWith(']') && text.includes(':') ? text.slice(1, -1) : text
}

/** `host[:port]`; an IPv6 address with a port needs brackets. */
export function hostAndPort(option: string, text: string, portDefault: number): { host: string; port: number } {
  if (parseAddress(text) !== undefined) return { host: text, port: portDefault }
  const match = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(text)
  if (match === null) throw badValue(option, text, 'host or host:port, as in 10.0.0.3:36524 or [2001:db8::3]:36524')
  const [, host = '', port] = match
  return {
    host: withoutBrackets(host),
    port: port === undefined ? portDefault : wholeNumber(`${option} ${text}: port`, port, 1, 65535)
  }
}

const RANGE_FORM = 'addresses (10.1.1.7), a.b.c.x for a.b.c.1 to a.b.c.254, or prefixes (10.1.0.0/16, 2001:db8::/64)'

/** One value of `-c`: an address, `a.b.c.x`, or a prefix without its network and broadcast addresses. */
export function addressRange(text: string): AddressRange {
  const [base = '', bits] = text.split('/')
  const first = parseAddress(base.replace(/\.x$/, '.0'))
  if (first === undefined) throw badValue('--client-addresses', text, RANGE_FORM)
  if (isIpv6(first)) return prefix6(text, first, bits)
  if (base.endsWith('.x')) return { first: (first + 1) | 0, count: 254 }
  if (bits === undefined) return { first, count: 1 }
  const length = wholeNumber(`--client-addresses ${text}: prefix length`, bits, 8, 32)
  const count = 2 ** (32 - length)
  const network = first & -count
  if (network !== first && length < 32) {
    const expected = `a prefix whose host bits are zero, here ${formatAddress(network)}/${length}`
    throw badValue('--client-addresses', text, expected)
  }
  return count <= 2 ? { first: network, count } : { first: (network + 1) | 0, count: count - 2 }
}

const TRANSLATION_FORM =
  'newIP-originalIP or newIP:port-originalIP:port, both IPv4 or both IPv6, as in 172.17.0.2:80-10.0.0.2:8080'

/** One value of `intercept -D`. */
export function translation(text: string): Translation {
  const match = /^([\d.]+|\[[^\]]+\])(?::(\d+))?-([\d.]+|\[[^\]]+\])(?::(\d+))?$/.exec(text)
  const [, newText = '', newPort, originalText = '', originalPort] = match ?? []
  const newAddress = parseAddress(withoutBrackets(newText))
  const originalAddress = parseAddress(withoutBrackets(originalText))
  const isWhole =
    (newPort === undefined) === (originalPort === undefined) && isIpv6(newAddress ?? 0) === isIpv6(originalAddress ?? 0)
  if (newAddress === undefined || originalAddress === undefined || !isWhole) {
    throw badValue('--translate', text, TRANSLATION_FORM)
  }
  const port = (given: string | undefined): number =>
    given === undefined ? 0 : wholeNumber(`--translate ${text}: port`, given, 1, 65_535)
  return { newAddress, newPort: port(newPort), originalAddress, originalPort: port(originalPort) }
}

/** Largest number of addresses used of a prefix, as a power of two: the size of IPv4. */
const PREFIX_BITS_MAX = 32

/** Excludes the first address of an IPv6 prefix, the subnet-router anycast address (RFC 4291 §2.6.1). */
function prefix6(text: string, first: number, bits: string | undefined): AddressRange {
  if (bits === undefined) return { first, count: 1 }
  const length = wholeNumber(`--client-addresses ${text}: prefix length`, bits, 8, 128)
  if (!isPrefix(addressBytes(first), length)) {
    throw badValue('--client-addresses', text, 'a prefix whose host bits are zero, as in 2001:db8::/64')
  }
  const count = 2 ** Math.min(PREFIX_BITS_MAX, 128 - length)
  return count <= 2 ? { first, count } : { first: addressBook.beyond(first, 1), count: count - 1 }
}
