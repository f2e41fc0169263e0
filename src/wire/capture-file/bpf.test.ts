import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type FilterInstruction, runFilter } from './bpf.ts'

const packet = Uint8Array.from([0x46, 0xff, 0x01, 0x02, 0x80, 0, 0, 1])

function op(code: number, k = 0, jt = 0, jf = 0): FilterInstruction {
  return { code, jt, jf, k }
}

const RETURN_A = op(0x16)

function result(...program: FilterInstruction[]): number {
  return runFilter([...program, RETURN_A], packet, 0, packet.length, 1500)
}

test('every operation does what bpf(4) says', () => {
  const cases: [number, FilterInstruction[]][] = [
    [0x46ff0102, [op(0x20, 0)]],
    [0x80000001, [op(0x20, 4)]],
    [0x0102, [op(0x28, 2)]],
    [0xff, [op(0x30, 1)]],
    [0x0102, [op(0x01, 2), op(0x48, 0)]],
    [24, [op(0xb1, 0), op(0x87)]],
    [1500, [op(0x80)]],
    [9, [op(0x00, 9), op(0x02, 3), op(0x00, 1), op(0x60, 3)]],
    [7, [op(0x00, 5), op(0x04, 2)]],
    [0xfffffffe, [op(0x00, 1), op(0x14, 3)]],
    [0xfffffffb, [op(0x00, 0xffffffff), op(0x24, 5)]],
    [3, [op(0x00, 7), op(0x34, 2)]],
    [1, [op(0x00, 7), op(0x94, 3)]],
    [0x0f, [op(0x00, 0x3c), op(0x74, 2)]],
    [0x80000000, [op(0x00, 1), op(0x64, 31)]],
    [6, [op(0x00, 5), op(0xa4, 3)]],
    [0xffffffff, [op(0x00, 1), op(0x84)]],
    [8, [op(0x01, 3), op(0x00, 5), op(0x0c)]],
    [5, [op(0x00, 5), op(0x07), op(0x00, 0), op(0x87)]],
    [2, [op(0x05, 1), op(0x00, 1), op(0x04, 2)]],
    [1, [op(0x00, 5), op(0x15, 5, 0, 1), op(0x00, 1)]],
    [5, [op(0x00, 5), op(0x25, 5, 0, 1), op(0x00, 1)]],
    [1, [op(0x00, 0x80000000), op(0x35, 5, 0, 1), op(0x00, 1)]],
    [4, [op(0x00, 4), op(0x45, 3, 0, 1), op(0x00, 1)]]
  ]
  for (const [expected, program] of cases) assert.equal(result(...program), expected, JSON.stringify(program))
})

test('an invalid operation rejects the packet, and every program ends', () => {
  const loads = [op(0x20, 5), op(0x28, 7), op(0x30, 8), op(0x20, 0xffffffff), op(0xb1, 9)]
  for (const load of loads) assert.equal(result(load, op(0x00, 1)), 0)
  assert.equal(result(op(0x34, 0), op(0x00, 1)), 0)
  assert.equal(result(op(0x02, 99), op(0x00, 1)), 0)
  assert.equal(result(op(0x05, 0xffffffff)), 0)
  assert.equal(runFilter([], packet, 0, 8, 8), 0)
})
