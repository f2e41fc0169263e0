/** Options about the other program, and conflicts between them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CHANNEL_DEFAULT, type ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { OperatorError } from '../../errors.ts'
import { Framings } from '../../wire/channel/channel-v1.ts'
import { readOptions } from '../options/command.ts'
import { type CopyOptions, copyCommand } from './copy-command.ts'
import { copyPlan } from './copy-plan.ts'
import { type InterceptOptions, type InterceptPlan, interceptCommand, interceptPlan } from './intercept-plan.ts'

async function copierOf(...args: readonly string[]): Promise<ChannelOptions> {
  const options = readOptions<CopyOptions>(copyCommand(), ['-x', '80-192.0.2.1:80', '-s', '192.0.2.2', ...args])
  assert.ok(options)
  return (await copyPlan(options)).settings.channel.options
}

async function interceptOf(...args: readonly string[]): Promise<InterceptPlan> {
  const options = readOptions<InterceptOptions>(interceptCommand(), ['-F', 'tcp', '--allow-forwarding', ...args])
  assert.ok(options)
  return await interceptPlan(options)
}

test('both programs have an option for the build of the other, which implies version 1', async () => {
  const version1 = { ...CHANNEL_DEFAULT, version: 1 }
  const expected: readonly (readonly [readonly string[], ChannelOptions])[] = [
    [[], CHANNEL_DEFAULT],
    [['--channel-version', '1'], version1],
    [['--single'], { ...version1, isSingle: true }],
    [['--disable-combined', '--channel-version', '1'], { ...version1, framing: Framings.Bare }],
    [['--single', '--with-resp-payload'], { ...version1, isSingle: true, framing: Framings.WithPayload }]
  ]
  for (const [args, channel] of expected) {
    assert.deepEqual(await copierOf(...args), channel)
    assert.deepEqual((await interceptOf(...args)).channel, channel)
  }
  assert.equal((await interceptOf('--single', '-c')).keepsFirst, true)
})

test('conflicting options are rejected in one sentence', async () => {
  const version2 = /^--single cannot be used with --channel-version 2: it requires version 1 of the channel$/
  const secret = /^--secret-file cannot be used with --with-resp-payload: it requires version 2 of the channel$/
  const both = /^--disable-combined cannot be used with --with-resp-payload$/
  const refused: readonly (readonly [readonly string[], RegExp])[] = [
    [['--single', '--channel-version', '2'], version2],
    [['--with-resp-payload', '--secret-file', 'any'], secret],
    [
      ['--channel-version', '1', '--secret-file', 'any'],
      /^--secret-file cannot be used with --channel-version 1: it requires version 2 of the channel$/
    ],
    [['--with-resp-payload', '--disable-combined'], both]
  ]
  for (const [args, message] of refused) {
    for (const plan of [copierOf, interceptOf]) {
      await assert.rejects(plan(...args), (error: unknown) => {
        assert.ok(error instanceof OperatorError)
        assert.equal(error.code, 'contradiction')
        assert.match(error.message, message)
        return true
      })
    }
  }
  await assert.rejects(interceptOf('-c'), { code: 'contradiction', message: '-c requires --single' })
  await assert.rejects(copierOf('--udp', '--single'), { code: 'contradiction' })
})
