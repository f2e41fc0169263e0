/**
 * Writes the IP and TCP headers of sessions' packets and adds them to the outbox, with payload from the send pool
 * (docs/internals/sending.md). Addresses, ports and options come from a `PacketStyle`, the rest from `Frames.packet`.
 */
import { isIpv6 } from '../../wire/address-book.ts'
import { int32At, put16, put32 } from '../../wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../wire/checksum.ts'
import { Ipv4Header, putIpv4 } from '../../wire/ipv4.ts'
import { IPV6_HEADER, Ipv6Header, putIpv6 } from '../../wire/ipv6.ts'
import { ACK, IPV4_HEADER, OptionKind, PSH, SYN, TCP, TCP_HEADER, URG } from '../../wire/segment.ts'
import { add, type Seq, seq } from '../../wire/seq.ts'
import type { Ranges } from '../memory/ranges.ts'
import { NONE, type SendPool } from '../memory/send-pool.ts'
import type { Outbox } from './outbox.ts'
import { RateLimit } from './rate-limit.ts'

/** What all packets of one copied connection share. */
export interface PacketStyle {
  /** The client as the target sees it. */
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
  readonly ttl: number
  readonly trafficClass: number
  /** IPv6 flow label; unused for IPv4. */
  readonly flowLabel: number
  /** Options of the SYN. An `mss` of 0 and a `windowScale` of −1 leave the option out. */
  readonly mss: number
  readonly windowScale: number
  readonly isSackPermitted: boolean
  readonly hasTimestamps: boolean
}

const TIMESTAMPS_LENGTH = 12
const ECN_MASK = 0x03
const DF = 0x4000

/** Bytes of TCP options in packets other than the SYN, without SACK. */
export function optionsLength(style: PacketStyle): number {
  return style.hasTimestamps ? TIMESTAMPS_LENGTH : 0
}

/** What differs between the packets of a connection. One object is reused. */
class OutgoingPacket {
  flags = 0
  sequence: Seq = seq(0)
  acknowledgment: Seq = seq(0)
  window = 0
  tsVal: Seq = seq(0)
  tsEcr: Seq = seq(0)
  /** Ranges for a SACK option; undefined: no option. */
  sack: Ranges | undefined
  /** The piece whose `length` bytes from `offset` on are the payload; or NONE. */
  piece = NONE
  offset = 0
  length = 0
  /** Segment size of the connection, in bytes. With more payload, this is a super-packet. */
  segmentMax = 0
  /** Copies a packet of the client for the first time, so payload keeps its captured IP id, traffic class and DF. */
  isCopy = false
  /** The captured IP id of a copied packet without payload; otherwise 0. */
  ipId = 0
}

/** Largest IPv4 packet, and limit of super-packets of both versions, in bytes. */
const IP_LENGTH_MAX = 0xffff
/** Bytes of IPv6 and TCP headers with the most options that fit. */
const HEADERS_MAX = IPV6_HEADER + TCP_HEADER + 40
const CHECKSUM_AT = 16
const FLAGS_AT = 13
const URGENT_AT = 18

/** Bytes of the IP header of packets to this address. */
export function ipHeaderLength(targetAddress: number): number {
  return isIpv6(targetAddress) ? IPV6_HEADER : IPV4_HEADER
}

export class Frames {
  /** The caller fills it before `write`. */
  readonly packet = new OutgoingPacket()
  readonly #header = new Ipv4Header()
  readonly #header6 = new Ipv6Header()
  readonly #outbox: Outbox
  readonly #pool: SendPool
  readonly #flush: () => void
  readonly #canSegment: (targetAddress: number) => boolean
  /** Charged with every byte of packets. */
  readonly rate: RateLimit
  /** What a packet must have to be appended to the last frame, while that is open. */
  #style: PacketStyle | undefined
  #nextSequence: Seq = seq(0)
  #acknowledgment: Seq = seq(0)
  #window = 0
  #tsVal: Seq = seq(0)
  #tsEcr: Seq = seq(0)
  #segmentLength = 0
  #ipLength = 0
  #nextIpId = 0
  /** Result of `#kind`. */
  #ipKind = 0

  /**
   * @param flush sends and empties the outbox; called when it is full
   * @param canSegment whether super-packets may be sent to this address
   */
  constructor(
    outbox: Outbox,
    pool: SendPool,
    flush: () => void,
    canSegment: (targetAddress: number) => boolean,
    rate = new RateLimit(Number.POSITIVE_INFINITY)
  ) {
    this.rate = rate
    this.#outbox = outbox
    this.#pool = pool
    this.#flush = flush
    this.#canSegment = canSegment
  }

  /** Largest payload of `packet`, in bytes: as many whole segments as a super-packet holds, or one. */
  payloadMax(style: PacketStyle, segmentMax: number): number {
    if (!this.#canSegment(style.targetAddress)) return segmentMax
    return Math.max(1, Math.floor((IP_LENGTH_MAX - HEADERS_MAX) / segmentMax)) * segmentMax
  }

  /**
   * Adds `packet` to the outbox.
   * @returns where its header, or that of its super-packet, begins in the outbox's memory
   */
  write(style: PacketStyle): number {
    if (this.#outbox.isFull) this.#flush()
    if (this.#outbox.isOpen && this.#isContinued(style)) return this.#extend(style)
    const { flags, sequence, acknowledgment, window, tsVal, tsEcr, sack, piece, offset, length } = this.packet
    const memory = this.#outbox.memory
    const at = this.#outbox.nextHeaderAt()
    const ipHeader = ipHeaderLength(style.targetAddress)
    const tcpAt = at + ipHeader
    put16(memory, tcpAt, style.clientPort)
    put16(memory, tcpAt + 2, style.targetPort)
    put32(memory, tcpAt + 4, sequence)
    put32(memory, tcpAt + 8, flags & ACK ? acknowledgment : 0)
    const optionsAt = tcpAt + TCP_HEADER
    const plain = style.hasTimestamps ? timestamps(memory, optionsAt, tsVal, tsEcr) : optionsAt
    const timed = flags & SYN ? synOptions(memory, optionsAt, style, tsVal) : plain
    const headerEnd = sack === undefined ? timed : sackBlocks(memory, timed, sack, style.hasTimestamps ? 3 : 4)
    const tcpHeader = headerEnd - tcpAt
    memory[tcpAt + 12] = (tcpHeader / 4) << 4
    memory[tcpAt + FLAGS_AT] = flags
    put16(memory, tcpAt + 14, window)
    put16(memory, tcpAt + CHECKSUM_AT, 0)
    put16(memory, tcpAt + URGENT_AT, flags & URG ? this.#pool.urgentEnd(piece) - offset : 0)
    const tcpLength = tcpHeader + length
    const segmentLength = this.#isSummedBySender(style) ? Math.min(length, this.packet.segmentMax) : 0
    const pseudo = pseudoHeaderSum(style.clientAddress, style.targetAddress, TCP, tcpLength)
    const isPartial = segmentLength > 0
    const rest = isPartial ? 0 : sum(memory, tcpAt, tcpHeader) + this.#payloadSum(piece, offset, length)
    put16(memory, tcpAt + CHECKSUM_AT, isPartial ? fold(pseudo) : ~fold(pseudo + rest))
    this.#writeIp(style, at, ipHeader + tcpLength)
    const payloadAt = piece === NONE ? 0 : this.#pool.at(piece) + offset
    this.#outbox.add(headerEnd - at, payloadAt, length, style.targetAddress, segmentLength)
    this.rate.spend((headerEnd - at) * packetsOf(length, segmentLength) + length)
    if (piece !== NONE && flags === ACK) this.#open(style, ipHeader + tcpLength)
    return at
  }

  /** Whether the sender completes the checksum of `packet`: the payload's sum is unknown, and the device can do it. */
  #isSummedBySender(style: PacketStyle): boolean {
    const { piece, length } = this.packet
    if (piece === NONE || (this.#pool.hasSum(piece) && length === this.#pool.length(piece))) return false
    return this.#canSegment(style.targetAddress)
  }

  /** Opens the last frame for more payload if it ends with a whole segment. */
  #open(style: PacketStyle, ipLength: number): void {
    const { packet } = this
    this.#segmentLength = Math.min(packet.length, packet.segmentMax)
    if (packet.length % this.#segmentLength !== 0) return
    this.#outbox.isOpen = this.#canSegment(style.targetAddress)
    this.#style = style
    this.#nextSequence = add(packet.sequence, packet.length)
    this.#acknowledgment = packet.acknowledgment
    this.#window = packet.window
    this.#tsVal = packet.tsVal
    this.#tsEcr = packet.tsEcr
    this.#ipLength = ipLength
    this.#nextIpId = this.#ipId() + packet.length / this.#segmentLength
    this.#ipKind = this.#kind(style)
  }

  /** Whether segmentation of the open frame (Linux TSO) would produce `packet` if its payload were appended. */
  #isContinued(style: PacketStyle): boolean {
    const { packet } = this
    const segmentLength = this.#segmentLength
    return (
      style === this.#style &&
      packet.sequence === this.#nextSequence &&
      packet.length > 0 &&
      (packet.length <= segmentLength || packet.segmentMax === segmentLength) &&
      (packet.flags & ~PSH) === ACK &&
      packet.acknowledgment === this.#acknowledgment &&
      packet.window === this.#window &&
      packet.tsVal === this.#tsVal &&
      packet.tsEcr === this.#tsEcr &&
      this.#ipLength + packet.length <= IP_LENGTH_MAX &&
      this.#kind(style) === this.#ipKind &&
      (!packet.isCopy || this.#ipId() === 0 || this.#ipId() === (this.#nextIpId & 0xffff))
    )
  }

  /**
   * Appends the payload of `packet` to the open frame. The checksum of a super-packet holds only the sum of the
   * pseudo-header; segmentation completes it (virtio_net.h, VIRTIO_NET_HDR_F_NEEDS_CSUM).
   */
  #extend(style: PacketStyle): number {
    const { flags, piece, offset, length } = this.packet
    const { memory, headerAt, count } = this.#outbox
    const at = int32At(headerAt, count - 1)
    const ipHeader = ipHeaderLength(style.targetAddress)
    const tcpAt = at + ipHeader
    this.#ipLength += length
    this.#nextSequence = add(this.#nextSequence, length)
    this.#nextIpId += length / this.#segmentLength
    const tcpLength = this.#ipLength - ipHeader
    if (ipHeader === IPV6_HEADER) put16(memory, at + 4, tcpLength)
    else {
      put16(memory, at + 2, this.#ipLength)
      put16(memory, at + 10, 0)
      put16(memory, at + 10, ~fold(sum(memory, at, IPV4_HEADER)))
    }
    memory[tcpAt + FLAGS_AT] = flags
    put16(memory, tcpAt + CHECKSUM_AT, fold(pseudoHeaderSum(style.clientAddress, style.targetAddress, TCP, tcpLength)))
    this.#outbox.extend(this.#pool.at(piece) + offset, length, this.#segmentLength)
    const headerLength = int32At(this.#outbox.headerLength, count - 1)
    this.rate.spend(headerLength * packetsOf(length, this.#segmentLength) + length)
    // Only the last segment has PSH, and only the last may be shorter.
    if (flags !== ACK || length % this.#segmentLength !== 0) this.#outbox.isOpen = false
    return at
  }

  #writeIp(style: PacketStyle, at: number, totalLength: number): void {
    const kind = this.#kind(style)
    if (isIpv6(style.targetAddress)) {
      this.#writeIpv6(style, at, kind & 0xff, totalLength - IPV6_HEADER)
      return
    }
    const header = this.#header
    header.protocol = TCP
    header.fromAddress = style.clientAddress
    header.toAddress = style.targetAddress
    header.ttl = style.ttl
    header.trafficClass = kind & 0xff
    header.id = this.#ipId()
    header.fragment = kind >>> 8
    putIpv4(this.#outbox.memory, at, header, totalLength)
  }

  /** All packets of a connection have the flow label of the client's first packet. */
  #writeIpv6(style: PacketStyle, at: number, trafficClass: number, payloadLength: number): void {
    const header = this.#header6
    header.protocol = TCP
    header.fromAddress = style.clientAddress
    header.toAddress = style.targetAddress
    header.ttl = style.ttl
    header.trafficClass = trafficClass
    header.flowLabel = style.flowLabel
    putIpv6(this.#outbox.memory, at, header, payloadLength)
  }

  /** The IP id of `packet`. Each segment of a piece has the next id; a packet that begins within a segment has none. */
  #ipId(): number {
    const { isCopy, piece, offset, ipId, segmentMax } = this.packet
    if (!isCopy || piece === NONE || this.#pool.ipId(piece) === 0) return ipId
    return offset % segmentMax === 0 ? (this.#pool.ipId(piece) + offset / segmentMax) & 0xffff : ipId
  }

  /** Traffic class of `packet` in the low 8 bits, above them the IPv4 flags with DF. */
  #kind(style: PacketStyle): number {
    const { isCopy, piece } = this.packet
    if (!isCopy || piece === NONE) return (DF << 8) | (style.trafficClass & ~ECN_MASK)
    return ((this.#pool.dontFragment(piece) ? DF : 0) << 8) | (this.#pool.trafficClass(piece) & ~ECN_MASK)
  }

  #payloadSum(piece: number, offset: number, length: number): number {
    if (piece === NONE) return 0
    if (this.#pool.hasSum(piece) && length === this.#pool.length(piece)) return this.#pool.sum(piece)
    return sum(this.#pool.memory, this.#pool.at(piece) + offset, length)
  }
}

/** How many packets a payload is sent in. @param segmentLength 0: one packet */
function packetsOf(length: number, segmentLength: number): number {
  return segmentLength === 0 ? 1 : Math.ceil(length / segmentLength)
}

/**
 * Writes MSS, SACK-permitted, timestamps and window scale as Linux does, with SACK-permitted in place of the padding of
 * the timestamps (RFC 7323 appendix A).
 * @returns where the options end, a multiple of 4 bytes
 */
function synOptions(memory: Uint8Array, from: number, style: PacketStyle, tsVal: Seq): number {
  let at = from
  if (style.mss > 0) {
    memory[at] = OptionKind.Mss
    memory[at + 1] = 4
    put16(memory, at + 2, style.mss)
    at += 4
  }
  if (style.hasTimestamps) {
    const start = at
    at = timestamps(memory, at, tsVal, seq(0))
    if (style.isSackPermitted) put16(memory, start, (OptionKind.SackPermitted << 8) | 2)
  } else if (style.isSackPermitted) at = padded(memory, at, OptionKind.SackPermitted, 2)
  if (style.windowScale >= 0) {
    at = padded(memory, at, OptionKind.WindowScale, 3)
    memory[at - 1] = style.windowScale
  }
  return at
}

/** Writes the head of an option of `length` bytes, padded at the front with NOPs to four bytes. */
function padded(memory: Uint8Array, at: number, kind: number, length: number): number {
  memory.fill(OptionKind.Nop, at, at + 4 - length)
  memory[at + 4 - length] = kind
  memory[at + 5 - length] = length
  return at + 4
}

/** Writes the timestamps option, aligned by two NOPs (RFC 7323 appendix A). */
function timestamps(memory: Uint8Array, at: number, tsVal: Seq, tsEcr: Seq): number {
  put32(memory, at, (OptionKind.Nop << 24) | (OptionKind.Nop << 16) | (OptionKind.Timestamps << 8) | 10)
  put32(memory, at + 4, tsVal)
  put32(memory, at + 8, tsEcr)
  return at + TIMESTAMPS_LENGTH
}

/** Writes up to `most` SACK blocks, first the one with the latest segment (RFC 2018 §3 and §4). */
function sackBlocks(memory: Uint8Array, at: number, sack: Ranges, most: number): number {
  const count = Math.min(sack.count, most)
  put32(memory, at, (OptionKind.Nop << 24) | (OptionKind.Nop << 16) | (OptionKind.Sack << 8) | (2 + 8 * count))
  const first = sack.latest
  let to = putBlock(memory, at + 4, sack, first)
  for (let index = 0, written = 1; written < count; index++) {
    if (index === first) continue
    to = putBlock(memory, to, sack, index)
    written++
  }
  return to
}

function putBlock(memory: Uint8Array, at: number, sack: Ranges, index: number): number {
  put32(memory, at, sack.left(index))
  put32(memory, at + 4, sack.right(index))
  return at + 8
}
