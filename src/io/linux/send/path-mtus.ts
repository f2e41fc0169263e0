/** The MTU towards each target, in bytes: that of the device, or of the route if it is smaller. */
import { isIpv6 } from '../../../wire/address-book.ts'
import { deviceName, mtuOf } from '../netlink/devices.ts'
import type { Rtnetlink } from '../netlink/rtnetlink.ts'

/** Largest IPv4 packet, and largest super-packet of either version; lo allows one byte more. */
const LENGTH_MAX = 0xffff

export class PathMtus {
  readonly #routes: Rtnetlink
  readonly #deviceIndex: () => number
  readonly #byTarget = new Map<number, number>()

  /** @param routes owned by the caller @param deviceIndex device of all packets, 0: by route */
  constructor(routes: Rtnetlink, deviceIndex: () => number = () => 0) {
    this.#routes = routes
    this.#deviceIndex = deviceIndex
  }

  /** @returns 0 without a route, or if its device is gone */
  to(target: number): number {
    const known = this.#byTarget.get(target)
    if (known !== undefined) return known
    const found = this.#find(target)
    this.#byTarget.set(target, found)
    return found
  }

  /** Forgets cached values. */
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
      return 0 // it disappeared between the two requests
    }
  }
}
