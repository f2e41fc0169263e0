/**
 * Reassembles fragments of IPv4 (RFC 791 §3.2) and IPv6 (RFC 8200 §4.5) if the kernel has not done it. Up to 64 packets
 * are in progress at once; the oldest is given up for a new one. Where fragments overlap, the last one stays.
 */
import { put16, u8, u16 } from '../../wire/bytes.ts'
import { Flaw } from '../../wire/flaw.ts'
import { chain, FRAGMENT, FRAGMENT_HEADER, followHeaders, IPV6_HEADER } from '../../wire/ipv6.ts'
import { IPV4_HEADER } from '../../wire/segment.ts'

const PACKETS_MAX = 64
/**
 * Fragments farther apart in time belong to different packets with the same id (RFC 1122 §3.3.2 allows 60 to 120 s).
 */
const LIFETIME_MS = 30_000
/**
 * Limit of the headers before the payload, in bytes. IPv4 headers have up to 60; nobody sends longer extension headers.
 */
const HEADER_MAX = 256
const LENGTH_MAX = 0xffff
const MORE_FRAGMENTS = 0x2000
const MORE_FRAGMENTS_6 = 1
const UNIT = 8
/** Bytes of a key: IP version and protocol, id, and both addresses. */
const KEY_MAX = 2 + 4 + 32

class Packet {
  isUsed = false
  readonly key = new Uint8Array(KEY_MAX)
  beganMs = 0
  fragmentCount = 0
  /** Bytes after the header; −1: the last fragment has not arrived. */
  length = -1
  /** 0: the first fragment has not arrived. */
  headerLength = 0
  /** Units of eight bytes that have arrived. */
  unitCount = 0
  /** The header ends, and the payload begins, at HEADER_MAX. */
  readonly bytes = new Uint8Array(HEADER_MAX + LENGTH_MAX + UNIT)
  readonly units = new Uint8Array(LENGTH_MAX / UNIT + 1)
}

/** The fields of a fragment's headers, in one reused object. */
class Fragment {
  readonly key = new Uint8Array(KEY_MAX)
  /** Bytes of headers that the reassembled packet will have. */
  headerLength = 0
  /** Bytes before the payload of the fragment. */
  carriedAt = 0
  /** Bytes of payload. */
  length = 0
  /** Offset of the payload in that of the packet. */
  from = 0
  isLast = false
  /** IPv6: protocol of the payload, and the offset in the headers of the field that names it. */
  protocol = 0
  namedAt = 0
}

export class Fragments {
  /** Fragments of packets that never became complete, and invalid fragments. */
  lostCount = 0
  /** The packet that was completed last, at `at`; valid until the next `add`. */
  bytes: Uint8Array = new Uint8Array(0)
  at = 0
  length = 0
  readonly #packets: Packet[] = []
  readonly #fragment = new Fragment()

  /**
   * Takes a fragment.
   * @param at where its IP header begins, which is present (IPv4: at least 20 bytes)
   * @param capturedLength bytes present from `at`
   * @param timeMs when it was captured, on any clock
   * @returns true if its packet is complete, which is then in `bytes`
   */
  add(bytes: Uint8Array, at: number, capturedLength: number, timeMs: number): boolean {
    const fragment = this.#fragment
    const isIpv6 = u8(bytes, at) >>> 4 === 6
    const isRead = isIpv6 ? readIpv6(bytes, at, capturedLength, fragment) : readIpv4(bytes, at, fragment)
    const { headerLength, carriedAt, length, from, isLast } = fragment
    const isPossible = isRead && headerLength <= HEADER_MAX && length > 0 && (isLast || length % UNIT === 0)
    if (!isPossible || capturedLength < carriedAt + length || from + length > LENGTH_MAX) {
      this.lostCount += 1
      return false
    }
    const packet = this.#find(fragment.key, timeMs)
    packet.fragmentCount += 1
    packet.bytes.set(bytes.subarray(at + carriedAt, at + carriedAt + length), HEADER_MAX + from)
    if (isLast) packet.length = from + length
    if (from === 0) {
      packet.headerLength = headerLength
      packet.bytes.set(bytes.subarray(at, at + headerLength), HEADER_MAX - headerLength)
      if (isIpv6) packet.bytes[HEADER_MAX - headerLength + fragment.namedAt] = fragment.protocol
    }
    const end = Math.ceil((from + length) / UNIT)
    for (let unit = from / UNIT; unit < end; unit++) {
      if (packet.units[unit] === 0) packet.unitCount += 1
      packet.units[unit] = 1
    }
    return this.#isWhole(packet, isIpv6)
  }

  /** Gives up incomplete packets, because no more fragments follow. */
  finish(): void {
    for (const packet of this.#packets) if (packet.isUsed) this.#giveUp(packet)
  }

  #isWhole(packet: Packet, isIpv6: boolean): boolean {
    if (packet.length < 0 || packet.headerLength === 0) return false
    if (packet.unitCount < Math.ceil(packet.length / UNIT)) return false
    const length = packet.headerLength + packet.length
    packet.isUsed = false
    // The length field of IPv6 does not include its header.
    if (length - (isIpv6 ? IPV6_HEADER : 0) > LENGTH_MAX) {
      this.lostCount += packet.fragmentCount
      return false
    }
    this.bytes = packet.bytes
    this.at = HEADER_MAX - packet.headerLength
    this.length = length
    if (isIpv6) put16(packet.bytes, this.at + 4, length - IPV6_HEADER)
    else {
      put16(packet.bytes, this.at + 2, length)
      put16(packet.bytes, this.at + 6, u16(packet.bytes, this.at + 6) & 0x4000)
    }
    return true
  }

  #find(key: Uint8Array, timeMs: number): Packet {
    let free: Packet | undefined
    let oldest: Packet | undefined
    for (const packet of this.#packets) {
      if (packet.isUsed && Math.abs(timeMs - packet.beganMs) > LIFETIME_MS) this.#giveUp(packet)
      if (!packet.isUsed) free = packet
      else if (isSame(packet.key, key)) return packet
      else if (oldest === undefined || packet.beganMs < oldest.beganMs) oldest = packet
    }
    if (free === undefined && this.#packets.length < PACKETS_MAX) {
      free = new Packet()
      this.#packets.push(free)
    } else if (free === undefined && oldest !== undefined) {
      this.#giveUp(oldest)
      free = oldest
    }
    const packet = free ?? new Packet()
    packet.isUsed = true
    packet.key.set(key)
    packet.beganMs = timeMs
    packet.fragmentCount = 0
    packet.length = -1
    packet.headerLength = 0
    packet.unitCount = 0
    packet.units.fill(0)
    return packet
  }

  #giveUp(packet: Packet): void {
    packet.isUsed = false
    this.lostCount += packet.fragmentCount
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  for (let index = 0; index < KEY_MAX; index++) if (one[index] !== other[index]) return false
  return true
}

/** @returns false if it cannot be one */
function readIpv4(bytes: Uint8Array, at: number, fragment: Fragment): boolean {
  const field = u16(bytes, at + 6)
  fragment.headerLength = (u8(bytes, at) & 0x0f) * 4
  fragment.carriedAt = fragment.headerLength
  fragment.length = u16(bytes, at + 2) - fragment.headerLength
  fragment.from = (field & 0x1fff) * UNIT
  fragment.isLast = (field & MORE_FRAGMENTS) === 0
  const { key } = fragment
  key.fill(0)
  key[0] = 4
  key[1] = u8(bytes, at + 9)
  key.set(bytes.subarray(at + 4, at + 6), 2)
  key.set(bytes.subarray(at + 12, at + 20), 6)
  return fragment.headerLength >= IPV4_HEADER
}

/** @returns false if it cannot be one */
function readIpv6(bytes: Uint8Array, at: number, capturedLength: number, fragment: Fragment): boolean {
  if (capturedLength < IPV6_HEADER) return false
  if (followHeaders(bytes, at, capturedLength, capturedLength) !== Flaw.None || chain.protocol !== FRAGMENT)
    return false
  const headerAt = at + chain.length
  const field = u16(bytes, headerAt + 2)
  fragment.headerLength = chain.length
  fragment.carriedAt = chain.length + FRAGMENT_HEADER
  fragment.length = IPV6_HEADER + u16(bytes, at + 4) - fragment.carriedAt
  fragment.from = field & 0xfff8
  fragment.isLast = (field & MORE_FRAGMENTS_6) === 0
  fragment.protocol = u8(bytes, headerAt)
  fragment.namedAt = chain.namedAt
  const { key } = fragment
  key[0] = 6
  key[1] = 0
  key.set(bytes.subarray(headerAt + 4, headerAt + 8), 2)
  key.set(bytes.subarray(at + 8, at + 40), 6)
  return true
}
