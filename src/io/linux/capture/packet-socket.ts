/** Opens an AF_PACKET socket with a receive ring that never holds a packet that the filter rejects. packet(7) */
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
import { ifAll, LOAD_BYTE, load, NOTHING, PACKET_TYPE, REJECT } from './filter-code.ts'

/** Options of a PacketRing. */
export interface PacketRingOptions {
  /** Undefined: all devices. */
  readonly device: string | undefined
  /** What the filter finds at offset 0: the IP header, on any device; or the Ethernet header. */
  readonly link: 'cooked' | 'ethernet'
  readonly filter: FilterProgram
  /** IP version to capture, without `isPromiscuous`. Default: IPv4. */
  readonly version?: 4 | 6
  /** Size of the ring in MiB. Default: 32. */
  readonly ringMegabytes?: number
  /** Bytes of a slot, a power of two of at least 128, of which the kernel uses SLOT_OVERHEAD. Default: 2048. */
  readonly slotLength?: number
  /** Let the kernel reassemble IPv4 fragments. Default: true. */
  readonly defragment?: boolean
  /**
   * Deliver all frames of `device` with their link header, whatever their destination; the device is promiscuous until
   * `close`. Without it: packets of `version` to this host or a network behind it. Default: false.
   */
  readonly isPromiscuous?: boolean
  /** Share the packets with the rings of this `fanoutGroup`, which need the same options. */
  readonly fanoutGroup?: number | undefined
  /**
   * Program that selects the ring of the group for a packet, counted in joining order. The IP header is at offset 0.
   * Default: by a hash of the flow.
   */
  readonly steering?: FilterProgram | undefined
  /** Capture nothing until `begin`. Default: false. */
  readonly isHeld?: boolean
  /** Bytes to capture of a packet, with its link header; truncation to this length is not a loss. Default: all. */
  readonly snapLength?: number
}

/** A socket that receives into `ring`. The caller owns both. */
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
/** Keeps sent packets away from the filter; since Linux 5.15. */
const PACKET_FANOUT_FLAG_IGNORE_OUTGOING = 0x4000
const PACKET_FANOUT_FLAG_DEFRAG = 0x8000
const SO_ATTACH_FILTER = 26
/** 0x0800 in network byte order: each received packet once, and none that is sent. */
const ETH_P_IP_SWAPPED = 0x0008
/** 0x86dd. */
const ETH_P_IPV6_SWAPPED = 0xdd86
/**
 * 0x0003 in network byte order: everything that passes a device, also packets that this host sends, which the filter
 * must reject.
 */
const ETH_P_ALL_SWAPPED = 0x0300
const PACKET_ADD_MEMBERSHIP = 1
const PACKET_MR_PROMISC = 1
/** Most bytes before a packet in its slot: header, address, alignment. */
export const SLOT_OVERHEAD = 96
const BLOCK_LENGTH = 0x10000
const MEGABYTE = 0x100000
/**
 * Packets larger than a slot wait on the socket, up to this multiple of the ring's size; the kernel counts each twice.
 */
const QUEUE_FACTOR = 4

const PACKET_OUTGOING = 4
const REJECT_SENT = ifAll([[load(LOAD_BYTE, PACKET_TYPE), PACKET_OUTGOING]], REJECT)

/** The filter of a ring. */
export function programOf({ filter, isPromiscuous }: PacketRingOptions): FilterProgram {
  return isPromiscuous ? [...REJECT_SENT, ...filter] : filter
}

/** Turns a system error in a step into an error for the operator. */
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

/**
 * setsockopt(2) with a sock_fprog, followed by its sock_filters. @returns a negative number if the kernel refuses it
 */
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

/** Attaches a filter in place of the current one. */
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

/** @returns the group of the socket, −1: none */
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
 * The order matters: without a protocol nothing arrives before the socket is bound, and by then filter and ring are in
 * place. A fanout group accepts bound sockets only, so unless the ring is held, unassembled fragments and packets for
 * another member may arrive for a moment.
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
