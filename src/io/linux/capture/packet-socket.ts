/** Opens an AF_PACKET socket with a receive ring, so that no packet gets in that the filter did not pass. packet(7) */
import { OperatorError } from '../../../errors.ts'
import type { FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { deviceIndex } from '../netlink/devices.ts'
import { getOption, setOption, setReceiveBuffer } from '../sockets/socket.ts'
import {
  AF_PACKET,
  bind,
  close,
  Errno,
  errno,
  errnoMessage,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_PACKET,
  SOL_SOCKET,
  setsockopt,
  socket
} from '../system/libc.ts'
import { allocate, type Mapping, mapDescriptor } from '../system/memory.ts'
import { ANCILLARY, ifAll, LOAD_BYTE, load, NOTHING, REJECT } from './filter-code.ts'

/** What a PacketRing captures, and how. */
export interface PacketRingOptions {
  /** undefined: all devices. */
  readonly device: string | undefined
  /** What the filter finds at octet 0: the IP header, on any device; or the Ethernet header. */
  readonly link: 'cooked' | 'ethernet'
  readonly filter: FilterProgram
  /** Which packets come, without `isPromiscuous`. Default: IPv4. */
  readonly version?: 4 | 6
  /** How much the ring holds, in MiB. Default 32. */
  readonly ringMegabytes?: number
  /** Octets of a slot, a power of two of at least 128; SLOT_OVERHEAD are the kernel's own. Default 2048. */
  readonly slotLength?: number
  /** Lets the kernel put IPv4 fragments together. Default true. */
  readonly defragment?: boolean
  /**
   * Gives the frames of `device` as it sees them, with their link header, whoever they are for: the device is promiscuous
   * until `close`. Without it: the packets of `version` that this host, or a network behind it, is to have. Default false.
   */
  readonly isPromiscuous?: boolean
  /** Shares the packets with rings that have this `fanoutGroup`. They need the same options. */
  readonly fanoutGroup?: number | undefined
  /**
   * Says which ring of the group takes a packet: the result counts them in the order in which they joined. Octet 0 is the
   * IP header's. Default: by a hash of the flow.
   */
  readonly steering?: FilterProgram | undefined
  /** Captures nothing until `begin`. Default false. */
  readonly isHeld?: boolean
  /** Octets that are wanted of a packet, link header included: to be cut to them is no loss. Default: all. */
  readonly snapLength?: number
}

/** A socket that receives into `ring`; both belong to the caller. */
export interface PacketSocket {
  readonly fd: number
  readonly ring: Mapping
  readonly slotLength: number
  readonly fanoutGroup: number
}

const PACKET_RX_RING = 5
const PACKET_COPY_THRESH = 7
const PACKET_VERSION = 10
const PACKET_FANOUT = 18
const PACKET_FANOUT_DATA = 22
const TPACKET_V2 = 1
const PACKET_FANOUT_HASH = 0
const PACKET_FANOUT_CBPF = 6
const PACKET_FANOUT_FLAG_UNIQUEID = 0x2000
/** Saves the filter the packets that are sent, since Linux 5.15. */
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x4000
const PACKET_FANOUT_FLAG_DEFRAG = 0x8000
const SO_ATTACH_FILTER = 26
/** 0x0800 in network byte order: each packet once, and none of ours. */
const ETH_P_IP_SWAPPED = 0x0008
/** 0x86dd. */
const ETH_P_IPV6_SWAPPED = 0xdd86
/** 0x0003 in network byte order: whatever passes a device, our own packets too, which a filter has to reject. */
const ETH_P_ALL_SWAPPED = 0x0300
const PACKET_ADD_MEMBERSHIP = 1
const PACKET_MR_PROMISC = 1
/** Octets in front of a packet in its slot, at most: header, address, alignment. */
export const SLOT_OVERHEAD = 96
const BLOCK_LENGTH = 0x10000
const MEGABYTE = 0x100000
/** What is larger than a slot waits on the socket: up to so many times the ring's length, each counted twice by the kernel. */
const QUEUE_FACTOR = 4

/** SKF_AD_PKTTYPE: whose a frame is. */
const PACKET_TYPE = ANCILLARY + 4
const PACKET_OUTGOING = 4
const REJECT_SENT = ifAll([[load(LOAD_BYTE, PACKET_TYPE), PACKET_OUTGOING]], REJECT)

/** What a packet has to pass. */
export function programOf({ filter, isPromiscuous }: PacketRingOptions): FilterProgram {
  return isPromiscuous ? [...REJECT_SENT, ...filter] : filter
}

/** What the system said to a step of opening, as what an operator can do. */
function refusal(step: string, error: number): Error {
  const cause = { cause: errnoMessage(error) }
  const message = `cannot ${step}: ${errnoMessage(error)}`
  if (error === Errno.EPERM || error === Errno.EACCES)
    return new OperatorError('no-privilege', message, 'Run as root, or grant CAP_NET_RAW.', cause)
  if (error === Errno.ENOMEM || error === Errno.ENOBUFS)
    return new OperatorError('no-memory', message, 'Use a smaller capture ring: -B.', cause)
  return new Error(message, cause)
}

function check(result: number, step: string): void {
  if (result < 0) throw refusal(step, errno())
}

/** setsockopt(2) with a sock_fprog, and behind it its sock_filters. @returns negative where the kernel refuses it */
function setProgram(fd: number, level: number, option: number, program: FilterProgram): number {
  const block = allocate(16 + 8 * program.length)
  const instructionsAddress = block.address + 16
  block.words[0] = program.length
  block.words[2] = instructionsAddress
  block.words[3] = Math.floor(instructionsAddress / 0x100000000)
  program.forEach(({ code, jt, jf, k }, index) => {
    block.words[4 + 2 * index] = code | (jt << 16) | (jf << 24)
    block.words[5 + 2 * index] = k
  })
  return setsockopt(fd, level, option, block.address, 16)
}

/** From now on only packets that the program passes get in; it takes the place of one that is there. */
export function attachFilter(fd: number, program: FilterProgram): void {
  if (setProgram(fd, SOL_SOCKET, SO_ATTACH_FILTER, program) === 0) return
  throw new OperatorError(
    'bad-filter',
    `the kernel refused the capture filter of ${program.length} instructions: ${errnoMessage(errno())}`,
    'Use a simpler filter; at most 4096 instructions are allowed.'
  )
}

function makeRing(fd: number, options: PacketRingOptions): { ring: Mapping; slotLength: number } {
  const slotLength = options.slotLength ?? 2048
  if (slotLength < 128 || slotLength > BLOCK_LENGTH || (slotLength & (slotLength - 1)) !== 0)
    throw new RangeError(`invalid slot length: ${slotLength} bytes`)
  const blockCount = Math.max(1, Math.round(((options.ringMegabytes ?? 32) * MEGABYTE) / BLOCK_LENGTH))
  const length = blockCount * BLOCK_LENGTH
  check(setOption(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2), 'use TPACKET_V2')
  if ((options.snapLength ?? Number.POSITIVE_INFINITY) > slotLength - SLOT_OVERHEAD) {
    check(setOption(fd, SOL_PACKET, PACKET_COPY_THRESH, 1), 'set PACKET_COPY_THRESH')
    setReceiveBuffer(fd, QUEUE_FACTOR * length)
  }
  const request = allocate(16) // tpacket_req
  request.words[0] = BLOCK_LENGTH
  request.words[1] = blockCount
  request.words[2] = slotLength
  request.words[3] = length / slotLength
  check(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, request.address, 16), `allocate a capture ring of ${length} bytes`)
  return { ring: mapDescriptor(fd, length), slotLength }
}

function bindTo(fd: number, { device, version, isPromiscuous }: PacketRingOptions): void {
  const index = device === undefined ? 0 : deviceIndex(device)
  if (isPromiscuous) {
    const membership = allocate(16) // packet_mreq; the kernel ends it with the socket
    membership.words[0] = index
    membership.words[1] = PACKET_MR_PROMISC
    const joined = setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership.address, 16)
    check(joined, `make ${device} promiscuous`)
  }
  const ofVersion = version === 6 ? ETH_P_IPV6_SWAPPED : ETH_P_IP_SWAPPED
  const protocol = isPromiscuous ? ETH_P_ALL_SWAPPED : ofVersion
  const address = allocate(20) // sockaddr_ll
  address.words[0] = AF_PACKET | (protocol << 16)
  address.words[1] = index
  check(bind(fd, address.address, 20), `capture on ${device ?? 'all devices'}`)
}

/** @returns the group the socket is in, −1: none */
function joinFanout(fd: number, options: PacketRingOptions): number {
  const defragment = options.defragment ?? true
  if (!defragment && options.fanoutGroup === undefined) return -1
  const { steering } = options
  const flags =
    (steering === undefined ? PACKET_FANOUT_HASH : PACKET_FANOUT_CBPF) |
    (defragment ? PACKET_FANOUT_FLAG_DEFRAG : 0) |
    (options.isPromiscuous ? PACKET_FANOUT_FLAG_IGNORE_OUTGOING : 0) |
    (options.fanoutGroup === undefined ? PACKET_FANOUT_FLAG_UNIQUEID : 0)
  check(setOption(fd, SOL_PACKET, PACKET_FANOUT, (flags << 16) | (options.fanoutGroup ?? 0)), 'join a fanout group')
  if (steering !== undefined) check(setProgram(fd, SOL_PACKET, PACKET_FANOUT_DATA, steering), 'share packets by flow')
  return getOption(fd, SOL_PACKET, PACKET_FANOUT) & 0xffff
}

/**
 * The order matters: without a protocol nothing arrives before the socket is bound, and by then filter and ring are
 * in place. A fanout group takes only bound sockets, so for a moment fragments may arrive as such, and packets that are
 * another member's: unless the ring is held meanwhile.
 * @throws OperatorError `no-privilege`, `no-device`, `no-memory`, `bad-filter`
 */
export function openPacketSocket(options: PacketRingOptions): PacketSocket {
  const type = options.link === 'cooked' ? SOCK_DGRAM : SOCK_RAW
  const fd = socket(AF_PACKET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  check(fd, 'open a packet socket')
  let ring: Mapping | undefined
  try {
    attachFilter(fd, options.isHeld === true ? NOTHING : programOf(options))
    const made = makeRing(fd, options)
    ring = made.ring
    bindTo(fd, options)
    return { fd, ring, slotLength: made.slotLength, fanoutGroup: joinFanout(fd, options) }
  } catch (error) {
    ring?.close()
    close(fd)
    throw error
  }
}
