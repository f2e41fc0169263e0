/**
 * Writes the copies of captured datagrams: the payload once into an arena, and for each copy the headers of as many
 * packets as the path to its target requires.
 *
 * A copy that fits into one packet keeps TTL, DSCP, DF, IP id and the absence of a checksum. A longer one is fragmented
 * here, because the kernel sends packets that already have an IP header as they are.
 */
import { isIpv6 } from '../../wire/address-book.ts'
import { put16 } from '../../wire/bytes.ts'
import { copyAndSum, fold, pseudoHeaderSum } from '../../wire/checksum.ts'
import { type Datagram, UDP, UDP_HEADER } from '../../wire/datagram.ts'
import { Flaw } from '../../wire/flaw.ts'
import type { CopiedFlow } from '../../wire/flow.ts'
import { Ipv4Header, putIpv4 } from '../../wire/ipv4.ts'
import { FRAGMENT, FRAGMENT_HEADER, IPV6_HEADER, Ipv6Header, putFragment, putIpv6 } from '../../wire/ipv6.ts'
import { IPV4_HEADER } from '../../wire/segment.ts'
import { Counter, type Counters } from '../books/counters.ts'
import type { Outbox } from '../packets/outbox.ts'
import type { FragmentIds } from './fragment-ids.ts'

const ECN_MASK = 0x03
const DF = 0x4000
const MORE_FRAGMENTS = 0x2000
/** Fragments begin at multiples of eight bytes. */
const UNIT = 8
/** Packet sizes that every path takes (RFC 791 §3.2, RFC 8200 §5). */
const MTU_LEAST = 68
const MTU_LEAST_6 = 1280

export class DatagramWriter {
  readonly #outbox: Outbox
  readonly #arenaAt: number
  readonly #arenaEnd: number
  readonly #counters: Counters
  readonly #flush: () => void
  readonly #mtu: (targetAddress: number) => number
  /** Captured ids are not used, because two clients with one address in the copy may use the same ids. */
  readonly #ids: FragmentIds
  readonly #header = new Ipv4Header()
  readonly #header6 = new Ipv6Header()
  #arenaUsed: number
  #payloadAt = 0
  #payloadSum = 0

  /**
   * @param arenaAt where in the outbox's memory the arena of `arenaLength` bytes begins; both are multiples of 4
   * @param flush sends and empties the outbox; called when it or the arena is full
   * @param mtu largest packet to this address, in bytes
   */
  constructor(
    outbox: Outbox,
    arenaAt: number,
    arenaLength: number,
    counters: Counters,
    flush: () => void,
    mtu: (targetAddress: number) => number,
    ids: FragmentIds
  ) {
    this.#outbox = outbox
    this.#arenaAt = arenaAt
    this.#arenaEnd = arenaAt + arenaLength
    this.#arenaUsed = arenaAt
    this.#counters = counters
    this.#flush = flush
    this.#mtu = mtu
    this.#ids = ids
  }

  /**
   * Copies the payload, which `write` then sends. The same pass sums it, for its own checksum and those of all copies.
   * @param isTrusted the checksum is verified, or is not filled in yet
   * @returns BadChecksum, or None
   */
  take(datagram: Datagram, isTrusted: boolean): Flaw {
    const { bytes, payloadAt, payloadLength, checksum } = datagram
    if (this.#outbox.count > 0 && this.#arenaUsed + payloadLength > this.#arenaEnd) this.#flush()
    // With an empty outbox, everything in the arena was sent.
    if (this.#outbox.count === 0) this.#arenaUsed = this.#arenaAt
    this.#payloadAt = this.#arenaUsed
    this.#payloadSum = copyAndSum(bytes, payloadAt, this.#outbox.memory, this.#payloadAt, payloadLength)
    this.#arenaUsed = (this.#payloadAt + payloadLength + 3) & ~3
    if (isTrusted || checksum === 0) return Flaw.None
    const { fromAddress, toAddress, fromPort, toPort } = datagram
    const total = this.#sum(fromAddress, fromPort, toAddress, toPort, payloadLength) + checksum
    return fold(total) === 0xffff ? Flaw.None : Flaw.BadChecksum
  }

  /** Adds a copy of the datagram that `take` took last to the outbox. */
  write(datagram: Datagram, copy: CopiedFlow): void {
    if (isIpv6(copy.targetAddress)) this.#writeIpv6(datagram, copy)
    else this.#writeIpv4(datagram, copy)
  }

  #writeIpv4(datagram: Datagram, copy: CopiedFlow): void {
    const udpLength = UDP_HEADER + datagram.payloadLength
    const room = Math.max(MTU_LEAST, this.#mtu(copy.targetAddress)) - IPV4_HEADER
    const header = this.#header
    header.protocol = UDP
    header.fromAddress = copy.clientAddress
    header.toAddress = copy.targetAddress
    header.ttl = datagram.ttl
    header.trafficClass = datagram.trafficClass & ~ECN_MASK
    const isWhole = udpLength <= room
    header.id = isWhole ? datagram.ipId : this.#ids.next(0xffff)
    const partLength = isWhole ? udpLength : room - (room % UNIT)
    for (let offset = 0; offset < udpLength; offset += partLength) {
      const length = Math.min(partLength, udpLength - offset)
      header.fragment = offset / UNIT + (offset + length < udpLength ? MORE_FRAGMENTS : 0)
      if (isWhole) header.fragment = datagram.dontFragment ? DF : 0
      const at = this.#nextHeaderAt()
      putIpv4(this.#outbox.memory, at, header, IPV4_HEADER + length)
      this.#addPart(datagram, copy, at + IPV4_HEADER, IPV4_HEADER, offset, length)
    }
  }

  #writeIpv6(datagram: Datagram, copy: CopiedFlow): void {
    const { memory } = this.#outbox
    const udpLength = UDP_HEADER + datagram.payloadLength
    const room = Math.max(MTU_LEAST_6, this.#mtu(copy.targetAddress)) - IPV6_HEADER
    const isWhole = udpLength <= room
    const header = this.#header6
    header.protocol = isWhole ? UDP : FRAGMENT
    header.fromAddress = copy.clientAddress
    header.toAddress = copy.targetAddress
    header.ttl = datagram.ttl
    header.trafficClass = datagram.trafficClass & ~ECN_MASK
    header.flowLabel = datagram.flowLabel
    const between = isWhole ? 0 : FRAGMENT_HEADER
    const id = isWhole ? 0 : this.#ids.next(0x7fffffff)
    const partLength = isWhole ? udpLength : room - between - ((room - between) % UNIT)
    for (let offset = 0; offset < udpLength; offset += partLength) {
      const length = Math.min(partLength, udpLength - offset)
      const at = this.#nextHeaderAt()
      putIpv6(memory, at, header, between + length)
      if (!isWhole) putFragment(memory, at + IPV6_HEADER, UDP, offset, offset + length === udpLength, id)
      this.#addPart(datagram, copy, at + IPV6_HEADER + between, IPV6_HEADER + between, offset, length)
    }
  }

  #nextHeaderAt(): number {
    if (this.#outbox.isFull) this.#flush()
    return this.#outbox.nextHeaderAt()
  }

  /**
   * Adds a packet whose IP headers are written. The first packet of a datagram gets a UDP header.
   * @param udpAt where the IP headers end; @param ipHeader bytes of the IP headers
   * @param length bytes of the UDP datagram in this packet, from `offset` on, UDP header included
   */
  #addPart(
    datagram: Datagram,
    copy: CopiedFlow,
    udpAt: number,
    ipHeader: number,
    offset: number,
    length: number
  ): void {
    const udpHeader = offset === 0 ? UDP_HEADER : 0
    if (udpHeader > 0) this.#putUdp(this.#outbox.memory, udpAt, datagram, copy)
    const payloadAt = this.#payloadAt + offset - UDP_HEADER + udpHeader
    this.#counters.add(Counter.pendingBytes, length - udpHeader)
    this.#outbox.add(ipHeader + udpHeader, payloadAt, length - udpHeader, copy.targetAddress)
  }

  #putUdp(memory: Uint8Array, at: number, { payloadLength, checksum }: Datagram, copy: CopiedFlow): void {
    const { clientAddress, clientPort, targetAddress, targetPort } = copy
    put16(memory, at, clientPort)
    put16(memory, at + 2, targetPort)
    put16(memory, at + 4, UDP_HEADER + payloadLength)
    const sum = this.#sum(clientAddress, clientPort, targetAddress, targetPort, payloadLength)
    // Zero means no checksum (RFC 768). A checksum that computes to zero is written as 0xffff.
    put16(memory, at + 6, checksum === 0 ? 0 : ~fold(sum) & 0xffff || 0xffff)
  }

  /** The sum of pseudo-header, UDP header without checksum, and the payload that `take` took; not folded. */
  #sum(fromAddress: number, fromPort: number, toAddress: number, toPort: number, payloadLength: number): number {
    const udpLength = UDP_HEADER + payloadLength
    const headers = pseudoHeaderSum(fromAddress, toAddress, UDP, udpLength) + fromPort + toPort + udpLength
    return headers + this.#payloadSum
  }
}
