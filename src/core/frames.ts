/**
 * Writes the packets of sessions: IPv4 and TCP headers of our own around payload from the send pool (DESIGN: "Headers
 * of our own"). Addresses, ports and options come from a `PacketStyle`, what changes from packet to packet is passed.
 */
import { put16, put32 } from '../wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../wire/checksum.ts'
import { ACK, IPV4_HEADER, OptionKind, SYN, TCP, TCP_HEADER } from '../wire/segment.ts'
import { type Seq, seq } from '../wire/seq.ts'
import type { Outbox } from './outbox.ts'
import type { Ranges } from './ranges.ts'
import { NONE, type SendPool } from './send-pool.ts'

/** What all packets of one copied connection have in common. */
export interface PacketStyle {
  /** The client as the target sees it. */
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
  readonly ttl: number
  readonly trafficClass: number
  /** For the SYN: 0 or −1 leaves an option out. */
  readonly mss: number
  readonly windowScale: number
  readonly isSackPermitted: boolean
  readonly hasTimestamps: boolean
}

const TIMESTAMPS_LENGTH = 12
const ECN_MASK = 0x03
const DF = 0x4000

/** Octets of TCP options in packets other than the SYN. */
export function optionsLength(style: PacketStyle): number {
  return style.hasTimestamps ? TIMESTAMPS_LENGTH : 0
}

/** What differs from packet to packet of a connection. One object is used again and again. */
class OutgoingPacket {
  flags = 0
  sequence: Seq = seq(0)
  acknowledgment: Seq = seq(0)
  window = 0
  tsVal: Seq = seq(0)
  tsEcr: Seq = seq(0)
  /** What came beyond the acknowledgment number, if that is to be told. */
  sack: Ranges | undefined
  /** Whose `length` octets from `offset` on are the payload; or NONE. */
  piece = NONE
  offset = 0
  length = 0
  /** The client's own packet, for the first time: payload goes with its captured IP id, traffic class and DF. */
  isCopy = false
  /** The captured IP id of a copied packet without payload; else 0. */
  ipId = 0
}

export class Frames {
  /** To be filled before `write`. */
  readonly packet = new OutgoingPacket()
  readonly #outbox: Outbox
  readonly #pool: SendPool
  readonly #flush: () => void

  /** @param flush sends and empties the outbox; called when it is full */
  constructor(outbox: Outbox, pool: SendPool, flush: () => void) {
    this.#outbox = outbox
    this.#pool = pool
    this.#flush = flush
  }

  /** Adds `packet` to the outbox. @returns where its header was written in the outbox's memory */
  write(style: PacketStyle): number {
    const { flags, sequence, acknowledgment, window, tsVal, tsEcr, sack, piece, offset, length } = this.packet
    if (this.#outbox.count === this.#outbox.framesMax) this.#flush()
    const memory = this.#outbox.memory
    const at = this.#outbox.nextHeaderAt()
    const tcpAt = at + IPV4_HEADER
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
    memory[tcpAt + 13] = flags
    put16(memory, tcpAt + 14, window)
    put32(memory, tcpAt + 16, 0) // checksum and urgent pointer
    const tcpLength = tcpHeader + length
    const total =
      pseudoHeaderSum(style.clientAddress, style.targetAddress, TCP, tcpLength) +
      sum(memory, tcpAt, tcpHeader) +
      this.#payloadSum(piece, offset, length)
    put16(memory, tcpAt + 16, ~fold(total))
    this.#writeIp(style, at, IPV4_HEADER + tcpLength)
    const payloadAt = piece === NONE ? 0 : this.#pool.at(piece) + offset
    this.#outbox.add(headerEnd - at, payloadAt, length, style.targetAddress)
    return at
  }

  #writeIp(style: PacketStyle, at: number, totalLength: number): void {
    const { isCopy, offset, ipId } = this.packet
    const piece = isCopy ? this.packet.piece : NONE
    const memory = this.#outbox.memory
    const isPiece = piece !== NONE
    const trafficClass = (isPiece ? this.#pool.trafficClass(piece) : style.trafficClass) & ~ECN_MASK
    memory[at] = 0x45
    memory[at + 1] = trafficClass
    put16(memory, at + 2, totalLength)
    // The parts of a piece that is cut again cannot share its id unless they carry DF.
    put16(memory, at + 4, isPiece && offset === 0 ? this.#pool.ipId(piece) : ipId)
    put16(memory, at + 6, !isPiece || this.#pool.dontFragment(piece) ? DF : 0)
    memory[at + 8] = style.ttl
    memory[at + 9] = TCP
    put16(memory, at + 10, 0)
    put32(memory, at + 12, style.clientAddress)
    put32(memory, at + 16, style.targetAddress)
    put16(memory, at + 10, ~fold(sum(memory, at, IPV4_HEADER)))
  }

  #payloadSum(piece: number, offset: number, length: number): number {
    if (piece === NONE) return 0
    if (offset === 0 && length === this.#pool.length(piece)) return this.#pool.sum(piece)
    return sum(this.#pool.memory, this.#pool.at(piece) + offset, length)
  }
}

/**
 * MSS, then what fits in front of the timestamps, then the window scale: in the order of Linux, which puts
 * SACK-permitted into the place of the padding (RFC 7323 appendix A). @returns where they end, a multiple of 4 octets
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

/** An option of `length` octets behind as many NOPs as make it four. */
function padded(memory: Uint8Array, at: number, kind: number, length: number): number {
  memory.fill(OptionKind.Nop, at, at + 4 - length)
  memory[at + 4 - length] = kind
  memory[at + 5 - length] = length
  return at + 4
}

/** RFC 7323 appendix A: aligned by two NOPs. */
function timestamps(memory: Uint8Array, at: number, tsVal: Seq, tsEcr: Seq): number {
  put32(memory, at, (OptionKind.Nop << 24) | (OptionKind.Nop << 16) | (OptionKind.Timestamps << 8) | 10)
  put32(memory, at + 4, tsVal)
  put32(memory, at + 8, tsEcr)
  return at + TIMESTAMPS_LENGTH
}

/** RFC 2018 §3 and §4: the block that the last segment fell into first, then the others as far as there is room. */
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
