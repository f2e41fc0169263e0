/** Filters for sockets that get frames as a device sees them, made of filters for IP packets. The code here is pure. */
import { addressOctets } from '../../wire/address.ts'
import type { FilterInstruction, FilterProgram } from '../../wire/bpf.ts'
import { i32 } from '../../wire/bytes.ts'
import type { FilterTarget } from './filter.ts'

const LOAD_WORD = 0x20
const LOAD_HALF = 0x28
const LOAD_BYTE = 0x30
const LOAD_HALF_INDEXED = 0x48
const LOAD_X_HEADER_LENGTH = 0xb1
const AND = 0x54
const JUMP = 0x05
const JUMP_EQUAL = 0x15
const JUMP_ANY_BIT = 0x45
const RETURN = 0x06

/** The classes Load and LoadX, and their modes that look into the packet. */
const CLASS = 0x07
const LOAD_X = 1
const MODE = 0xe0
const ABSOLUTE = 0x20
const INDEXED = 0x40
const HEADER_LENGTH = 0xa0
/** From here on a load asks the kernel about the packet: SKF_AD_OFF. */
const ANCILLARY = 0xfffff000
const ACCEPT: FilterInstruction = { code: RETURN, jt: 0, jf: 0, k: 0x40000 }
const REJECT: FilterInstruction = { code: RETURN, jt: 0, jf: 0, k: 0 }

const ETHERNET_HEADER = 14
const IPV4 = 0x0800
const IPV6 = 0x86dd
const IPV6_HEADER = 40
/** What a packet may be inside: VLAN tags behind the first, PPPoE, MPLS. */
const LAYERS = [0x8100, 0x88a8, 0x9100, 0x8864, 0x8847, 0x8848]
/** IP of either version in IP, and GRE (ERSPAN too). */
const TUNNELS = [4, 41, 47]
const UDP = 17
/** VXLAN's port, and the one that Linux had before it. */
const VXLAN_PORTS = [4789, 8472]
const FRAGMENT_OFFSET = 0x1fff
const TARGET_ADDRESS_AT = 16
const TARGET_PORT_AT = 2
const TARGET_ADDRESS_6_AT = 24

function load(code: number, k: number): FilterInstruction {
  return { code, jt: 0, jf: 0, k }
}

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
      ? [load(LOAD_HALF, 12), { code: JUMP_EQUAL, jt: 0, jf: 1, k: IPV6 }]
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
      ? [load(LOAD_HALF, 12), ...acceptIf(LAYERS), { code: JUMP_EQUAL, jt: 1, jf: 0, k: IPV4 }]
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
  const refusals = places.map(({ address, port }) => {
    const octets = addressOctets(address)
    const equal = [0, 4, 8, 12].map((at) => [load(LOAD_WORD, TARGET_ADDRESS_6_AT + at), i32(octets, at) >>> 0] as const)
    const tests = [...equal, [load(LOAD_HALF, IPV6_HEADER + TARGET_PORT_AT), port] as const]
    const jumps = tests.flatMap(([look, k], index) => [
      look,
      { code: JUMP_EQUAL, jt: 0, jf: 2 * (tests.length - index) - 1, k }
    ])
    return [...jumps, REJECT]
  })
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
