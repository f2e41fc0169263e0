/**
 * Runs classic BPF programs on packets of files; for live packets the kernel runs them. The operations are described in
 * bpf(4) of the BSDs and in the kernel's Documentation/networking/filter.rst.
 */
import { i32, u8, u16 } from '../bytes.ts'

/** A `sock_filter`: operation, jumps relative to the next instruction (0 to 255), operand (uint32). */
export interface FilterInstruction {
  readonly code: number
  readonly jt: number
  readonly jf: number
  readonly k: number
}
export type FilterProgram = readonly FilterInstruction[]

/** Classes of operations, in the low three bits. */
const Class = { Load: 0, LoadX: 1, Store: 2, StoreX: 3, Compute: 4, Jump: 5, Return: 6, Misc: 7 } as const
const IS_X = 0x08
const Mode = { Immediate: 0x00, Absolute: 0x20, Indexed: 0x40, Memory: 0x60, Length: 0x80, HeaderLength: 0xa0 } as const
const SCRATCH_WORDS = 16

/**
 * Runs a program on a packet as libpcap's `bpf_filter` does: a load beyond the packet, a division by zero and an
 * unknown operation reject it. Every program ends, because jumps only go forward.
 * @param length bytes present from `at`; @param wireLength bytes of the packet on the wire
 * @returns how many bytes of the packet to keep; 0: rejected
 */
export function runFilter(
  program: FilterProgram,
  bytes: Uint8Array,
  at: number,
  length: number,
  wireLength: number
): number {
  let a = 0
  let x = 0
  let scratch: Uint32Array | undefined
  for (let counter = 0; counter < program.length; counter++) {
    const instruction = program[counter]
    if (instruction === undefined) return 0
    const { code, k } = instruction
    switch (code & 0x07) {
      case Class.Load:
      case Class.LoadX: {
        const isA = (code & 0x07) === Class.Load
        const mode = code & 0xe0
        let value: number
        if (mode === Mode.Immediate) value = k
        else if (mode === Mode.Memory) value = scratch?.[k] ?? 0
        else if (mode === Mode.Length) value = wireLength
        else if (mode === Mode.HeaderLength) value = k < length ? (u8(bytes, at + k) & 0x0f) * 4 : -1
        else value = load(code, bytes, at, length, mode === Mode.Indexed ? x + k : k)
        if (value < 0) return 0
        if (isA) a = value
        else x = value
        break
      }
      case Class.Store:
      case Class.StoreX:
        scratch ??= new Uint32Array(SCRATCH_WORDS)
        if (k >= SCRATCH_WORDS) return 0
        scratch[k] = (code & 0x07) === Class.Store ? a : x
        break
      case Class.Compute: {
        const result = compute(code & 0xf0, a, code & IS_X ? x : k)
        if (result < 0) return 0
        a = result
        break
      }
      case Class.Jump: {
        if ((code & 0xf0) === 0) counter += k
        else counter += isTrue(code & 0xf0, a, code & IS_X ? x : k) ? instruction.jt : instruction.jf
        break
      }
      case Class.Return:
        return (code & 0x18) === 0x10 ? a : k
      default:
        if (code & 0x80) a = x
        else x = a
    }
  }
  return 0
}

/** A word, half word or byte of the packet; −1 beyond its end. */
function load(code: number, bytes: Uint8Array, at: number, length: number, offset: number): number {
  const size = code & 0x18
  if (size === 0) return offset + 4 <= length ? i32(bytes, at + offset) >>> 0 : -1
  if (size === 0x08) return offset + 2 <= length ? u16(bytes, at + offset) : -1
  return offset + 1 <= length ? u8(bytes, at + offset) : -1
}

/** All numbers are uint32. @returns −1 for a division by zero or an unknown operation */
function compute(operation: number, a: number, b: number): number {
  switch (operation) {
    case 0x00:
      return (a + b) >>> 0
    case 0x10:
      return (a - b) >>> 0
    case 0x20:
      return Math.imul(a, b) >>> 0
    case 0x30:
      return b === 0 ? -1 : Math.floor(a / b)
    case 0x40:
      return (a | b) >>> 0
    case 0x50:
      return (a & b) >>> 0
    case 0x60:
      return b > 31 ? 0 : (a << b) >>> 0
    case 0x70:
      return b > 31 ? 0 : a >>> b
    case 0x80:
      return -a >>> 0
    case 0x90:
      return b === 0 ? -1 : a % b
    case 0xa0:
      return (a ^ b) >>> 0
    default:
      return -1
  }
}

function isTrue(operation: number, a: number, b: number): boolean {
  if (operation === 0x10) return a === b
  if (operation === 0x20) return a > b
  return operation === 0x30 ? a >= b : (a & b) !== 0
}
