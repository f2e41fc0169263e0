/** Asks the kernel for the route to an address and the MAC of the next hop. rtnetlink(7) */
import { addressBytes } from '../../../wire/address.ts'
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
import { findAttribute } from './netlink.ts'

/** The next hop to a target. */
export interface Hop {
  readonly deviceIndex: number
  /** Address of the target itself or of a gateway, 4 or 16 bytes. */
  readonly address: Uint8Array
}

/** rtnetlink.h, neighbour.h; all in host byte order. */
const RTM_NEWROUTE = 24
const RTM_GETROUTE = 26
const RTM_NEWNEIGH = 28
const RTM_GETNEIGH = 30
const NLM_F_REQUEST = 1
const NLM_F_CREATE = 0x400
const HEADER_LENGTH = 16
/** Size of rtmsg and of ndmsg. */
const BODY_LENGTH = 12
/** Sizes of attributes: length and type, an address, a device index. */
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
/** REACHABLE, STALE, DELAY, PROBE, PERMANENT: the MAC is usable. */
const NUD_VALID = 0x9e
const NUD_STALE = 0x04
const NUD_FAILED = 0x20
/** NTF_USE: makes the kernel resolve or confirm the MAC, as if a packet were sent. */
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

  /** @throws Error if the kernel has no rtnetlink */
  constructor() {
    this.#fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
    if (this.#fd < 0) throw new Error(`cannot read the kernel's routes: ${errnoMessage(errno())}`)
  }

  /**
   * @param deviceIndex use only routes of this device, which without a route counts an IPv4 target as on-link; 0: any
   * device
   * @returns undefined if nothing can be sent to it through a device: no route, this host itself, or a route that
   * encapsulates
   */
  hopTo(target: number, deviceIndex = 0): Hop | undefined {
    const octets = addressBytes(target)
    if (!this.#hasRoute(octets, deviceIndex) || this.#answer.bytes[HEADER_LENGTH + 7] !== RTN_UNICAST) return undefined
    const deviceAt = this.#attribute(RTA_OIF)
    if (deviceAt === 0 || this.#attribute(RTA_VIA) > 0 || this.#attribute(RTA_ENCAP) > 0) return undefined
    const gatewayAt = this.#attribute(RTA_GATEWAY, octets.length)
    const address = gatewayAt === 0 ? octets : this.#answer.bytes.slice(gatewayAt, gatewayAt + octets.length)
    return { deviceIndex: int32At(this.#answer.words, deviceAt >>> 2), address }
  }

  /**
   * Like `hopTo`, also for this host's own addresses.
   * @returns the device of the route, and the route's own MTU (0: none)
   */
  wayTo(target: number, onDevice = 0): { readonly deviceIndex: number; readonly mtu: number } | undefined {
    const deviceAt = this.#hasRoute(addressBytes(target), onDevice) ? this.#attribute(RTA_OIF) : 0
    if (deviceAt === 0) return undefined
    const deviceIndex = int32At(this.#answer.words, deviceAt >>> 2)
    const metricsAt = this.#attribute(RTA_METRICS)
    const mtuAt = metricsAt === 0 ? 0 : findAttribute(this.#answer.words, metricsAt, this.#endOf(metricsAt), RTAX_MTU)
    return { deviceIndex, mtu: mtuAt === 0 ? 0 : int32At(this.#answer.words, mtuAt >>> 2) }
  }

  /** @param target 4 or 16 bytes */
  #hasRoute(target: Uint8Array, deviceIndex: number): boolean {
    this.#ask(RTM_GETROUTE, 0, familyOf(target) | ((target.length * 8) << 8), 0, 0, RTA_DST, target, deviceIndex)
    return this.#hasAnswer(RTM_NEWROUTE)
  }

  /** @returns the 6 bytes of the hop's MAC; undefined while the kernel does not know it */
  macOf(hop: Hop): Uint8Array | undefined {
    const state = this.#stateOf(hop)
    if ((state & NUD_VALID) === 0) return undefined
    const macAt = this.#attribute(NDA_LLADDR, MAC_LENGTH)
    return macAt === 0 ? undefined : this.#answer.bytes.slice(macAt, macAt + MAC_LENGTH)
  }

  /**
   * Makes the kernel resolve or confirm the MAC of a hop. Packets sent through the link layer do not cause that.
   * Without CAP_NET_ADMIN this has no effect. Only stale or missing entries are touched: a permanent entry would lose
   * that state (measured).
   */
  makeSure(hop: Hop): void {
    const state = this.#stateOf(hop)
    if (state !== 0 && (state & (NUD_STALE | NUD_FAILED)) === 0) return
    this.#ask(RTM_NEWNEIGH, NLM_F_CREATE, familyOf(hop.address), hop.deviceIndex, NTF_USE << 16, NDA_DST, hop.address)
  }

  close(): void {
    close(this.#fd)
  }

  /** NUD_ state of the hop, whose entry is then the current reply; 0 if there is none. */
  #stateOf(hop: Hop): number {
    this.#ask(RTM_GETNEIGH, 0, familyOf(hop.address), hop.deviceIndex, 0, NDA_DST, hop.address)
    return this.#hasAnswer(RTM_NEWNEIGH) ? int32At(this.#answer.words, (HEADER_LENGTH + 8) >>> 2) & 0xffff : 0
  }

  /** Sends a request: a body of three words, one address attribute, and RTA_OIF unless it is 0. */
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
    while (recv(this.#fd, this.#answer.address, ANSWER_LENGTH, MSG_DONTWAIT) > 0) {} // replies that nobody waited for
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

  /** The kernel has replied by the time `send` returns. */
  #hasAnswer(type: number): boolean {
    const length = recv(this.#fd, this.#answer.address, ANSWER_LENGTH, MSG_DONTWAIT)
    return length >= HEADER_LENGTH + BODY_LENGTH && (int32At(this.#answer.words, 1) & 0xffff) === type
  }

  /** Offset of an attribute's value; 0 if the reply has none of this length. */
  #attribute(type: number, length = 0): number {
    const end = Math.min(int32At(this.#answer.words, 0), ANSWER_LENGTH)
    return findAttribute(this.#answer.words, HEADER_LENGTH + BODY_LENGTH, end, type, length)
  }

  /** End of the attribute whose value starts at `valueAt`. */
  #endOf(valueAt: number): number {
    return valueAt - 4 + (int32At(this.#answer.words, (valueAt - 4) >>> 2) & 0xffff)
  }
}
