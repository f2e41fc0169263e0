import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readOptions } from '../options/command.ts'
import { type CopyOptions, copyCommand } from './copy-command.ts'
import { copyPlan } from './copy-plan.ts'
import { type InterceptOptions, type InterceptPlan, interceptCommand, interceptPlan } from './intercept-plan.ts'
import { partOfInterceptPlan } from './worker-plans.ts'

async function planOf(...args: readonly string[]): Promise<InterceptPlan> {
  const options = readOptions<InterceptOptions>(interceptCommand(), ['--allow-forwarding', ...args])
  assert.ok(options)
  return await interceptPlan(options)
}

test("the ring and the pending headers are divided among intercept's workers", async () => {
  assert.equal((await planOf('-F', 'tcp')).workers, 1)
  const part = partOfInterceptPlan(await planOf('-F', 'tcp', '--workers', '4', '-B', '24', '-s', '10'))
  assert.deepEqual([part.ringMegabytes, part.delayMax], [6, 3])
  await assert.rejects(planOf('-F', 'tcp', '--workers', '17'), { hint: /a number from 1 to 16, or auto/ })
})

test('with --single both programs have one worker', async () => {
  const message = '--workers 2 cannot be used: only one thread can read the answers of --single'
  assert.equal((await planOf('-F', 'tcp', '--single', '--workers', 'auto')).workers, 1)
  await assert.rejects(planOf('-F', 'tcp', '--single', '--workers', '2'), { message })
  const texts = ['-x', '80-192.0.2.1:80', '-s', '192.0.2.2', '--single', '--workers', '2']
  const options = readOptions<CopyOptions>(copyCommand(), texts)
  assert.ok(options)
  await assert.rejects(copyPlan(options), { message })
})

test('an nfqueue is read by one worker', async () => {
  assert.equal((await planOf('--nfqueue', '--workers', 'auto')).workers, 1)
  await assert.rejects(planOf('--nfqueue', '--workers', '2'), {
    code: 'contradiction',
    message: '--workers 2 cannot be used: only one thread can read a queue of --nfqueue'
  })
})
