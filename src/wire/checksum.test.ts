import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { copyAndSum, fold, pseudoHeaderSum, sum } from './checksum.ts'

const anyBytes = fc.uint8Array({ maxLength: 300 })

/** As in RFC 1071 §4.1: fold after each word. */
function reference(bytes: Uint8Array): number {
  let total = 0
  for (let index = 0; index < bytes.length; index += 2) {
    total += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0)
    if (total > 0xffff) total -= 0xffff
  }
  return total
}

test('a checksum equals that of RFC 1071, wherever the bytes are', () => {
  fc.assert(
    fc.property(anyBytes, fc.nat(9), (bytes, at) => {
      const memory = new Uint8Array(at + bytes.length + 5).fill(0xa5)
      memory.set(bytes, at)
      assert.equal(fold(sum(memory, at, bytes.length)) % 0xffff, reference(bytes) % 0xffff)
    }),
    { seed: 1 }
  )
  assert.equal(fold(sum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8)), 0xddf2)
})

test('the checksum of more than 64 KB of ones is right', () => {
  for (const length of [0xffff, 0x10000, 0x10001, 200_003]) {
    const bytes = new Uint8Array(length).fill(0xff)
    assert.equal(fold(sum(bytes, 0, length)), length % 2 === 0 ? 0xffff : 0xff00, `${length}`)
  }
})

test('a copy is exact, touches nothing else, and sums what it copies', () => {
  fc.assert(
    fc.property(anyBytes, fc.nat(9), fc.nat(9), (bytes, fromAt, toAt) => {
      const from = new Uint8Array(fromAt + bytes.length)
      from.set(bytes, fromAt)
      const to = new Uint8Array(toAt + bytes.length + 3).fill(0xa5)
      assert.equal(copyAndSum(from, fromAt, to, toAt, bytes.length), sum(bytes, 0, bytes.length))
      assert.deepEqual(to.subarray(toAt, toAt + bytes.length), bytes)
      assert.ok(to.subarray(0, toAt).every((byte) => byte === 0xa5))
      assert.ok(to.subarray(toAt + bytes.length).every((byte) => byte === 0xa5))
    }),
    { seed: 1 }
  )
})

test('checksums of parts add up if the parts have even lengths', () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, (first, second) => {
      const even = first.subarray(0, first.length & ~1)
      const whole = Uint8Array.from([...even, ...second])
      const parts = sum(even, 0, even.length) + sum(second, 0, second.length)
      assert.equal(fold(parts), fold(sum(whole, 0, whole.length)))
    }),
    { seed: 1 }
  )
})

test('the pseudo-header is as in RFC 9293 §3.1', () => {
  const bytes = Uint8Array.of(10, 77, 0, 82, 10, 77, 0, 143, 0, 6, 0, 40)
  assert.equal(fold(pseudoHeaderSum(0x0a4d0052, 0x0a4d008f, 6, 40)), fold(sum(bytes, 0, 12)))
  assert.equal(pseudoHeaderSum(-1, -1, 6, 70_000), 4 * 0xffff + 6 + 1 + (70_000 - 65_536))
})
