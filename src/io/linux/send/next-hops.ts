/** The ways to the targets, as frames of the link layer need them: device, and an Ethernet header. */
import { addressOctets, formatAddress } from '../../../wire/address.ts'
import { isIpv6 } from '../../../wire/address-book.ts'
import { deviceName, findDevice, hardwareOf } from '../netlink/devices.ts'
import { type Hop, Rtnetlink } from '../netlink/rtnetlink.ts'
import { PathMtus } from './path-mtus.ts'

const ARPHRD_ETHER = 1
const MAC_LENGTH = 6
const ETHERTYPE_IPV4 = Uint8Array.of(8, 0)
const ETHERTYPE_IPV6 = Uint8Array.of(0x86, 0xdd)
/** The index of no device. */
const GONE = 0x7fffffff

/** How packets come to one target. */
export class Way {
  readonly target: number
  readonly isIpv6: boolean
  hop: Hop | undefined
  /** The Ethernet header of packets to it, while the MAC of the next hop is known. */
  header: Uint8Array | undefined
  /** Its MAC was given: nobody has to find it. */
  isGiven = false
  canSegment = true
  /** What was last said of it. */
  said = ''
  /** Frames that found no MAC since the last refresh: the kernel is asked at the first, second, fourth, … of them. */
  misses = 0

  constructor(target: number) {
    this.target = target
    this.isIpv6 = isIpv6(target)
  }
}

/** What an operator has said of the ways. */
export interface GivenNextHop {
  /** The device that all frames leave by; undefined: as the routes say. */
  readonly device: string | undefined
  readonly macs: readonly TargetMacs[]
}

/** MACs of frames to a target, in place of those that the kernel knows. */
export interface TargetMacs {
  readonly targetAddress: number
  /** Who the frames are from; undefined: the device. */
  readonly from: Uint8Array | undefined
  /** Who they are for; undefined: the next hop. */
  readonly to: Uint8Array | undefined
}

const NOTHING_GIVEN: GivenNextHop = { device: undefined, macs: [] }

/** What is told of the way to a target when it is found or lost: to whom, and how packets go there. */
export type WayReport = (target: string, way: string) => void

/** What the kernel's routes and neighbours say of each target, asked when it is first sent to, and in `refresh`. */
export class NextHops {
  readonly #routes = new Rtnetlink()
  readonly #mtus = new PathMtus(this.#routes, () => this.#deviceIndex)
  readonly #ways: Way[] = []
  readonly #otherwise: string
  readonly #report: WayReport
  readonly #given: GivenNextHop
  #last: Way | undefined

  /** @param otherwise how packets go, in words, to a target whose next hop is not known */
  constructor(otherwise: string, report: WayReport, given: GivenNextHop = NOTHING_GIVEN) {
    this.#otherwise = otherwise
    this.#report = report
    this.#given = given
  }

  /** Each way is looked up anew, and the kernel made to keep its MAC up to date. */
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
   * Lets the kernel find the MAC for a target before anything is sent there: what waits for it has little room in the
   * kernel, and what is sent after it may overtake that.
   */
  prepare(target: number): void {
    const way = this.to(target)
    if (way.hop !== undefined && way.header === undefined) this.#routes.makeSure(way.hop)
  }

  /** The way of a frame that is about to be sent: where there is none yet, the kernel is asked again now and then. */
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

  /** Octets of the largest packet on the way to a target. */
  mtu(target: number): number {
    return this.#mtus.to(target)
  }

  close(): void {
    this.#routes.close()
  }

  /** Of the device that was given, 0: none was. One that is gone may come back as another. */
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

  /** With device and MAC nothing is asked of the routes. */
  #hopOf({ target, isGiven }: Way): Hop | undefined {
    const deviceIndex = this.#deviceIndex
    return isGiven && deviceIndex > 0
      ? { deviceIndex, address: addressOctets(target) }
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

/** @returns undefined where a device is not Ethernet, or gone */
function ownMac(deviceIndex: number): Uint8Array | undefined {
  try {
    const { type, mac } = hardwareOf(deviceName(deviceIndex))
    return type === ARPHRD_ETHER ? mac : undefined
  } catch {
    return undefined // it went away between the two questions: the next refresh finds another way
  }
}

/** Of the receiver of an Ethernet header. */
function macText(header: Uint8Array): string {
  return [...header.subarray(0, MAC_LENGTH)].map((octet) => octet.toString(16).padStart(2, '0')).join(':')
}
