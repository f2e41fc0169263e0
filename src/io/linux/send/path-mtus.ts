/** Octets of the largest packet on the way to each target: of the device there, or of the route where that is less. */
import { isIpv6 } from '../../../wire/address-book.ts'
import { deviceName, mtuOf } from '../netlink/devices.ts'
import type { Rtnetlink } from '../netlink/rtnetlink.ts'

/** What an IPv4 packet can have at most, and a super-packet of either version; lo takes one more. */
const LENGTH_MAX = 0xffff

export class PathMtus {
  readonly #routes: Rtnetlink
  readonly #deviceIndex: () => number
  readonly #byTarget = new Map<number, number>()

  /** @param routes stays its owner's; @param deviceIndex which device all packets leave by, 0: as the routes say */
  constructor(routes: Rtnetlink, deviceIndex: () => number = () => 0) {
    this.#routes = routes
    this.#deviceIndex = deviceIndex
  }

  /** @returns 0 where there is no way, or its device is gone */
  to(target: number): number {
    const known = this.#byTarget.get(target)
    if (known !== undefined) return known
    const found = this.#find(target)
    this.#byTarget.set(target, found)
    return found
  }

  /** Looks anew, from the next question on. */
  refresh(): void {
    this.#byTarget.clear()
  }

  #find(target: number): number {
    const way = this.#routes.wayTo(target, this.#deviceIndex())
    if (way === undefined) return 0
    try {
      const mtu = mtuOf(deviceName(way.deviceIndex), isIpv6(target) ? 6 : 4)
      return Math.min(mtu, way.mtu || mtu, LENGTH_MAX)
    } catch {
      return 0 // it went away between the two questions
    }
  }
}
