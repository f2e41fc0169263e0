import assert from 'node:assert/strict'
import { test } from 'node:test'
import { progressText } from '../progress.ts'
import { type ReplayOptions, replayPlan } from './replay-plan.ts'

function plan(options: Partial<ReplayOptions>): ReturnType<typeof replayPlan> {
  return replayPlan({ ...LIVE, device: ['./requests.pcap'], ...options })
}

const LIVE: ReplayOptions = { checksums: true, buffer: '32' }

test('without options a file is replayed once, at its own pace', () => {
  assert.deepEqual(plan({}), {
    path: './requests.pcap',
    pace: { speed: 1, gapMaxMs: Number.POSITIVE_INFINITY },
    rounds: 1,
    from: undefined,
    to: undefined,
    filter: undefined,
    isChecking: true
  })
})

test('times are dates, seconds since 1970 or seconds after the first packet', () => {
  assert.deepEqual(plan({ from: '2026-11-21T10:00:00Z' })?.from, { ms: Date.UTC(2026, 10, 21, 10), isRelative: false })
  assert.deepEqual(plan({ from: '2026-11-21 10:00:00.5' })?.from, {
    ms: new Date(2026, 10, 21, 10, 0, 0, 500).getTime(),
    isRelative: false
  })
  assert.deepEqual(plan({ to: '1700000000.25' })?.to, { ms: 1_700_000_000_250, isRelative: false })
  assert.deepEqual(plan({ to: '+1.5' })?.to, { ms: 1500, isRelative: true })
})

test('invalid values are rejected, and so are options for files without a file', () => {
  const wrong: Partial<ReplayOptions>[] = [
    { accelerate: '0' },
    { accelerate: 'fast' },
    { interval: '-1' },
    { rounds: '1.5' },
    { from: 'yesterday' },
    { to: '10:00' }
  ]
  for (const options of wrong) assert.throws(() => plan(options), { code: 'bad-value' }, JSON.stringify(options))
  for (const options of [{ accelerate: '2' }, { from: '+1' }, { checksums: false }]) {
    assert.throws(() => replayPlan({ ...LIVE, ...options }), {
      code: 'contradiction',
      message: /requires a file to replay/
    })
  }
})

test('without a file there is no replay, and -F applies to live traffic', () => {
  for (const device of [undefined, ['lo'], ['any']]) {
    assert.equal(replayPlan({ ...LIVE, ...(device && { device }), filter: 'tcp' }), undefined)
  }
  assert.equal(plan({ filter: 'tcp' })?.filter, 'tcp')
  assert.throws(() => plan({ snapLength: '200' }), { code: 'contradiction', message: /cannot be used with a file/ })
})

test('progress shows the share, the rate and the remaining time', () => {
  const done = { octets: 250, packets: 5000 }
  assert.equal(progressText(done, 1000, 2000, 1), '[######..................] 25 %, 2,500 packets/s, 6 s left')
  assert.match(progressText(done, 1000, 2_000_000, 1), /100 min|1 h 40 min left/)
  assert.equal(progressText(done, 0, 2000, 1), '5,000 packets, 2,500 packets/s')
})
