/** The next hop to each target, as link-layer frames need it: device and Ethernet header. */
import type { TargetPath } from '../../../ports.ts'
import { addressBytes, addressFrom, formatAddress } from '../../../wire/address.ts'
import { isIpv6 } from '../../../wire/address-book.ts'
import { deviceName, findDevice, hardwareOf } from '../netlink/devices.ts'
import { type Hop, Rtnetlink } from '../netlink/rtnetlink.ts'
import { PathMtus } from './path-mtus.ts'

const ARPHRD_ETHER = 1
const MAC_LENGTH = 6
const ETHERTYPE_IPV4 = Uint8Array.of(8, 0)
const ETHERTYPE_IPV6 = Uint8Array.of(0x86, 0xdd)
/** Not a device index. */
const GONE = 0x7fffffff

/** The next hop to one target. */
export class Way {
  readonly target: number
  readonly isIpv6: boolean
  hop: Hop | undefined
  /** The Ethernet header for the target, while the next hop's MAC is known. */
  header: Uint8Array | undefined
  /** The MAC was given, so it need not be resolved. */
  isGiven = false
  canSegment = true
  /** The last report about it. */
  said = ''
  /** Frames without a MAC since the last refresh; the kernel is asked at the first, second, fourth, … of them. */
  misses = 0

  constructor(target: number) {
    this.target = target
    this.isIpv6 = isIpv6(target)
  }
}

/** Device and MACs that the operator gave. */
export interface GivenNextHop {
  /** The device of all frames; undefined: by route. */
  readonly device: string | undefined
  readonly macs: readonly TargetMacs[]
}

/** MACs of frames to a target, instead of those that the kernel knows. */
export interface TargetMacs {
  readonly targetAddress: number
  /** Source MAC; undefined: that of the device. */
  readonly from: Uint8Array | undefined
  /** Destination MAC; undefined: that of the next hop. */
  readonly to: Uint8Array | undefined
}

const NOTHING_GIVEN: GivenNextHop = { device: undefined, macs: [] }

/** Called when the path to a target is found or lost: the target, and how packets are sent. */
export type WayReport = (target: string, way: string) => void

/** Routes and neighbours of each target, read from the kernel when it is first sent to, and in `refresh`. */
export class NextHops {
  readonly #routes = new Rtnetlink()
  readonly #mtus = new PathMtus(this.#routes, () => this.#deviceIndex)
  readonly #ways: Way[] = []
  readonly #otherwise: string
  readonly #report: WayReport
  readonly #given: GivenNextHop
  #last: Way | undefined

  /** @param otherwise how packets are sent without a known next hop, in words */
  constructor(otherwise: string, report: WayReport, given: GivenNextHop = NOTHING_GIVEN) {
    this.#otherwise = otherwise
    this.#report = report
    this.#given = given
  }

  /** Looks up every next hop again, and makes the kernel keep its MAC up to date. */
  refresh(): void {
    this.#mtus.refresh()
    for (const way of this.#ways) {
      way.misses = 0
      this.#lookUp(way)
      if (way.hop !== undefined && !way.isGiven) this.#routes.makeSure(way.hop)
      this.#tell(way)
    }
  }

  /**
   * Makes the kernel resolve the MAC of a target before anything is sent there: the kernel queues few packets
   * meanwhile, and later packets may overtake them.
   */
  prepare(target: number): void {
    const way = this.to(target)
    if (way.hop !== undefined && way.header === undefined) this.#routes.makeSure(way.hop)
  }

  /** The next hop of a frame to send; if it is unknown, the kernel is asked again now and then. */
  toSend(target: number): Way {
    const way = this.to(target)
    if (way.header === undefined && this.#isWorthAsking(way)) this.#lookUp(way)
    return way
  }

  to(target: number): Way {
    if (this.#last?.target === target) return this.#last
    let way = this.#ways.find((one) => one.target === target)
    if (way === undefined) {
      way = new Way(target)
      this.#ways.push(way)
      this.#lookUp(way)
    }
    this.#last = way
    return way
  }

  /** What the kernel knows of the way to a target now. */
  pathTo(target: number): TargetPath {
    const way = this.to(target)
    const { hop } = way
    if (hop === undefined) {
      const isKnown = this.#routes.wayTo(target, this.#deviceIndex) !== undefined
      return { state: isKnown ? 'unknown' : 'none', hop: '' }
    }
    const text = `${formatAddress(addressFrom(hop.address))} on ${deviceName(hop.deviceIndex)}`
    if (way.isGiven || this.#routes.macOf(hop) !== undefined) return { state: 'known', hop: text }
    // Other devices than Ethernet have no MACs.
    return { state: ownMac(hop.deviceIndex) === undefined ? 'unknown' : 'unresolved', hop: text }
  }

  /** The path MTU to a target, in bytes. */
  mtu(target: number): number {
    return this.#mtus.to(target)
  }

  close(): void {
    this.#routes.close()
  }

  /** Index of the given device, 0: none was given. A device that disappeared may return with another index. */
  get #deviceIndex(): number {
    const { device } = this.#given
    return device === undefined ? 0 : findDevice(device) || GONE
  }

  #lookUp(way: Way): void {
    const given = this.#given.macs.find(({ targetAddress }) => targetAddress === way.target)
    way.isGiven = given?.to !== undefined
    way.hop = this.#hopOf(way)
    const mac = way.hop === undefined ? undefined : (given?.to ?? this.#routes.macOf(way.hop))
    const own = way.hop === undefined || mac === undefined ? undefined : ownMac(way.hop.deviceIndex)
    const from = own === undefined ? undefined : (given?.from ?? own)
    const etherType = way.isIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4
    way.header = mac === undefined || from === undefined ? undefined : Buffer.concat([mac, from, etherType])
  }

  /** With device and MAC given, no route is needed. */
  #hopOf({ target, isGiven }: Way): Hop | undefined {
    const deviceIndex = this.#deviceIndex
    return isGiven && deviceIndex > 0
      ? { deviceIndex, address: addressBytes(target) }
      : this.#routes.hopTo(target, deviceIndex)
  }

  #isWorthAsking(way: Way): boolean {
    way.misses += 1
    return (way.misses & (way.misses - 1)) === 0
  }

  #tell(way: Way): void {
    const { hop, header } = way
    const words =
      hop !== undefined && header !== undefined
        ? `device ${deviceName(hop.deviceIndex)}, MAC ${macText(header)}`
        : this.#otherwise
    if (words === way.said) return
    way.said = words
    this.#report(formatAddress(way.target), words)
  }
}

/** @returns undefined if a device is not Ethernet, or gone */
function ownMac(deviceIndex: number): Uint8Array | undefined {
  try {
    const { type, mac } = hardwareOf(deviceName(deviceIndex))
    return type === ARPHRD_ETHER ? mac : undefined
  } catch {
    return undefined // it disappeared between the two requests: the next refresh finds another path
  }
}

/** The destination MAC of an Ethernet header. */
function macText(header: Uint8Array): string {
  return [...header.subarray(0, MAC_LENGTH)].map((octet) => octet.toString(16).padStart(2, '0')).join(':')
}
