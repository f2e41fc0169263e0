/**
 * Puts IPv4 fragments together (RFC 791 §3.2) where no kernel has done it: in capture files. Bounded: so many packets at
 * once, each as large as a packet can be; the oldest goes when there are more. Of octets that come twice the last stay.
 */
import { i32, put16, u8, u16 } from '../wire/bytes.ts'
import { IPV4_HEADER } from '../wire/segment.ts'

const PACKETS_MAX = 64
/** Fragments that are further apart than this belong to different packets with the same id (RFC 1122 §3.3.2: 60 to 120 s). */
const LIFETIME_MS = 30_000
const HEADER_MAX = 60
const LENGTH_MAX = 0xffff
const MORE_FRAGMENTS = 0x2000
const UNIT = 8

class Packet {
  isUsed = false
  fromAddress = 0
  toAddress = 0
  /** Protocol and id. */
  label = 0
  beganMs = 0
  fragmentCount = 0
  /** Octets behind the header; −1: the last fragment has not come. */
  length = -1
  /** 0: the first fragment has not come. */
  headerLength = 0
  /** Units of eight octets that have come. */
  unitCount = 0
  /** The header ends, and what it carries begins, at HEADER_MAX. */
  readonly bytes = new Uint8Array(HEADER_MAX + LENGTH_MAX + UNIT)
  readonly units = new Uint8Array(LENGTH_MAX / UNIT + 1)
}

export class Fragments {
  /** Fragments of packets that did not become whole, and such that cannot be. */
  lostCount = 0
  /** The packet that became whole last: valid until `add` is called again. */
  bytes: Uint8Array = new Uint8Array(0)
  at = 0
  length = 0
  readonly #packets: Packet[] = []

  /**
   * Takes a fragment.
   * @param at where its IPv4 header is, of 20 octets at least; @param capturedLength octets present from there
   * @param timeMs when it was captured, on any clock
   * @returns true if its packet is whole now, and to be found in `bytes`
   */
  add(bytes: Uint8Array, at: number, capturedLength: number, timeMs: number): boolean {
    const headerLength = (u8(bytes, at) & 0x0f) * 4
    const length = u16(bytes, at + 2) - headerLength
    const fragment = u16(bytes, at + 6)
    const from = (fragment & 0x1fff) * UNIT
    const isLast = (fragment & MORE_FRAGMENTS) === 0
    const isPossible = headerLength >= IPV4_HEADER && length > 0 && (isLast || length % UNIT === 0)
    if (!isPossible || capturedLength < headerLength + length || from + length > LENGTH_MAX) {
      this.lostCount += 1
      return false
    }
    const packet = this.#find(bytes, at, timeMs)
    packet.fragmentCount += 1
    packet.bytes.set(bytes.subarray(at + headerLength, at + headerLength + length), HEADER_MAX + from)
    if (isLast) packet.length = from + length
    if (from === 0) {
      packet.headerLength = headerLength
      packet.bytes.set(bytes.subarray(at, at + headerLength), HEADER_MAX - headerLength)
    }
    const end = Math.ceil((from + length) / UNIT)
    for (let unit = from / UNIT; unit < end; unit++) {
      if (packet.units[unit] === 0) packet.unitCount += 1
      packet.units[unit] = 1
    }
    return this.#isWhole(packet)
  }

  /** Gives up what is not whole: nothing more will come. */
  finish(): void {
    for (const packet of this.#packets) if (packet.isUsed) this.#giveUp(packet)
  }

  #isWhole(packet: Packet): boolean {
    if (packet.length < 0 || packet.headerLength === 0) return false
    if (packet.unitCount < Math.ceil(packet.length / UNIT)) return false
    const length = packet.headerLength + packet.length
    packet.isUsed = false
    if (length > LENGTH_MAX) {
      this.lostCount += packet.fragmentCount
      return false
    }
    this.bytes = packet.bytes
    this.at = HEADER_MAX - packet.headerLength
    this.length = length
    put16(packet.bytes, this.at + 2, length)
    put16(packet.bytes, this.at + 6, u16(packet.bytes, this.at + 6) & 0x4000)
    return true
  }

  #find(bytes: Uint8Array, at: number, timeMs: number): Packet {
    const fromAddress = i32(bytes, at + 12)
    const toAddress = i32(bytes, at + 16)
    const label = (u8(bytes, at + 9) << 16) | u16(bytes, at + 4)
    let free: Packet | undefined
    let oldest: Packet | undefined
    for (const packet of this.#packets) {
      if (packet.isUsed && Math.abs(timeMs - packet.beganMs) > LIFETIME_MS) this.#giveUp(packet)
      if (!packet.isUsed) free = packet
      else if (packet.label === label && packet.fromAddress === fromAddress && packet.toAddress === toAddress)
        return packet
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
    packet.fromAddress = fromAddress
    packet.toAddress = toAddress
    packet.label = label
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
