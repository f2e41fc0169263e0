/**
 * Instructions of classic BPF, as numbered in linux/bpf_common.h, and the building blocks of all filters here. Pure.
 * Kernel documentation: networking/filter.
 */
import { addressBytes } from '../../../wire/address.ts'
import { i32 } from '../../../wire/bytes.ts'
import type { FilterInstruction, FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { IPV6_HEADER } from '../../../wire/ipv6.ts'

export const LOAD_WORD = 0x20
export const LOAD_HALF = 0x28
export const LOAD_BYTE = 0x30
/** A half word and a byte at X + k. */
export const LOAD_HALF_INDEXED = 0x48
export const LOAD_BYTE_INDEXED = 0x50
/** X = 4 × the low four bits of the byte at k: the length of an IPv4 header. */
export const LOAD_X_HEADER_LENGTH = 0xb1
/** X = A, A = M[k], M[k] = A. */
export const TO_X = 0x07
export const LOAD_SCRATCH = 0x60
export const STORE_SCRATCH = 0x02
export const SUBTRACT_X = 0x1c
export const MULTIPLY = 0x24
export const AND = 0x54
export const SHIFT_RIGHT = 0x74
export const JUMP = 0x05
export const JUMP_EQUAL = 0x15
export const JUMP_EQUAL_X = 0x1d
export const JUMP_ANY_BIT = 0x45
export const RETURN = 0x06
export const RETURN_RESULT = 0x16

export const ACCEPT: FilterInstruction = { code: RETURN, jt: 0, jf: 0, k: 0x40000 }
export const REJECT: FilterInstruction = { code: RETURN, jt: 0, jf: 0, k: 0 }
/** Rejects every packet. */
export const NOTHING: FilterProgram = [REJECT]

/** Loads from this offset on ask the kernel about the packet: SKF_AD_OFF. */
export const ANCILLARY = 0xfffff000

/** SKF_AD_PKTTYPE: whom the link layer sent a frame to: PACKET_HOST (0), PACKET_OTHERHOST, PACKET_OUTGOING and so on. */
export const PACKET_TYPE = ANCILLARY + 4
/** Offsets in an IPv4 header. */
export const TARGET_ADDRESS_AT = 16
export const FRAGMENT_OFFSET = 0x1fff
/** Offsets in TCP and UDP headers. */
export const TARGET_PORT_AT = 2

const TARGET_ADDRESS_6_AT = 24

/** An address and port where requests arrive, or where copies go. */
export interface FilterTarget {
  /** Address of the filter's IP version; 0: any. */
  readonly address: number
  readonly port: number
  /** Only frames that were sent to this host's own link-layer address (PACKET_HOST). Default: all. */
  readonly isForHost?: boolean
}

/** A load, and the value it must return. */
export type Test = readonly [look: FilterInstruction, value: number]

/** An instruction without a jump. */
export function load(code: number, k: number): FilterInstruction {
  return { code, jt: 0, jf: 0, k }
}

/** Returns the verdict if all tests hold; otherwise continues after it. */
export function ifAll(tests: readonly Test[], verdict: FilterInstruction): FilterProgram {
  const jumps = tests.flatMap(([look, k], index) => [
    look,
    { code: JUMP_EQUAL, jt: 0, jf: 2 * (tests.length - index) - 1, k }
  ])
  return [...jumps, verdict]
}

/** Whether a frame was sent to this host's own link-layer address. */
export const TO_HOST: Test = [load(LOAD_BYTE, PACKET_TYPE), 0]

/** Whether an IPv6 packet is for this port, which is only found without extension headers. */
export function testPort6(port: number): Test {
  return [load(LOAD_HALF, IPV6_HEADER + TARGET_PORT_AT), port]
}

/** Whether a packet is for this IPv6 address. */
export function testAddress6(address: number): readonly Test[] {
  const octets = addressBytes(address)
  return [0, 4, 8, 12].map((at) => [load(LOAD_WORD, TARGET_ADDRESS_6_AT + at), i32(octets, at) >>> 0])
}
