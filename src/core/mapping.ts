/** Which connections are copied, where to, and as whom (`-x`, `-c`, `-H`). */

/** One `-x`: what arrives for `sourceAddress:sourcePort` is copied to `targetAddress:targetPort`. */
export interface CopyMap {
  /** 0: any address of this host. */
  readonly sourceAddress: number
  readonly sourcePort: number
  readonly targetAddress: number
  readonly targetPort: number
}

/** A range of addresses to use for clients at the target: `count` addresses from `first` on. */
export interface AddressRange {
  readonly first: number
  readonly count: number
}

const LOOPBACK = 0x7f000001

export class Mapping {
  readonly maps: readonly CopyMap[]
  readonly #ranges: readonly AddressRange[]
  readonly #rangesTotal: number
  readonly #loopbackAddress: number
  /** By port: 1 + the first map for it; 0: none. */
  readonly #byPort = new Uint8Array(65536)

  /** @param loopbackAddress stands in for 127.0.0.1 (`-H`); 0: nothing does */
  constructor(maps: readonly CopyMap[], ranges: readonly AddressRange[] = [], loopbackAddress = 0) {
    this.maps = maps
    this.#ranges = ranges
    this.#rangesTotal = ranges.reduce((total, range) => total + range.count, 0)
    this.#loopbackAddress = loopbackAddress
    for (let index = maps.length - 1; index >= 0; index--) {
      const map = maps[index]
      if (map !== undefined) this.#byPort[map.sourcePort] = index + 1
    }
  }

  /** How many addresses there are to choose from for one client. */
  get addressCount(): number {
    return Math.max(1, this.#rangesTotal)
  }

  /** Whether some packets are copied to several targets. */
  get isFanOut(): boolean {
    return this.maps.some(
      ({ sourceAddress, sourcePort }, index) => this.#next(sourceAddress, sourcePort, index + 1) >= 0
    )
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
    if (this.#rangesTotal === 0) return address === LOOPBACK && this.#loopbackAddress ? this.#loopbackAddress : address
    const choice = ((Math.imul(address, 0x9e3779b1) >>> 0) + copy) % this.#rangesTotal
    const chosen = this.#address(choice)
    return chosen === targetAddress ? this.#address((choice + 1) % this.#rangesTotal) : chosen
  }

  /** @returns the index of the first map from `from` on for this address and port; −1: none */
  #next(address: number, port: number, from: number): number {
    const first = this.#byPort[port] ?? 0
    for (let index = Math.max(from, first - 1); first > 0 && index < this.maps.length; index++) {
      const map = this.maps[index]
      if (map === undefined || map.sourcePort !== port) continue
      if (map.sourceAddress === 0 || map.sourceAddress === address) return index
    }
    return -1
  }

  #address(choice: number): number {
    let rest = choice
    for (const range of this.#ranges) {
      if (rest < range.count) return (range.first + rest) | 0
      rest -= range.count
    }
    return 0
  }
}
