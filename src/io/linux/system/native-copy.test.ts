import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allocate, mapMemory } from './memory.ts'
import { copyOctets } from './native-copy.ts'

test('any range is copied, and nothing outside it', () => {
  const arrays = Array.from({ length: 6 }, () => allocate(512).bytes)
  const mapping = mapMemory(512)
  arrays.push(mapping.bytes, mapping.bytes.subarray(256))
  const index = fc.nat(arrays.length - 1)
  fc.assert(
    fc.property(
      index,
      index,
      fc.nat(400),
      fc.nat(400),
      fc.nat(100),
      fc.nat(255),
      (a, b, fromAt, toAt, length, byte) => {
        const from = arrays[a]
        const to = arrays[b]
        if (from === undefined || to === undefined || from.buffer === to.buffer) return
        if (fromAt + length > from.length || toAt + length > to.length) return
        from.forEach((_, at) => {
          from[at] = at * 7 + byte
        })
        to.fill(byte)
        const expected = Uint8Array.from(to)
        expected.set(from.subarray(fromAt, fromAt + length), toAt)
        copyOctets(from, fromAt, to, toAt, length)
        assert.deepEqual(to, expected)
      }
    )
  )
  const [from = new Uint8Array(), to = new Uint8Array()] = arrays
  for (const [fromAt, toAt, length] of [
    [500, 0, 13],
    [0, 500, 13],
    [-1, 0, 1],
    [0, -1, 1]
  ] as const) {
    assert.throws(() => copyOctets(from, fromAt, to, toAt, length), RangeError)
  }
  mapping.close()
})
