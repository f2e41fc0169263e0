import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceIndex, hardwareOf, isEthernet, isForwarding, listDevices, reversePathFilter } from './devices.ts'

test('the loopback device has an index and Ethernet headers', () => {
  assert.ok(listDevices().includes('lo'))
  assert.ok(deviceIndex('lo') > 0)
  assert.equal(hardwareOf('lo').type, 772)
  assert.equal(isEthernet('lo'), true)
})

test('a missing device is an operator error that names the existing ones', () => {
  assert.throws(() => deviceIndex('nope0'), { code: 'no-device', hint: /\blo\b/ })
  assert.throws(() => hardwareOf('nope0'), { code: 'no-device' })
})

test('settings are read, and are undefined for a missing device', () => {
  assert.equal(typeof isForwarding('lo'), 'boolean')
  assert.equal(typeof isForwarding(), 'boolean')
  assert.ok([0, 1, 2].includes(reversePathFilter('lo') ?? -1))
  assert.equal(isForwarding('nope0'), undefined)
  assert.equal(reversePathFilter('nope0'), undefined)
})
