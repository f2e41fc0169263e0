/**
 * The words of classic BPF programs, as linux/bpf_common.h numbers them, and what all filters here are made of. Pure.
 * Kernel documentation: networking/filter.
 */
import { addressOctets } from '../../../wire/address.ts'
import { i32 } from '../../../wire/bytes.ts'
import type { FilterInstruction, FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { IPV6_HEADER } from '../../../wire/ipv6.ts'

export const LOAD_WORD = 0x20
export const LOAD_HALF = 0x28
export const LOAD_BYTE = 0x30
/** A half word, an octet at X + k. */
export const LOAD_HALF_INDEXED = 0x48
export const LOAD_BYTE_INDEXED = 0x50
/** X = 4 × the low four bits of the octet at k: the length of an IPv4 header. */
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
/** Passes nothing. */
export const NOTHING: FilterProgram = [REJECT]

/** From here on a load asks the kernel about the packet: SKF_AD_OFF. */
export const ANCILLARY = 0xfffff000

/** In an IPv4 header. */
export const TARGET_ADDRESS_AT = 16
export const FRAGMENT_OFFSET = 0x1fff
/** In a TCP and in a UDP header. */
export const TARGET_PORT_AT = 2

const TARGET_ADDRESS_6_AT = 24

/** A place where clients' requests arrive, or where copies go. */
export interface FilterTarget {
  /** Of the filter's version of IP; 0: any. */
  readonly address: number
  readonly port: number
}

/** What is looked at, and what it has to be. */
export type Test = readonly [look: FilterInstruction, value: number]

/** An instruction that jumps nowhere. */
export function load(code: number, k: number): FilterInstruction {
  return { code, jt: 0, jf: 0, k }
}

/** Gives the verdict if all tests hold; goes on behind it otherwise. */
export function ifAll(tests: readonly Test[], verdict: FilterInstruction): FilterProgram {
  const jumps = tests.flatMap(([look, k], index) => [
    look,
    { code: JUMP_EQUAL, jt: 0, jf: 2 * (tests.length - index) - 1, k }
  ])
  return [...jumps, verdict]
}

/** Whether an IPv6 packet is for this port, which is found only where no extension header stands before it. */
export function testPort6(port: number): Test {
  return [load(LOAD_HALF, IPV6_HEADER + TARGET_PORT_AT), port]
}

/** Whether it is for this IPv6 address. */
export function testAddress6(address: number): readonly Test[] {
  const octets = addressOctets(address)
  return [0, 4, 8, 12].map((at) => [load(LOAD_WORD, TARGET_ADDRESS_6_AT + at), i32(octets, at) >>> 0])
}
