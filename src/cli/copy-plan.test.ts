/** Which connections are copied, how often, and in packets of which size, as the command line says it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OperatorError } from '../errors.ts'
import { readOptions } from './command.ts'
import { type CopyOptions, type CopyPlan, copiesWarnings, copyCommand, copyPlan } from './copy-plan.ts'

async function planOf(...args: readonly string[]): Promise<CopyPlan> {
  const options = readOptions<CopyOptions>(copyCommand(), ['-x', '80-192.0.2.1:80', '-s', '192.0.2.2', ...args])
  assert.ok(options)
  return await copyPlan(options)
}

test('each connection is copied once, unless options say otherwise', async () => {
  const { selection, portShift, mtuBytes } = await planOf()
  assert.deepEqual(selection, { share: 1_000_000, isOnlyNew: false, isRampUp: false, copies: 1_000_000 })
  assert.deepEqual([portShift, mtuBytes], [0, 1500])
})

test('fractions of -r and -n are exact', async () => {
  const { selection } = await planOf('-r', '12.5', '-n', '1.3', '-O', '-g')
  assert.deepEqual(selection, { share: 125_000, isOnlyNew: true, isRampUp: true, copies: 1_300_000 })
})

test('-D lowers the size of packets, and does not raise it above -M', async () => {
  assert.equal((await planOf('-D', '1000')).mtuBytes, 1040)
  assert.equal((await planOf('-D', '9000')).mtuBytes, 1500)
})

test('a value that cannot be is refused in one sentence', async () => {
  const wrong = ['-r 0', '-r 101', '-r 30%', '-r 1.23456', '-n 0.5', '-n 1024', '-n 1e3', '-f 1024', '-D 20']
  for (const text of wrong) {
    await assert.rejects(planOf(...text.split(' ')), (error: unknown) => {
      assert.ok(error instanceof OperatorError)
      assert.equal(error.code, 'bad-value')
      assert.match(error.hint, /^It takes .* from \S+ to \S+\b/)
      return true
    })
  }
})

test('too few ports or too small a table for -n is said with numbers', async () => {
  assert.deepEqual(copiesWarnings(await planOf('-n', '64')), [])
  const [warning] = copiesWarnings(await planOf('-n', '100'))
  assert.match(warning ?? '', /each client address has 64,512 ports, enough for 645 connections/)
  const [few] = copiesWarnings(await planOf('-n', '1000', '-c', '10.9.0.1,10.9.0.2'))
  assert.match(few ?? '', /the 2 addresses of --client-addresses have 129,024 ports, enough for 129 connections/)
  assert.deepEqual(copiesWarnings(await planOf('-n', '1000', '-c', '10.9.0.x')), [])
})

test('maps of both versions of IP stand beside each other; one that mixes them is refused', async () => {
  const { maps } = await planOf('-x', '80-[2001:db8::2]:8080', '-x', '[2001:db8::1]:81-[2001:db8::2]:8080')
  assert.equal(maps.length, 3)
  const refused = async (...args: readonly string[]): Promise<void> => {
    await assert.rejects(planOf(...args), OperatorError, args.join(' '))
  }
  await refused('-x', '[2001:db8::1]:81-192.0.2.1:80')
  await refused('-x', '192.0.2.9:81-[2001:db8::2]:80')
  await refused('-x', '81-2001:db8::2:80')
  await refused('-x', '81-[2001:db8::2]:80,[2001:db8::1]:81-[2001:db8::3]:80')
  await refused('-c', '2001:db8::1/64')
})
