import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readOptions } from '../options/command.ts'
import { type CopyOptions, copyCommand } from './copy-command.ts'
import { copyPlan } from './copy-plan.ts'
import { withPlaces } from './old-command-line.ts'

function read(...argv: readonly string[]): CopyOptions {
  const command = copyCommand()
  const options = readOptions<CopyOptions>(command, argv)
  assert.ok(options)
  return withPlaces(options, command.args)
}

test('places say what to copy, and that intercept is on the target', async () => {
  const plan = await copyPlan(read('10.0.0.1:10.0.0.9', '80', '192.0.2.2', '8080', '-p', '1234'))
  const map = { sourcePort: 80, targetAddress: 0xc0000202 | 0, targetPort: 8080 }
  assert.deepEqual(plan.maps, [
    { ...map, sourceAddress: 0x0a000001 },
    { ...map, sourceAddress: 0x0a000009 }
  ])
  assert.deepEqual(plan.intercepts, [{ address: 0xc0000202 | 0, port: 1234 }])
})

test('another intercept may be named, and options stand before and between', async () => {
  const plan = await copyPlan(read('-W', '10.0.0.1', '80', '-s', '192.0.2.3', '192.0.2.2', '8080'))
  assert.deepEqual(plan.intercepts, [{ address: 0xc0000203 | 0, port: 36_524 }])
  assert.equal(plan.isWaiting, false)
})

test('places that are too few, too many, or beside -x are refused', () => {
  for (const [code, ...argv] of [
    ['bad-option', 'extra'],
    ['bad-option', '10.0.0.1', '80', '192.0.2.2'],
    ['bad-option', '10.0.0.1', '80', '192.0.2.2', '80', '80'],
    ['contradiction', '10.0.0.1', '80', '192.0.2.2', '80', '-x', '80-192.0.2.2:80']
  ] as const) {
    assert.throws(() => read(...argv), { code })
  }
})

test('a place that is wrong is told in the words of -x', async () => {
  await assert.rejects(copyPlan(read('10.0.0.1', 'http', '192.0.2.2', '80')), { code: 'bad-value' })
  await assert.rejects(copyPlan(read('10.0.0', '80', '192.0.2.2', '80')), { code: 'bad-value' })
})
