import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OperatorError } from '../../errors.ts'
import { addressBytes, formatAddress, parseAddress } from '../../wire/address.ts'
import { addressRange } from '../options/values.ts'
import { isIn, rangesWithout } from './client-ranges.ts'

const ip = (text: string): number => parseAddress(text) ?? assert.fail(text)

function prefix(text: string): { bytes: Uint8Array; length: number } {
  const [address = '', length = ''] = text.split('/')
  return { bytes: addressBytes(ip(address)), length: Number(length) }
}

/** What is left of `-c`, as text. */
function left(given: readonly string[], own: readonly string[], taken: readonly string[]): string[] {
  const ranges = rangesWithout(given.map(addressRange), own.map(prefix), taken.map(ip))
  return ranges.map(({ first, count }) => `${formatAddress(first)} ${count}`)
}

test('addresses of this host, of targets and of intercept are removed from the ranges of -c', () => {
  assert.deepEqual(left(['10.9.0.x'], [], []), ['10.9.0.1 254'])
  assert.deepEqual(left(['10.9.0.x'], ['10.9.0.1/32', '127.0.0.0/8'], ['10.9.0.254']), ['10.9.0.2 252'])
  assert.deepEqual(left(['10.9.0.x'], [], ['10.9.0.7', '10.8.0.7']), ['10.9.0.1 6', '10.9.0.8 247'])
  assert.deepEqual(left(['10.9.0.x', '10.7.0.1'], ['10.9.0.0/25'], ['10.7.0.1']), ['10.9.0.128 127'])
  assert.deepEqual(left(['192.0.0.0/8'], [], ['200.0.0.1']), ['192.0.0.1 16777214'])
  const all6 = ['2001:db8::1 4294967295']
  assert.deepEqual(left(['2001:db8::/64'], ['10.9.0.0/24'], ['10.0.0.1']), all6)
  assert.deepEqual(left(['2001:db8::/64'], [], ['2001:db8::1']), ['2001:db8::2 4294967294'])
})

test('if nothing is left of an IP version, an error says so', () => {
  for (const [given, own] of [
    [['10.9.0.1'], ['10.9.0.1/32']],
    [['10.9.0.x'], ['10.9.0.0/16']],
    [['10.9.0.x', 'fd00::7'], ['fd00::/16']]
  ] as const) {
    const isRight = (error: unknown): boolean =>
      error instanceof OperatorError &&
      error.code === 'contradiction' &&
      /this host, a target or intercept/.test(error.message)
    assert.throws(() => left(given, own, []), isRight)
  }
})

test('a prefix holds addresses of its own IP version only', () => {
  assert.ok(isIn(ip('127.9.9.9'), prefix('127.0.0.0/8')))
  assert.ok(!isIn(ip('128.0.0.1'), prefix('127.0.0.0/8')))
  assert.ok(isIn(ip('::7f00:1'), prefix('::/0')))
  assert.ok(!isIn(ip('::7f00:1'), prefix('0.0.0.0/0')))
})
