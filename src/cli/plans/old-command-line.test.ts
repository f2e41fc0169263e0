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

test('positional arguments say what to copy, and that intercept runs on the target', async () => {
  const { settings } = await copyPlan(read('10.0.0.1:10.0.0.9', '80', '192.0.2.2', '8080', '-p', '1234'))
  const map = { sourcePort: 80, targetAddress: 0xc0000202 | 0, targetPort: 8080 }
  assert.deepEqual(settings.selection.maps, [
    { ...map, sourceAddress: 0x0a000001 },
    { ...map, sourceAddress: 0x0a000009 }
  ])
  assert.deepEqual(settings.channel.intercepts, [{ address: 0xc0000202 | 0, port: 1234 }])
})

test('another intercept can be named, and options can come before and between the arguments', async () => {
  const { settings } = await copyPlan(read('-W', '10.0.0.1', '80', '-s', '192.0.2.3', '192.0.2.2', '8080'))
  assert.deepEqual(settings.channel.intercepts, [{ address: 0xc0000203 | 0, port: 36_524 }])
  assert.equal(settings.session.gate.isWaiting, false)
})

test('too few or too many positional arguments, or any with -x, are rejected', () => {
  for (const [code, ...argv] of [
    ['bad-option', 'extra'],
    ['bad-option', '10.0.0.1', '80', '192.0.2.2'],
    ['bad-option', '10.0.0.1', '80', '192.0.2.2', '80', '80'],
    ['contradiction', '10.0.0.1', '80', '192.0.2.2', '80', '-x', '80-192.0.2.2:80']
  ] as const) {
    assert.throws(() => read(...argv), { code })
  }
})

test('an invalid positional argument gives the same error as with -x', async () => {
  await assert.rejects(copyPlan(read('10.0.0.1', 'http', '192.0.2.2', '80')), { code: 'bad-value' })
  await assert.rejects(copyPlan(read('10.0.0', '80', '192.0.2.2', '80')), { code: 'bad-value' })
})
