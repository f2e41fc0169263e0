/** Finds the innermost IP packet of a captured frame, behind tags and inside tunnels. */
import { i32, u8, u16 } from './bytes.ts'
import { Flaw } from './flaw.ts'
import { chain, followHeaders, IPV6_HEADER } from './ipv6.ts'
import { IPV4_HEADER } from './segment.ts'

/** Link types of capture files (https://www.tcpdump.org/linktypes.html). */
export const LinkType = {
  Null: 0,
  Ethernet: 1,
  /** Numbers that some systems write for raw IP. */
  RawOfBsd: 12,
  RawOfOpenBsd: 14,
  Raw: 101,
  Loop: 108,
  LinuxSll: 113,
  Ipv4: 228,
  Ipv6: 229,
  LinuxSll2: 276
} as const

export const EtherType = {
  Ipv4: 0x0800,
  Ipv6: 0x86dd,
  PppoeSession: 0x8864,
  Bridged: 0x6558,
  ErspanI: 0x88be,
  ErspanIii: 0x22eb
} as const
/** VLAN tags: IEEE 802.1Q, 802.1ad, and the number in use before 802.1ad. */
const TAGS: readonly number[] = [0x8100, 0x88a8, 0x9100]
/** MPLS with downstream-assigned and upstream-assigned labels (RFC 5332). */
const MPLS: readonly number[] = [0x8847, 0x8848]
/** EtherTypes of layers that may be between the Ethernet header and the IP packet. */
export const LAYERS: readonly number[] = [...TAGS, EtherType.PppoeSession, ...MPLS]

const Protocol = { Ipv4: 4, Udp: 17, Ipv6: 41, Gre: 47 } as const
/** IP protocols that carry another packet: IP of either version, and GRE with ERSPAN. */
export const TUNNELS: readonly number[] = [Protocol.Ipv4, Protocol.Ipv6, Protocol.Gre]
/** The VXLAN port of RFC 7348, and the default of Linux, which is older. */
export const VXLAN_PORTS: readonly number[] = [4789, 8472]

export const ETHERNET_HEADER = 14
const SLL_HEADER = 16
const SLL2_HEADER = 20
const PPPOE_HEADER = 8
const UDP_HEADER = 8
const VXLAN_HEADER = 8
/** Limit of nested tunnels; real networks have fewer. */
const TUNNELS_MAX = 8

/**
 * Finds the innermost IP header of a frame behind VLAN tags, PPPoE, MPLS labels, VXLAN, GRE, ERSPAN (I, II, III) and
 * IP-in-IP. Stops at a fragment, whose content is known only after reassembly.
 * @param length bytes present from `at`
 * @returns where the IPv4 header (at least 20 bytes are present) or the IPv6 header begins; or a negated Flaw: NotIpv4,
 *   Truncated, BadHeader, UnknownLink
 */
export function findIp(bytes: Uint8Array, at: number, length: number, linkType: number): number {
  const end = at + length
  switch (linkType) {
    case LinkType.Ethernet:
      return inEthernet(bytes, at, end, 0)
    case LinkType.LinuxSll:
      return length < SLL_HEADER ? -Flaw.Truncated : behindType(bytes, at + SLL_HEADER, end, u16(bytes, at + 14), 0)
    case LinkType.LinuxSll2:
      return length < SLL2_HEADER ? -Flaw.Truncated : behindType(bytes, at + SLL2_HEADER, end, u16(bytes, at), 0)
    case LinkType.Raw:
    case LinkType.RawOfBsd:
    case LinkType.RawOfOpenBsd:
    case LinkType.Ipv4:
    case LinkType.Ipv6:
      return inIp(bytes, at, end, 0)
    case LinkType.Null:
    case LinkType.Loop:
      return inLoopback(bytes, at, end)
    default:
      return -Flaw.UnknownLink
  }
}

/**
 * The header is a 32-bit address family: in network byte order for Loop, in the capturing host's for Null. The number
 * of AF_INET6 differs between systems (10, 24, 28, 30).
 */
function inLoopback(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -Flaw.Truncated
  const word = i32(bytes, at)
  const family = word > 0 && word < 0x10000 ? word : u8(bytes, at) | (u8(bytes, at + 1) << 8)
  const isIp = family === 2 || family === 10 || family === 24 || family === 28 || family === 30
  return isIp ? inIp(bytes, at + 4, end, 0) : -Flaw.NotIpv4
}

function inEthernet(bytes: Uint8Array, at: number, end: number, depth: number): number {
  if (at + ETHERNET_HEADER > end) return -Flaw.Truncated
  return behindType(bytes, at + ETHERNET_HEADER, end, u16(bytes, at + 12), depth)
}

/** Continues at `from` with the protocol that an EtherType names. */
function behindType(bytes: Uint8Array, from: number, end: number, announced: number, depth: number): number {
  let at = from
  let etherType = announced
  while (TAGS.includes(etherType)) {
    if (at + 4 > end) return -Flaw.Truncated
    etherType = u16(bytes, at + 2)
    at += 4
  }
  if (etherType === EtherType.Ipv4 || etherType === EtherType.Ipv6) return inIp(bytes, at, end, depth)
  if (etherType === EtherType.PppoeSession) return inPppoe(bytes, at, end, depth)
  if (etherType === EtherType.Bridged) return inEthernet(bytes, at, end, depth)
  return MPLS.includes(etherType) ? behindLabels(bytes, at, end, depth) : -Flaw.NotIpv4
}

/** RFC 2516: six bytes of PPPoE header, then the PPP protocol number. */
function inPppoe(bytes: Uint8Array, at: number, end: number, depth: number): number {
  if (at + PPPOE_HEADER > end) return -Flaw.Truncated
  const protocol = u16(bytes, at + 6)
  const isIp = protocol === 0x0021 || protocol === 0x0057
  return isIp ? inIp(bytes, at + PPPOE_HEADER, end, depth) : -Flaw.NotIpv4
}

/** RFC 3032. Labels do not name the protocol of what follows; its first four bits tell (RFC 4928). */
function behindLabels(bytes: Uint8Array, from: number, end: number, depth: number): number {
  let at = from
  let isLast = false
  while (!isLast) {
    if (at + 4 > end) return -Flaw.Truncated
    isLast = (u8(bytes, at + 2) & 1) !== 0
    at += 4
  }
  if (at >= end) return -Flaw.Truncated
  const first = u8(bytes, at) >>> 4
  // Zero is the start of a control word, which precedes an Ethernet frame (RFC 4448).
  return first === 0 ? inEthernet(bytes, at + 4, end, depth) : inIp(bytes, at, end, depth)
}

function inIp(bytes: Uint8Array, at: number, end: number, depth: number): number {
  if (at >= end) return -Flaw.Truncated
  const version = u8(bytes, at) >>> 4
  if (version === 6) return inIpv6(bytes, at, end, depth)
  if (version !== 4) return -Flaw.NotIpv4
  if (at + IPV4_HEADER > end) return -Flaw.Truncated
  const inside = at + (u8(bytes, at) & 0x0f) * 4
  if (inside < at + IPV4_HEADER) return -Flaw.BadHeader
  const isFragment = (u16(bytes, at + 6) & 0x3fff) !== 0
  return isFragment ? at : inPacket(bytes, at, inside, end, u8(bytes, at + 9), depth)
}

function inIpv6(bytes: Uint8Array, at: number, end: number, depth: number): number {
  if (at + IPV6_HEADER > end) return -Flaw.Truncated
  const flaw = followHeaders(bytes, at, end - at, end - at)
  return flaw === Flaw.None ? inPacket(bytes, at, at + chain.length, end, chain.protocol, depth) : -Flaw.Truncated
}

/** Continues with the payload at `inside` of the packet at `at`. @returns `at` if the payload is not a tunnel */
function inPacket(bytes: Uint8Array, at: number, inside: number, end: number, protocol: number, depth: number): number {
  const isDeep = depth >= TUNNELS_MAX
  switch (protocol) {
    case Protocol.Ipv4:
    case Protocol.Ipv6:
      return isDeep ? -Flaw.BadHeader : inIp(bytes, inside, end, depth + 1)
    case Protocol.Udp:
      return isVxlan(bytes, inside, end) && !isDeep
        ? inEthernet(bytes, inside + UDP_HEADER + VXLAN_HEADER, end, depth + 1)
        : at
    case Protocol.Gre:
      return isDeep ? -Flaw.BadHeader : inGre(bytes, inside, end, depth + 1)
    default:
      return at
  }
}

/** RFC 7348 §5: the I flag marks a valid network identifier. */
function isVxlan(bytes: Uint8Array, at: number, end: number): boolean {
  if (at + UDP_HEADER + VXLAN_HEADER > end) return false
  return VXLAN_PORTS.includes(u16(bytes, at + 2)) && (u8(bytes, at + UDP_HEADER) & 0x08) !== 0
}

/** RFC 2784 and RFC 2890; ERSPAN as draft-foschiano-erspan describes it. */
function inGre(bytes: Uint8Array, at: number, end: number, depth: number): number {
  if (at + 4 > end) return -Flaw.Truncated
  const flags = u16(bytes, at)
  const hasSequence = (flags & 0x1000) !== 0
  // Source routes (RFC 1701) and version 1 (PPTP, RFC 2637) are unsupported.
  if (flags & 0x4007) return -Flaw.NotIpv4
  const protocol = u16(bytes, at + 2)
  const inside = at + 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (hasSequence ? 4 : 0)
  if (protocol === EtherType.ErspanI) return inEthernet(bytes, inside + (hasSequence ? 8 : 0), end, depth)
  if (protocol !== EtherType.ErspanIii) return behindType(bytes, inside, end, protocol, depth)
  if (inside + 12 > end) return -Flaw.Truncated
  const hasSubheader = (u8(bytes, inside + 11) & 1) !== 0
  return inEthernet(bytes, inside + 12 + (hasSubheader ? 8 : 0), end, depth)
}
