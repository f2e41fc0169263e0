/** What the kernel knows about the way to an address: its route, and the MAC of the next hop. rtnetlink(7) */
import { addressOctets } from '../../../wire/address.ts'
import { int32At } from '../../../wire/bytes.ts'
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  close,
  errno,
  errnoMessage,
  MSG_DONTWAIT,
  recv,
  SOCK_CLOEXEC,
  SOCK_RAW,
  send,
  socket
} from '../system/libc.ts'
import { allocate } from '../system/memory.ts'

/** The next hop on the way to a target. */
export interface Hop {
  readonly deviceIndex: number
  /** 4 or 16 octets: of the target itself, or of a gateway. */
  readonly address: Uint8Array
}

/** rtnetlink.h, neighbour.h; all in the machine's byte order. */
const RTM_NEWROUTE = 24
const RTM_GETROUTE = 26
const RTM_NEWNEIGH = 28
const RTM_GETNEIGH = 30
const NLM_F_REQUEST = 1
const NLM_F_CREATE = 0x400
const HEADER_LENGTH = 16
/** rtmsg and ndmsg alike. */
const BODY_LENGTH = 12
/** An attribute begins with its length and type; there may be an address, and the device's. */
const ATTRIBUTE_HEADER = 4
const DEVICE_ATTRIBUTE = ATTRIBUTE_HEADER + 4
const REQUEST_MAX = HEADER_LENGTH + BODY_LENGTH + ATTRIBUTE_HEADER + 16 + DEVICE_ATTRIBUTE
const RTN_UNICAST = 1
const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_METRICS = 8
const RTA_VIA = 18
const RTA_ENCAP = 22
const RTAX_MTU = 2
const NDA_DST = 1
const NDA_LLADDR = 2
/** REACHABLE, STALE, DELAY, PROBE, PERMANENT: the MAC may be used. */
const NUD_VALID = 0x9e
const NUD_STALE = 0x04
const NUD_FAILED = 0x20
/** As if a packet went to it: the kernel asks for its MAC, or makes sure of it. */
const NTF_USE = 1
const ANSWER_LENGTH = 4096
const MAC_LENGTH = 6

function familyOf(octets: Uint8Array): number {
  return octets.length === 16 ? AF_INET6 : AF_INET
}

export class Rtnetlink {
  readonly #fd: number
  readonly #request = allocate(REQUEST_MAX)
  readonly #answer = allocate(ANSWER_LENGTH)

  /** @throws Error where the kernel has no rtnetlink */
  constructor() {
    this.#fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
    if (this.#fd < 0) throw new Error(`cannot read the kernel's routes: ${errnoMessage(errno())}`)
  }

  /**
   * @param deviceIndex only the routes of this device; where it has none an IPv4 target is taken to be on its link; 0: of any
   * @returns undefined where nothing can be sent to on a device: no route, this host itself, a tunnel of routes
   */
  hopTo(target: number, deviceIndex = 0): Hop | undefined {
    const octets = addressOctets(target)
    if (!this.#hasRoute(octets, deviceIndex) || this.#answer.bytes[HEADER_LENGTH + 7] !== RTN_UNICAST) return undefined
    const deviceAt = this.#attribute(RTA_OIF)
    if (deviceAt === 0 || this.#attribute(RTA_VIA) > 0 || this.#attribute(RTA_ENCAP) > 0) return undefined
    const gatewayAt = this.#attribute(RTA_GATEWAY, octets.length)
    const address = gatewayAt === 0 ? octets : this.#answer.bytes.slice(gatewayAt, gatewayAt + octets.length)
    return { deviceIndex: int32At(this.#answer.words, deviceAt >>> 2), address }
  }

  /** As `hopTo`. @returns the device of the route to an address, this host's own included, and the route's own MTU, 0: none */
  wayTo(target: number, onDevice = 0): { readonly deviceIndex: number; readonly mtu: number } | undefined {
    const deviceAt = this.#hasRoute(addressOctets(target), onDevice) ? this.#attribute(RTA_OIF) : 0
    if (deviceAt === 0) return undefined
    const deviceIndex = int32At(this.#answer.words, deviceAt >>> 2)
    const metricsAt = this.#attribute(RTA_METRICS)
    const mtuAt = metricsAt === 0 ? 0 : this.#attributeIn(metricsAt, this.#endOf(metricsAt), RTAX_MTU)
    return { deviceIndex, mtu: mtuAt === 0 ? 0 : int32At(this.#answer.words, mtuAt >>> 2) }
  }

  /** @param target 4 or 16 octets */
  #hasRoute(target: Uint8Array, deviceIndex: number): boolean {
    this.#ask(RTM_GETROUTE, 0, familyOf(target) | ((target.length * 8) << 8), 0, 0, RTA_DST, target, deviceIndex)
    return this.#hasAnswer(RTM_NEWROUTE)
  }

  /** @returns the six octets of the hop's MAC, or undefined while the kernel does not know it */
  macOf(hop: Hop): Uint8Array | undefined {
    const state = this.#stateOf(hop)
    if ((state & NUD_VALID) === 0) return undefined
    const macAt = this.#attribute(NDA_LLADDR, MAC_LENGTH)
    return macAt === 0 ? undefined : this.#answer.bytes.slice(macAt, macAt + MAC_LENGTH)
  }

  /**
   * Lets the kernel find out, or make sure of, the MAC of a hop where nothing else does, since what is sent through the
   * link layer is no use of it. Without CAP_NET_ADMIN nothing happens. Only a stale or missing entry is touched: of a
   * permanent one, measured, this would make none.
   */
  makeSure(hop: Hop): void {
    const state = this.#stateOf(hop)
    if (state !== 0 && (state & (NUD_STALE | NUD_FAILED)) === 0) return
    this.#ask(RTM_NEWNEIGH, NLM_F_CREATE, familyOf(hop.address), hop.deviceIndex, NTF_USE << 16, NDA_DST, hop.address)
  }

  close(): void {
    close(this.#fd)
  }

  /** NUD_ of the hop, whose entry is the answer at hand then; 0 if there is none. */
  #stateOf(hop: Hop): number {
    this.#ask(RTM_GETNEIGH, 0, familyOf(hop.address), hop.deviceIndex, 0, NDA_DST, hop.address)
    return this.#hasAnswer(RTM_NEWNEIGH) ? int32At(this.#answer.words, (HEADER_LENGTH + 8) >>> 2) & 0xffff : 0
  }

  /** Sends a request of a body of three words, one attribute that is an address, and RTA_OIF unless it is 0. */
  #ask(
    type: number,
    flags: number,
    word0: number,
    word1: number,
    word2: number,
    attribute: number,
    to: Uint8Array,
    deviceIndex = 0
  ): void {
    while (recv(this.#fd, this.#answer.address, ANSWER_LENGTH, MSG_DONTWAIT) > 0) {} // what nobody waited for
    const { words, bytes, address } = this.#request
    const attributeLength = ATTRIBUTE_HEADER + to.length
    const deviceAt = HEADER_LENGTH + BODY_LENGTH + attributeLength
    const length = deviceAt + (deviceIndex === 0 ? 0 : DEVICE_ATTRIBUTE)
    words.set([length, type | ((NLM_F_REQUEST | flags) << 16), 0, 0])
    words.set([word0, word1, word2, attributeLength | (attribute << 16)], HEADER_LENGTH >>> 2)
    bytes.set(to, deviceAt - to.length)
    words.set([DEVICE_ATTRIBUTE | (RTA_OIF << 16), deviceIndex], deviceAt >>> 2)
    send(this.#fd, address, length, 0)
  }

  /** The kernel has answered by the time that `send` returns. */
  #hasAnswer(type: number): boolean {
    const length = recv(this.#fd, this.#answer.address, ANSWER_LENGTH, MSG_DONTWAIT)
    return length >= HEADER_LENGTH + BODY_LENGTH && (int32At(this.#answer.words, 1) & 0xffff) === type
  }

  /** Where the value of an attribute begins; 0 if the answer has none of this length. */
  #attribute(type: number, length = 0): number {
    const end = Math.min(int32At(this.#answer.words, 0), ANSWER_LENGTH)
    return this.#attributeIn(HEADER_LENGTH + BODY_LENGTH, end, type, length)
  }

  /** Where the attribute ends whose value begins at `valueAt`. */
  #endOf(valueAt: number): number {
    return valueAt - 4 + (int32At(this.#answer.words, (valueAt - 4) >>> 2) & 0xffff)
  }

  #attributeIn(from: number, end: number, type: number, length = 0): number {
    const { words } = this.#answer
    for (let at = from; at + 4 <= end; ) {
      const word = int32At(words, at >>> 2)
      const attributeLength = word & 0xffff
      if (attributeLength < 4) return 0
      if (((word >>> 16) & 0x3fff) === type && (length === 0 || attributeLength === 4 + length)) return at + 4
      at += (attributeLength + 3) & ~3
    }
    return 0
  }
}
