/** Filters for sockets that get frames as a device sees them, made of filters for IP packets. The code here is pure. */
import type { FilterInstruction, FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { UDP } from '../../../wire/datagram.ts'
import { IPV6_HEADER } from '../../../wire/ipv6.ts'
import { ETHERNET_HEADER, EtherType, LAYERS, TUNNELS, VXLAN_PORTS } from '../../../wire/link-layer.ts'
import {
  ACCEPT,
  ANCILLARY,
  AND,
  type FilterTarget,
  FRAGMENT_OFFSET,
  ifAll,
  JUMP,
  JUMP_ANY_BIT,
  JUMP_EQUAL,
  LOAD_BYTE,
  LOAD_HALF,
  LOAD_HALF_INDEXED,
  LOAD_WORD,
  LOAD_X_HEADER_LENGTH,
  load,
  REJECT,
  RETURN,
  TARGET_ADDRESS_AT,
  TARGET_PORT_AT,
  testAddress6,
  testPort6
} from './filter-code.ts'

/** The classes Load and LoadX, and their modes that look into the packet. */
const CLASS = 0x07
const LOAD_X = 1
const MODE = 0xe0
const ABSOLUTE = 0x20
const INDEXED = 0x40
const HEADER_LENGTH = 0xa0

function isReturn({ code }: FilterInstruction): boolean {
  return (code & CLASS) === RETURN
}

/** The same program for packets that begin so many octets further back. */
function behind(program: FilterProgram, octets: number): FilterProgram {
  return program.map((instruction) => {
    const { code, k } = instruction
    const mode = code & MODE
    const isLooking = (code & CLASS) <= LOAD_X && (mode === ABSOLUTE || mode === INDEXED || mode === HEADER_LENGTH)
    return isLooking && k < ANCILLARY ? { ...instruction, k: k + octets } : instruction
  })
}

/** Jumps to an ACCEPT that stands behind them, each if A is one of the values; past it otherwise. */
function acceptIf(values: readonly number[]): FilterProgram {
  const last = values.length - 1
  const jumps = values.map((k, index) => ({ code: JUMP_EQUAL, jt: last - index, jf: index === last ? 1 : 0, k }))
  return [...jumps, ACCEPT]
}

/**
 * Accepts what a filter for IPv4 packets accepts, and whatever may have a packet inside: that is looked at later.
 * @param link what stands at octet 0: an Ethernet header without its outermost VLAN tag, as the kernel leaves it, or none
 * @param filter6 for IPv6 packets; undefined: there are none of interest, nor in their tunnels
 */
export function frameFilter(
  filter: FilterProgram,
  link: 'ethernet' | 'cooked',
  filter6?: FilterProgram
): FilterProgram {
  const frames4 = frameFilter4(filter, link)
  if (filter6 === undefined) return frames4
  const base = link === 'ethernet' ? ETHERNET_HEADER : 0
  const version =
    link === 'ethernet'
      ? [load(LOAD_HALF, 12), { code: JUMP_EQUAL, jt: 0, jf: 1, k: EtherType.Ipv6 }]
      : [load(LOAD_BYTE, 0), load(AND, 0xf0), { code: JUMP_EQUAL, jt: 0, jf: 1, k: 0x60 }]
  const vxlan = [load(LOAD_HALF, base + IPV6_HEADER + TARGET_PORT_AT), ...acceptIf(VXLAN_PORTS)]
  return [
    ...version,
    load(JUMP, frames4.length),
    ...frames4,
    load(LOAD_BYTE, base + 6),
    ...acceptIf(TUNNELS),
    { code: JUMP_EQUAL, jt: 0, jf: vxlan.length, k: UDP },
    ...vxlan,
    ...behind(filter6, base)
  ]
}

function frameFilter4(filter: FilterProgram, link: 'ethernet' | 'cooked'): FilterProgram {
  const base = link === 'ethernet' ? ETHERNET_HEADER : 0
  const isIpv4 =
    link === 'ethernet'
      ? [load(LOAD_HALF, 12), ...acceptIf(LAYERS), { code: JUMP_EQUAL, jt: 1, jf: 0, k: EtherType.Ipv4 }]
      : [load(LOAD_BYTE, 0), load(AND, 0xf0), { code: JUMP_EQUAL, jt: 1, jf: 0, k: 0x40 }]
  const vxlan = [
    load(LOAD_HALF, base + 6),
    { code: JUMP_ANY_BIT, jt: 5, jf: 0, k: FRAGMENT_OFFSET },
    load(LOAD_X_HEADER_LENGTH, base),
    load(LOAD_HALF_INDEXED, base + 2),
    ...acceptIf(VXLAN_PORTS)
  ]
  return [
    ...isIpv4,
    REJECT,
    load(LOAD_BYTE, base + 9),
    ...acceptIf(TUNNELS),
    { code: JUMP_EQUAL, jt: 0, jf: vxlan.length, k: UDP },
    ...vxlan,
    ...behind(filter, base)
  ]
}

/** Accepts IPv4 packets but those of TCP or UDP to one of these places. */
export function notTo(places: readonly FilterTarget[]): FilterProgram {
  const refusals = places.map(({ address, port }) => [
    load(LOAD_WORD, TARGET_ADDRESS_AT),
    { code: JUMP_EQUAL, jt: 0, jf: 4, k: address >>> 0 },
    load(LOAD_X_HEADER_LENGTH, 0),
    load(LOAD_HALF_INDEXED, TARGET_PORT_AT),
    { code: JUMP_EQUAL, jt: 0, jf: 1, k: port },
    REJECT
  ])
  return [...refusals.flat(), ACCEPT]
}

/** The same of IPv6 packets, with the port behind their header, or behind none that can be found here. */
export function notTo6(places: readonly FilterTarget[]): FilterProgram {
  const refusals = places.map(({ address, port }) => ifAll([...testAddress6(address), testPort6(port)], REJECT))
  return [...refusals.flat(), ACCEPT]
}

/** Accepts what both accept: where the first has accepted, the second follows. */
export function both(first: FilterProgram, second: FilterProgram): FilterProgram {
  const goOn = first.map((instruction, index) =>
    isReturn(instruction) && instruction.k > 0 ? load(JUMP, first.length - index - 1) : instruction
  )
  return [...goOn, ...second]
}

/** Accepts the same, but of each packet only its first `octets`. */
export function cutTo(program: FilterProgram, octets: number): FilterProgram {
  return program.map((instruction) =>
    isReturn(instruction) && instruction.k > octets ? { ...instruction, k: octets } : instruction
  )
}
