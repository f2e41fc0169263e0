/** Filters for whole frames, made from filters for IP packets. Pure. */
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

/** The instruction classes Load and LoadX, and their modes that read the packet. */
const CLASS = 0x07
const LOAD_X = 1
const MODE = 0xe0
const ABSOLUTE = 0x20
const INDEXED = 0x40
const HEADER_LENGTH = 0xa0

function isReturn({ code }: FilterInstruction): boolean {
  return (code & CLASS) === RETURN
}

/** Shifts a program for packets that start this many bytes later. */
function behind(program: FilterProgram, octets: number): FilterProgram {
  return program.map((instruction) => {
    const { code, k } = instruction
    const mode = code & MODE
    const isLooking = (code & CLASS) <= LOAD_X && (mode === ABSOLUTE || mode === INDEXED || mode === HEADER_LENGTH)
    return isLooking && k < ANCILLARY ? { ...instruction, k: k + octets } : instruction
  })
}

/** Jumps to an ACCEPT after the values if A is one of them; past it otherwise. */
function acceptIf(values: readonly number[]): FilterProgram {
  const last = values.length - 1
  const jumps = values.map((k, index) => ({ code: JUMP_EQUAL, jt: last - index, jf: index === last ? 1 : 0, k }))
  return [...jumps, ACCEPT]
}

/**
 * Accepts what a filter for IPv4 packets accepts, and whatever may contain such a packet, which is checked later.
 * @param link what is at offset 0: an Ethernet header without its outermost VLAN tag, which the kernel removes, or none
 * @param filter6 for IPv6 packets; undefined if none are wanted, nor in tunnels
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

/** Accepts IPv4 packets except TCP or UDP to one of these places. */
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

/** The same for IPv6 packets; ports after extension headers cannot be found here. */
export function notTo6(places: readonly FilterTarget[]): FilterProgram {
  const refusals = places.map(({ address, port }) => ifAll([...testAddress6(address), testPort6(port)], REJECT))
  return [...refusals.flat(), ACCEPT]
}

/** Accepts what both programs accept: where the first accepts, the second follows. */
export function both(first: FilterProgram, second: FilterProgram): FilterProgram {
  const goOn = first.map((instruction, index) =>
    isReturn(instruction) && instruction.k > 0 ? load(JUMP, first.length - index - 1) : instruction
  )
  return [...goOn, ...second]
}

/** Accepts the same packets, but truncates them to `octets` bytes. */
export function cutTo(program: FilterProgram, octets: number): FilterProgram {
  return program.map((instruction) =>
    isReturn(instruction) && instruction.k > octets ? { ...instruction, k: octets } : instruction
  )
}
