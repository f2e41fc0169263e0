/** Which connections are copied, where to, and as whom (`-x`, `-c`, `-H`). */
import { addressBook, isIpv6 } from '../../wire/address-book.ts'

/** One `-x`: what arrives for `sourceAddress:sourcePort` is copied to `targetAddress:targetPort`. */
export interface CopyMap {
  /** 0: any address of this host of the target's version of IP. */
  readonly sourceAddress: number
  readonly sourcePort: number
  readonly targetAddress: number
  readonly targetPort: number
}

/** A range of addresses to use for clients at targets of its version of IP: `count` addresses from `first` on. */
export interface AddressRange {
  readonly first: number
  readonly count: number
}

const LOOPBACK = 0x7f000001
const LOOPBACK_6 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)

/** The ranges of one version of IP. */
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
  readonly #loopbackAddress: number
  /** By port: 1 + the first map for it; 0: none. */
  readonly #byPort = new Uint8Array(65536)

  /** @param loopbackAddress stands in for 127.0.0.1, or ::1 if it is of IPv6 (`-H`); 0: nothing does */
  constructor(maps: readonly CopyMap[], ranges: readonly AddressRange[] = [], loopbackAddress = 0) {
    this.maps = maps
    this.#pool4 = poolOf(ranges.filter((range) => !isIpv6(range.first)))
    this.#pool6 = poolOf(ranges.filter((range) => isIpv6(range.first)))
    this.#loopbackAddress = loopbackAddress
    for (let index = maps.length - 1; index >= 0; index--) {
      const map = maps[index]
      if (map !== undefined) this.#byPort[map.sourcePort] = index + 1
    }
  }

  /** How many addresses there are to choose from for one client at this target. */
  addressCount(targetAddress: number): number {
    return Math.max(1, this.#poolFor(targetAddress).total)
  }

  /** Whether some packets are copied to several targets. */
  get isFanOut(): boolean {
    return this.maps.some((map, index) => this.maps.slice(index + 1).some((other) => areForSame(map, other)))
  }

  /** Whether any map is for packets to this address and port. */
  has(address: number, port: number): boolean {
    return this.#next(address, port, 0) >= 0
  }

  /** @returns the indexes of all maps for packets to this address and port: each wants a copy of its own */
  find(address: number, port: number): readonly number[] {
    const found: number[] = []
    for (let index = this.#next(address, port, 0); index >= 0; index = this.#next(address, port, index + 1)) {
      found.push(index)
    }
    return found
  }

  /**
   * As whom a client appears at a target. The choice depends on the client's address alone, so that one client keeps
   * the address it got, and on the number of the copy (`-n`), so that copies have other addresses where there are
   * several; a target's own address is skipped, since it would answer itself.
   */
  clientAddress(address: number, targetAddress: number, copy = 0): number {
    const pool = this.#poolFor(targetAddress)
    if (pool.total === 0) return this.#isLoopback(address) ? this.#loopbackAddress : address
    const key = isIpv6(address) ? addressBook.hash(address) : Math.imul(address, 0x9e3779b1) >>> 0
    const choice = (key + copy) % pool.total
    const chosen = addressIn(pool, choice)
    return chosen === targetAddress ? addressIn(pool, (choice + 1) % pool.total) : chosen
  }

  /** @returns the index of the first map from `from` on for this address and port; −1: none */
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

  /** Whether `-H` stands in for this address. */
  #isLoopback(address: number): boolean {
    if (this.#loopbackAddress === 0) return false
    if (!isIpv6(this.#loopbackAddress)) return address === LOOPBACK
    return isIpv6(address) && address === addressBook.find(LOOPBACK_6, 0)
  }
}

/** Whether there are packets that both are for. */
function areForSame(one: CopyMap, other: CopyMap): boolean {
  if (one.sourcePort !== other.sourcePort || isIpv6(one.targetAddress) !== isIpv6(other.targetAddress)) return false
  return one.sourceAddress === other.sourceAddress || one.sourceAddress === 0 || other.sourceAddress === 0
}

/** @returns 0 if it is of IPv6 and the book is full */
function addressIn({ ranges }: Pool, choice: number): number {
  let rest = choice
  for (const range of ranges) {
    if (rest < range.count)
      return isIpv6(range.first) ? addressBook.beyond(range.first, rest) : (range.first + rest) | 0
    rest -= range.count
  }
  return 0
}
