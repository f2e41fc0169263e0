import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isClientHello, isEncryptedRecord } from './tls.ts'

/** A record with a handshake message of `helloLength` bytes after its header. */
function hello(recordLength: number, helloLength: number, ...change: readonly [at: number, value: number][]) {
  const bytes = [22, 3, 1, recordLength >> 8, recordLength & 255, 1, 0, helloLength >> 8, helloLength & 255, 3, 3, 7, 7]
  for (const [at, value] of change) bytes[at] = value
  return Uint8Array.from([99, ...bytes])
}

const isHello = (bytes: Uint8Array, length = bytes.length - 1): boolean => isClientHello(bytes, 1, length)

test('a ClientHello is recognized by its first nine bytes', () => {
  assert.ok(isHello(hello(512, 508)))
  assert.ok(isHello(hello(512, 508), 9))
  assert.ok(isHello(hello(16_384, 20_000)), 'it goes on in a second record')
  assert.ok(isHello(hello(1, 508)) === false)
  assert.ok(isHello(hello(5, 508)), 'a record of one byte')
  for (const minor of [0, 1, 2, 3, 4]) assert.ok(isHello(hello(512, 508, [2, minor])))
})

test('what differs in any of these bytes is no ClientHello', () => {
  assert.ok(!isHello(hello(512, 508), 8))
  assert.ok(!isHello(hello(512, 508, [0, 23])))
  assert.ok(!isHello(hello(512, 508, [1, 2])))
  assert.ok(!isHello(hello(512, 508, [2, 5])))
  assert.ok(!isHello(hello(512, 508, [5, 2])))
  assert.ok(!isHello(hello(512, 100)), 'the record is longer than the message')
  assert.ok(!isHello(hello(42, 38)), 'too short')
  assert.ok(!isHello(hello(16_385, 60_000)), 'longer than a record may be')
})

test('a record of encrypted data has a version and a plausible length', () => {
  const isEncrypted = (...bytes: number[]): boolean => isEncryptedRecord(Uint8Array.from(bytes), 0, bytes.length)
  assert.ok(isEncrypted(23, 3, 3, 0, 40))
  assert.ok(isEncrypted(23, 3, 1, 0x40, 0x20, 9))
  assert.ok(!isEncrypted(23, 3, 3, 0, 16))
  assert.ok(!isEncrypted(23, 3, 3, 0xff, 0))
  assert.ok(!isEncrypted(23, 3, 3, 0))
  assert.ok(!isEncrypted(23, 0, 3, 0, 40))
  assert.ok(!isEncrypted(22, 3, 3, 0, 40))
})
