import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CaptureOptions, capturePlan, inputOf } from './capture-plan.ts'

function plan(options: Partial<CaptureOptions> = {}): ReturnType<typeof capturePlan> {
  return capturePlan({ buffer: '32', ...options })
}

test('-i takes a path or an existing file as a file, unless a device has that name', () => {
  for (const path of ['-', './eth0', 'requests.pcap', 'requests.pcapng.gz', 'package.json', './a,b.pcap']) {
    assert.deepEqual(inputOf([path]), { path, devices: [] })
  }
  assert.deepEqual(inputOf(['lo']), { path: undefined, devices: ['lo'] })
  assert.deepEqual(inputOf(['lo, lo', 'lo']), { path: undefined, devices: ['lo'] })
  for (const values of [undefined, [], ['any'], ['lo,any']]) {
    assert.deepEqual(inputOf(values), { path: undefined, devices: [] })
  }
})

test('an error for an unknown device names the existing ones', () => {
  assert.throws(() => inputOf(['nosuchdev']), { code: 'no-device', message: /nosuchdev, and no file/, hint: /\blo\b/ })
  assert.throws(() => inputOf(['lo,nosuchdev']), { code: 'no-device', message: /device nosuchdev$/, hint: /\blo\b/ })
  assert.throws(() => inputOf(['lo', './file.pcap']), { code: 'no-device', message: /device \.\/file\.pcap$/ })
})

test('without options everything for this host is captured, on any device', () => {
  assert.deepEqual(plan(), { by: 'ring', devices: [], filter: undefined, ringMegabytes: 32, snapLength: 0x40000 })
  assert.deepEqual(plan({ device: ['lo'], filter: 'tcp', buffer: '8', snapLength: '200' }), {
    by: 'ring',
    devices: ['lo'],
    filter: 'tcp',
    ringMegabytes: 8,
    snapLength: 200
  })
  assert.equal(plan({ capture: 'ip', device: ['any'] }).by, 'ip')
  assert.throws(() => plan({ capture: 'ip', device: ['lo'] }), { code: 'contradiction' })
  assert.throws(() => plan({ capture: 'ip', device: ['./file'] }), { code: 'contradiction' })
  assert.throws(() => plan({ capture: 'pcap' }), { code: 'bad-value' })
  assert.throws(() => plan({ snapLength: '60' }), { code: 'bad-value' })
  assert.throws(() => plan({ buffer: '0' }), { code: 'bad-value' })
})
