import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatAddress, parseAddress } from '../../wire/address.ts'
import { Mapping } from './mapping.ts'

const ip = (text: string): number => parseAddress(text) ?? assert.fail(text)
const TARGET = ip('10.0.0.3')

test('all maps that match an address and port are used', () => {
  const map = (source: string, sourcePort: number) => ({
    sourceAddress: ip(source),
    sourcePort,
    targetAddress: TARGET,
    targetPort: 1
  })
  const mapping = new Mapping([map('10.0.0.2', 80), map('0.0.0.0', 80), map('10.0.0.9', 81)])
  assert.deepEqual(mapping.find(ip('10.0.0.2'), 80), [0, 1])
  assert.deepEqual(mapping.find(ip('10.0.0.7'), 80), [1])
  assert.deepEqual(mapping.find(ip('10.0.0.9'), 81), [2])
  assert.deepEqual(mapping.find(ip('10.0.0.2'), 81), [])
  assert.deepEqual(mapping.find(ip('10.0.0.2'), 82), [])
  assert.deepEqual([mapping.has(ip('10.0.0.7'), 80), mapping.has(ip('10.0.0.7'), 81)], [true, false])
})

test('without -c clients keep their addresses, and -H replaces only the loopback address', () => {
  const mapping = new Mapping([], [], [ip('10.1.1.1')])
  assert.equal(mapping.clientAddress(ip('10.0.0.7'), TARGET), ip('10.0.0.7'))
  assert.equal(mapping.clientAddress(ip('127.0.0.1'), TARGET), ip('10.1.1.1'))
  assert.equal(mapping.clientAddress(ip('127.9.9.9'), TARGET), ip('10.1.1.1'))
  assert.equal(mapping.clientAddress(ip('::1'), ip('2001:db8::2')), ip('::1'))
  assert.equal(new Mapping([]).clientAddress(ip('127.0.0.1'), TARGET), ip('127.0.0.1'))
})

test('-H replaces the loopback addresses of both IP versions at once', () => {
  const both = new Mapping([], [], [ip('2001:db8::7'), ip('10.1.1.1')])
  assert.equal(both.clientAddress(ip('127.0.0.2'), TARGET), ip('10.1.1.1'))
  assert.equal(both.clientAddress(ip('::1'), ip('2001:db8::2')), ip('2001:db8::7'))
  assert.equal(both.clientAddress(ip('::2'), ip('2001:db8::2')), ip('::2'))
})

test("-c gives each client one address of the range, always the same, and never the target's", () => {
  const ranges = [
    { first: ip('10.0.0.1'), count: 4 },
    { first: ip('192.168.255.254'), count: 3 }
  ]
  const allowed = new Set(
    ['10.0.0.1', '10.0.0.2', '10.0.0.4', '192.168.255.254', '192.168.255.255', '192.169.0.0'].map(ip)
  )
  const mapping = new Mapping([], ranges)
  const used = new Set<number>()
  fc.assert(
    fc.property(fc.integer(), (address) => {
      const chosen = mapping.clientAddress(address, TARGET)
      assert.ok(allowed.has(chosen))
      assert.equal(mapping.clientAddress(address, TARGET), chosen)
      used.add(chosen)
    }),
    { seed: 1, numRuns: 300 }
  )
  assert.equal(used.size, allowed.size)
})

test('a map without a source address, and a range of -c, apply only to their own IP version', () => {
  const target6 = ip('2001:db8::2')
  const maps = [TARGET, target6].map((targetAddress) => ({
    sourceAddress: 0,
    sourcePort: 80,
    targetAddress,
    targetPort: 80
  }))
  const ranges = [
    { first: ip('10.9.0.1'), count: 254 },
    { first: ip('2001:db8:9::1'), count: 2 ** 32 - 1 }
  ]
  const mapping = new Mapping(maps, ranges, [ip('2001:db8::7')])
  assert.deepEqual(mapping.find(ip('10.0.0.1'), 80), [0])
  assert.deepEqual(mapping.find(ip('2001:db8::1'), 80), [1])
  const client = mapping.clientAddress(ip('2001:db8::10'), target6)
  assert.equal(client, mapping.clientAddress(ip('2001:db8::10'), target6))
  assert.match(formatAddress(client), /^2001:db8:9::/)
  assert.match(formatAddress(mapping.clientAddress(ip('10.0.0.9'), TARGET)), /^10\.9\.0\./)
  const plain = new Mapping(maps, [], [ip('2001:db8::7')])
  assert.equal(plain.clientAddress(ip('::1'), target6), ip('2001:db8::7'))
  assert.equal(plain.clientAddress(ip('127.0.0.1'), TARGET), ip('127.0.0.1'))
})
