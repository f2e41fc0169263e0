import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Errno, errnoMessage, errnoName } from './libc.ts'
import { allocate, mapMemory } from './memory.ts'

test('mapped memory is zero, writable, and takes no memory until touched', () => {
  const before = process.memoryUsage.rss()
  const mapping = mapMemory(1 << 30)
  assert.equal(mapping.bytes.length, 1 << 30)
  assert.equal(mapping.bytes[12345], 0)
  mapping.bytes[12345] = 7
  assert.equal(mapping.bytes[12345], 7)
  assert.ok(process.memoryUsage.rss() - before < 50 << 20)
  mapping.close()
  mapping.close()
})

test('memory can be mapped again at the same address', () => {
  for (let round = 0; round < 1000; round++) {
    const mapping = mapMemory(1 << 16)
    assert.equal(mapping.bytes[round], 0)
    mapping.bytes[round] = 1
    mapping.close()
  }
})

test('bytes and words of a block are the same memory', () => {
  const block = allocate(8)
  block.words[1] = -1
  assert.deepEqual([...block.bytes], [0, 0, 0, 0, 255, 255, 255, 255])
  assert.ok(block.address > 0)
})

test('errors have names and messages', () => {
  assert.equal(errnoName(Errno.EMSGSIZE), 'EMSGSIZE')
  assert.match(errnoMessage(Errno.EPERM), /operation not permitted \(EPERM\)/)
  assert.equal(errnoName(9999), 'errno 9999')
})
