/**
 * The mapping decides which connections are copied, to which target, and with which client address (`-x`, `-c`, `-H`).
 */
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import type { OwnAddresses } from './own-addresses.ts'

/** One `-x`: packets to `sourceAddress:sourcePort` are copied to `targetAddress:targetPort`. */
export interface CopyMap {
  /** 0: any address of the target's IP version. */
  readonly sourceAddress: number
  readonly sourcePort: number
  readonly targetAddress: number
  readonly targetPort: number
}

/** A range of client addresses for targets of the same IP version: `count` addresses from `first` on (`-c`). */
export interface AddressRange {
  readonly first: number
  readonly count: number
}

/** Addresses of `-c` that are tried before a client has none: this host may have got some of them since the start. */
const TRIES_MAX = 64
/** The first byte of 127.0.0.0/8. */
const LOOPBACK = 127
const LOOPBACK_6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

/** The ranges of one IP version. */
interface Pool {
  readonly ranges: readonly AddressRange[]
  readonly total: number
}

function poolOf(ranges: readonly AddressRange[]): Pool {
  return { ranges, total: ranges.reduce((total, range) => total + range.count, 0) }
}

export class Mapping {
  readonly maps: readonly CopyMap[]
  readonly #pool4: Pool
  readonly #pool6: Pool
  readonly #loopback4: number
  readonly #loopback6: number
  readonly #own: OwnAddresses | undefined
  /** By source port: 1 + the index of the first mapping for it; 0: none. */
  readonly #byPort = new Uint8Array(65536)

  /**
   * @param loopbackAddresses replace client addresses of the loopback device (`-H`): an IPv4 one 127.0.0.0/8, an IPv6 one ::1
   * @param own no replacement address is one of these
   */
  constructor(
    maps: readonly CopyMap[],
    ranges: readonly AddressRange[] = [],
    loopbackAddresses: readonly number[] = [],
    own: OwnAddresses | undefined = undefined
  ) {
    this.#own = own
    this.maps = maps
    this.#pool4 = poolOf(ranges.filter((range) => !isIpv6(range.first)))
    this.#pool6 = poolOf(ranges.filter((range) => isIpv6(range.first)))
    this.#loopback4 = loopbackAddresses.find((address) => !isIpv6(address)) ?? 0
    this.#loopback6 = loopbackAddresses.find(isIpv6) ?? 0
    for (let index = maps.length - 1; index >= 0; index--) {
      const map = maps[index]
      if (map !== undefined) this.#byPort[map.sourcePort] = index + 1
    }
  }

  /** Number of client addresses to choose from at this target. */
  addressCount(targetAddress: number): number {
    return Math.max(1, this.#poolFor(targetAddress).total)
  }

  /** Whether some packets are copied to several targets. */
  get isFanOut(): boolean {
    return this.maps.some((map, index) => this.maps.slice(index + 1).some((other) => areForSame(map, other)))
  }

  /** Whether packets to this address and port are copied. */
  has(address: number, port: number): boolean {
    return this.#next(address, port, 0) >= 0
  }

  /** @returns the indexes of all mappings for packets to this address and port, each of which makes a copy */
  find(address: number, port: number): readonly number[] {
    const found: number[] = []
    for (let index = this.#next(address, port, 0); index >= 0; index = this.#next(address, port, index + 1)) {
      found.push(index)
    }
    return found
  }

  /**
   * The address as which a client appears at a target. It depends only on the client's address, so a client keeps it,
   * and on the number of the copy (`-n`), so copies have different addresses if there are several. A target's own
   * address is skipped, because the target would answer itself, and so are addresses of this host, whose connections
   * the copy would disturb.
   * @returns 0 if there is none, or it is IPv6 and the address book is full
   */
  clientAddress(address: number, targetAddress: number, copy = 0): number {
    const pool = this.#poolFor(targetAddress)
    if (pool.total === 0) return this.#besideLoopback(address)
    const key = isIpv6(address) ? addressBook.hash(address) : Math.imul(address, 0x9e3779b1) >>> 0
    for (let step = 0; step < Math.min(pool.total, TRIES_MAX); step++) {
      const chosen = addressIn(pool, (key + copy + step) % pool.total)
      if (chosen === 0 || (chosen !== targetAddress && this.#own?.has(chosen) !== true)) return chosen
    }
    return 0
  }

  /** @returns the index of the first mapping from `from` on for this address and port; −1: none */
  #next(address: number, port: number, from: number): number {
    const first = this.#byPort[port] ?? 0
    for (let index = Math.max(from, first - 1); first > 0 && index < this.maps.length; index++) {
      const map = this.maps[index]
      if (map === undefined || map.sourcePort !== port) continue
      if (map.sourceAddress === address) return index
      if (map.sourceAddress === 0 && isIpv6(address) === isIpv6(map.targetAddress)) return index
    }
    return -1
  }

  #poolFor(targetAddress: number): Pool {
    return isIpv6(targetAddress) ? this.#pool6 : this.#pool4
  }

  /** An address, or what replaces it if it is of the loopback device. */
  #besideLoopback(address: number): number {
    if (isIpv6(address)) {
      return this.#loopback6 !== 0 && address === addressBook.find(LOOPBACK_6, 0) ? this.#loopback6 : address
    }
    return this.#loopback4 !== 0 && address >>> 24 === LOOPBACK ? this.#loopback4 : address
  }
}

/** Whether some packets match both mappings. */
function areForSame(one: CopyMap, other: CopyMap): boolean {
  if (one.sourcePort !== other.sourcePort || isIpv6(one.targetAddress) !== isIpv6(other.targetAddress)) return false
  return one.sourceAddress === other.sourceAddress || one.sourceAddress === 0 || other.sourceAddress === 0
}

/** @returns 0 if the address is IPv6 and the address book is full */
function addressIn({ ranges }: Pool, choice: number): number {
  let rest = choice
  for (const range of ranges) {
    if (rest < range.count)
      return isIpv6(range.first) ? addressBook.beyond(range.first, rest) : (range.first + rest) | 0
    rest -= range.count
  }
  return 0
}
