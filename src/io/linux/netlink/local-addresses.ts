/**
 * Reads from the kernel's routing tables for which addresses this host accepts packets: routes of type local or anycast
 * in any table, so also prefixes (AnyIP, TPROXY) and addresses of a VRF. rtnetlink(7)
 */
import type { OwnAddresses } from '../../../core/selection/own-addresses.ts'
import { AddressBook, addressBook, isIpv6 } from '../../../wire/address-book.ts'
import { i32, int32At, u8 } from '../../../wire/bytes.ts'
import { setOption } from '../sockets/socket.ts'
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

const SOL_NETLINK = 270
/** The kernel applies the fields of a dump request as a filter; since Linux 4.20. */
const NETLINK_GET_STRICT_CHK = 12
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const RTM_NEWROUTE = 24
const RTM_GETROUTE = 26
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
const HEADER_LENGTH = 16
const ROUTE_LENGTH = 12
const RTA_DST = 1
const RTN_LOCAL = 2
const RTN_ANYCAST = 4
/** Offsets in a message: family, length of the destination, type of the route. */
const PREFIX_AT = HEADER_LENGTH + 1
const TYPE_AT = HEADER_LENGTH + 7
const REPLY_LENGTH = 32_768
const REFRESH_MS = 1000
/** The next reading waits at least this many times as long as the last one took: it costs at most 1 % of a core. */
const PAUSE_FACTOR = 100

/** A range of addresses, in network byte order. */
export interface Prefix {
  readonly bytes: Uint8Array
  /** In bits. */
  readonly length: number
}

/** Reads the prefixes for which this host accepts packets. @throws Error if the kernel does not tell */
export function readLocalPrefixes(): readonly Prefix[] {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)
  if (fd < 0) throw refusal(errno())
  try {
    // Older kernels send all routes, which are filtered below.
    setOption(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    const found: Prefix[] = []
    for (const family of [AF_INET, AF_INET6]) {
      for (const type of [RTN_LOCAL, RTN_ANYCAST]) dump(fd, family, type, found)
    }
    return found
  } finally {
    close(fd)
  }
}

function refusal(error: number): Error {
  return new Error(`cannot read the addresses of this host: ${errnoMessage(error)}`)
}

function dump(fd: number, family: number, type: number, found: Prefix[]): void {
  const request = allocate(HEADER_LENGTH + ROUTE_LENGTH)
  request.words.set([HEADER_LENGTH + ROUTE_LENGTH, RTM_GETROUTE | ((NLM_F_REQUEST | NLM_F_DUMP) << 16)])
  request.bytes[HEADER_LENGTH] = family
  request.bytes[TYPE_AT] = type
  if (send(fd, request.address, HEADER_LENGTH + ROUTE_LENGTH, 0) < 0) throw refusal(errno())
  const { words, bytes, address } = allocate(REPLY_LENGTH)
  for (;;) {
    // The kernel writes the next part of a dump within the call.
    const length = recv(fd, address, REPLY_LENGTH, MSG_DONTWAIT)
    if (length < HEADER_LENGTH) throw refusal(errno())
    for (let at = 0; at + HEADER_LENGTH <= length; ) {
      const messageLength = int32At(words, at >>> 2)
      const message = int32At(words, (at >>> 2) + 1) & 0xffff
      if (message === NLMSG_DONE) return
      if (message === NLMSG_ERROR) {
        const error = -int32At(words, (at + HEADER_LENGTH) >>> 2)
        // A host without IPv6 has no routes of it.
        if (family === AF_INET6) return
        throw refusal(error)
      }
      if (message === RTM_NEWROUTE && u8(bytes, at + TYPE_AT) === type) {
        found.push(prefixOf(words, bytes, at, at + messageLength, family))
      }
      if (messageLength < HEADER_LENGTH) break
      at += (messageLength + 3) & ~3
    }
  }
}

/** The destination of a route. One of length 0 has none in the message. */
function prefixOf(words: Int32Array, bytes: Uint8Array, at: number, end: number, family: number): Prefix {
  const size = family === AF_INET6 ? 16 : 4
  const addressAt = findAttribute(words, at + HEADER_LENGTH + ROUTE_LENGTH, end, RTA_DST, size)
  if (addressAt === 0) return { bytes: new Uint8Array(size), length: 0 }
  return { bytes: bytes.slice(addressAt, addressAt + size), length: u8(bytes, at + PREFIX_AT) }
}

/** A prefix of IPv4 as numbers. */
interface Net4 {
  readonly network: number
  readonly mask: number
}

/** The addresses of this host, read again about once a second. */
export class LocalAddresses implements OwnAddresses {
  #hosts4 = new Set<number>()
  #nets4: readonly Net4[] = []
  /** A book of its own: addresses that are in it are this host's. */
  #hosts6 = new AddressBook()
  #nets6: readonly Prefix[] = []
  #refreshAt = 0
  readonly #scratch = new Uint8Array(16)
  readonly #read: () => readonly Prefix[]

  /** @throws Error if the kernel does not tell */
  constructor(read: () => readonly Prefix[] = readLocalPrefixes) {
    this.#read = read
    this.#take(read())
  }

  has(address: number): boolean {
    if (!isIpv6(address)) return this.#has4(address)
    addressBook.put(address, this.#scratch, 0)
    return this.#has6(this.#scratch, 0)
  }

  hasAt(bytes: Uint8Array, at: number, version: 4 | 6): boolean {
    return version === 4 ? this.#has4(i32(bytes, at)) : this.#has6(bytes, at)
  }

  refresh(now: number): void {
    if (now < this.#refreshAt) return
    const before = performance.now()
    try {
      this.#take(this.#read())
    } catch {
      // The kernel is short of memory: what was read before stays in force until the next time.
    }
    this.#refreshAt = now + Math.max(REFRESH_MS, (performance.now() - before) * PAUSE_FACTOR)
  }

  #has4(address: number): boolean {
    if (this.#hosts4.has(address)) return true
    for (const { network, mask } of this.#nets4) if ((address & mask) === network) return true
    return false
  }

  #has6(bytes: Uint8Array, at: number): boolean {
    if (this.#hosts6.find(bytes, at) !== 0) return true
    for (const prefix of this.#nets6) if (isWithin(bytes, at, prefix)) return true
    return false
  }

  #take(prefixes: readonly Prefix[]): void {
    const hosts4 = new Set<number>()
    const nets4: Net4[] = []
    const hosts6 = new AddressBook()
    const nets6: Prefix[] = []
    for (const prefix of prefixes) {
      const { bytes, length } = prefix
      if (bytes.length === 4 && length === 32) hosts4.add(i32(bytes, 0))
      else if (bytes.length === 4) nets4.push({ network: i32(bytes, 0), mask: length === 0 ? 0 : -1 << (32 - length) })
      else if (length === 128) hosts6.intern(bytes, 0)
      else nets6.push(prefix)
    }
    this.#hosts4 = hosts4
    this.#nets4 = nets4
    this.#hosts6 = hosts6
    this.#nets6 = nets6
  }
}

function isWithin(bytes: Uint8Array, at: number, prefix: Prefix): boolean {
  const whole = prefix.length >>> 3
  for (let index = 0; index < whole; index++) {
    if (u8(bytes, at + index) !== u8(prefix.bytes, index)) return false
  }
  const rest = prefix.length & 7
  return rest === 0 || (u8(bytes, at + whole) ^ u8(prefix.bytes, whole)) >>> (8 - rest) === 0
}
