/** Options for which connections are copied, how often, and in packets of which size. */
import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { test } from 'node:test'
import { packetLimit } from '../../daemon/copier/packet-max.ts'
import { OperatorError } from '../../errors.ts'
import { parseAddress } from '../../wire/address.ts'
import { readOptions } from '../options/command.ts'
import { type CopyOptions, copyCommand } from './copy-command.ts'
import { type CopyPlan, copiesWarnings, copyPlan } from './copy-plan.ts'
import { partOfPlan } from './worker-plans.ts'

async function planOf(...args: readonly string[]): Promise<CopyPlan> {
  const options = readOptions<CopyOptions>(copyCommand(), ['-x', '80-192.0.2.1:80', '-s', '192.0.2.2', ...args])
  assert.ok(options)
  return await copyPlan(options)
}

test('each connection is copied once, unless options say otherwise', async () => {
  const { selection, packets } = (await planOf()).settings
  assert.deepEqual(selection.sampling, { share: 1_000_000, isOnlyNew: false, isRampUp: false, copies: 1_000_000 })
  assert.deepEqual([selection.portShift, packets.mtuBytes], [0, undefined])
})

test('fractions of -r and -n are exact', async () => {
  const { selection } = (await planOf('-r', '12.5', '-n', '1.3', '-O', '-g')).settings
  assert.deepEqual(selection.sampling, { share: 125_000, isOnlyNew: true, isRampUp: true, copies: 1_300_000 })
})

test('-D lowers the size of packets, but does not raise it above -M', async () => {
  const limits = async (...args: readonly string[]): Promise<readonly (number | undefined)[]> => {
    const { packets } = (await planOf(...args)).settings
    return ['192.0.2.1', '2001:db8::1'].map((target) => packetLimit(packets, parseAddress(target) ?? 0))
  }
  assert.deepEqual(await limits(), [undefined, undefined])
  assert.deepEqual(await limits('-M', '9000'), [9000, 9000])
  assert.deepEqual(await limits('-D', '1000'), [1040, 1060])
  assert.deepEqual(await limits('-D', '9000'), [9040, 9060])
  assert.deepEqual(await limits('-D', '9000', '-M', '1500'), [1500, 1500])
})

test('the wait for holes follows from the round trip, unless options say otherwise', async () => {
  assert.deepEqual((await planOf()).settings.session.holes, {
    timeoutMs: undefined,
    atEndMs: 1000,
    afterDropsMs: undefined
  })
  const { settings } = await planOf(
    '--hole-timeout',
    '5',
    '--hole-timeout-at-end',
    '0.5',
    '--hole-timeout-after-drops',
    '0'
  )
  assert.deepEqual(settings.session.holes, { timeoutMs: 5000, atEndMs: 500, afterDropsMs: 0 })
})

test('--max-rate is in bytes per second, with an optional suffix', async () => {
  assert.equal((await planOf()).settings.limits.bytesPerSecondMax, Number.POSITIVE_INFINITY)
  assert.equal((await planOf('--max-rate', '10000')).settings.limits.bytesPerSecondMax, 10_000)
  assert.equal((await planOf('--max-rate', '1.5M')).settings.limits.bytesPerSecondMax, 1_500_000)
})

test('limits for all are divided among the workers', async () => {
  assert.equal((await planOf()).workers, 1)
  assert.equal((await planOf('--workers', 'auto')).workers, Math.min(availableParallelism(), 64))
  const whole = await planOf('--workers', '3', '-m', '300', '-B', '48', '--max-rate', '600k')
  const part = partOfPlan(whole)
  const { limits } = part.settings
  assert.deepEqual([limits.poolBytes, part.capture.ringMegabytes, limits.sessionsMax], [100 << 20, 16, 87_381])
  assert.equal(limits.bytesPerSecondMax, 200_000)
  assert.equal(partOfPlan(await planOf('--workers', '3')).settings.limits.bytesPerSecondMax, Number.POSITIVE_INFINITY)
  assert.equal(part.settings.selection, whole.settings.selection)
})

test('with -i or a raw socket there is one worker', async () => {
  for (const args of [
    ['-i', 'lo'],
    ['--capture', 'ip']
  ]) {
    assert.equal((await planOf('--workers', 'auto', ...args)).workers, 1)
    await assert.rejects(planOf('--workers', '2', ...args), { code: 'contradiction', message: /one thread can read/ })
  }
})

test('with an IPv6 target there is one worker, and no raw socket can capture', async () => {
  const map = ['-x', '80-[2001:db8::2]:8080']
  assert.equal((await planOf('--workers', 'auto', ...map)).workers, 1)
  await assert.rejects(planOf('--workers', '2', ...map), { code: 'contradiction', message: /one thread can read IPv6/ })
  await assert.rejects(planOf('--capture', 'ip', ...map), { code: 'contradiction', message: /the IPv6 target/ })
})

test('a file is replayed by one worker', async () => {
  assert.equal((await planOf('--workers', 'auto', '-i', './a.pcap')).workers, 1)
  await assert.rejects(planOf('--workers', '2', '-i', './a.pcap'), {
    code: 'contradiction',
    message: /one thread can read a file/
  })
})

test('an invalid value is rejected in one sentence', async () => {
  const wrong = [
    '-r 0',
    '-r 101',
    '-r 30%',
    '-r 1.23456',
    '-n 0.5',
    '-n 1024',
    '-n 1e3',
    '-f 1024',
    '-D 20',
    '--hole-timeout 2s',
    '--max-rate 9k',
    '--max-rate 1MB',
    '--workers 0',
    '--workers 65',
    '--workers two',
    '--workers 4 -m 3',
    '--workers 4 --max-rate 39k'
  ]
  for (const text of wrong) {
    await assert.rejects(planOf(...text.split(' ')), (error: unknown) => {
      assert.ok(error instanceof OperatorError)
      assert.equal(error.code, 'bad-value')
      assert.match(error.hint, /^Expected .* from \S+ to \S+\b/)
      return true
    })
  }
})

test('the errors for too few ports and too small a table for -n have numbers', async () => {
  assert.deepEqual(copiesWarnings(await planOf('-n', '64')), [])
  const [warning] = copiesWarnings(await planOf('-n', '100'))
  assert.match(warning ?? '', /each client address has 64,512 ports, enough for 645 connections/)
  const [few] = copiesWarnings(await planOf('-n', '1000', '-c', '10.9.0.1,10.9.0.2'))
  assert.match(few ?? '', /the 2 addresses of --client-addresses have 129,024 ports, enough for 129 connections/)
  const [table] = copiesWarnings(await planOf('-n', '1000', '-c', '10.9.0.x'))
  assert.match(table ?? '', /tcpcopy holds 262,144 sessions, enough for 262\n {2}Raise --sessions/)
  assert.deepEqual(copiesWarnings(await planOf('-n', '1000', '-c', '10.9.0.x', '--sessions', '1048576')), [])
})

test('IPv4 and IPv6 maps can be combined, but one map cannot mix them', async () => {
  const { settings } = await planOf('-x', '80-[2001:db8::2]:8080', '-x', '[2001:db8::1]:81-[2001:db8::2]:8080')
  assert.equal(settings.selection.maps.length, 3)
  const refused = async (...args: readonly string[]): Promise<void> => {
    await assert.rejects(planOf(...args), OperatorError, args.join(' '))
  }
  await refused('-x', '[2001:db8::1]:81-192.0.2.1:80')
  await refused('-x', '192.0.2.9:81-[2001:db8::2]:80')
  await refused('-x', '81-2001:db8::2:80')
  await refused('-x', '81-[2001:db8::2]:80,[2001:db8::1]:81-[2001:db8::2]:80')
  await refused('-c', '2001:db8::1/64')
})

test('--udp needs no intercept, and rejects options about connections', async () => {
  const read = (...args: readonly string[]): CopyOptions => {
    const options = readOptions<CopyOptions>(copyCommand(), ['-x', '53-192.0.2.1:53', '--udp', ...args])
    assert.ok(options)
    return options
  }
  const { isUdp, settings } = await copyPlan(read('-n', '2.5', '-r', '30', '-g'))
  const { selection, channel } = settings
  assert.deepEqual([isUdp, channel.intercepts, selection.sampling.copies], [true, [], 2_500_000])
  for (const args of [
    ['-s', '192.0.2.2'],
    ['-O'],
    ['-D', '1000'],
    ['--max-rate', '1M'],
    ['--trace', 'all'],
    ['--manage-rules']
  ]) {
    await assert.rejects(copyPlan(read(...args)), /^OperatorError: --[a-z-]+ cannot be used with --udp$/)
  }
})

test('several -x for one port are several targets; the same target twice is an error', async () => {
  assert.equal((await planOf('-x', '80-192.0.2.9:80')).settings.selection.maps.length, 2)
  await assert.rejects(planOf('-x', '80-192.0.2.1:80'), /twice to one target/)
})

test('MACs apply to all frames to a target, whichever -x names them', async () => {
  const from = Uint8Array.of(2, 0, 0, 0, 0, 0x66)
  const to = Uint8Array.of(2, 0, 0, 0, 0, 0x77)
  const target = { targetAddress: 0xc0000205 | 0, from, to }
  const both = '81@02:00:00:00:00:66-192.0.2.5:80@02:00:00:00:00:77'
  assert.deepEqual((await planOf()).nextHop, { device: undefined, macs: [] })
  assert.deepEqual((await planOf('-x', both)).nextHop.macs, [target])
  assert.deepEqual((await planOf('-x', `82-192.0.2.5:80,${both},83-192.0.2.5:80,84${both.slice(2)}`)).nextHop.macs, [
    target
  ])
  assert.deepEqual((await planOf('-x', '10.0.0.1:81-192.0.2.5:80@02:00:00:00:00:77')).nextHop.macs, [
    { ...target, from: undefined }
  ])
  for (const wrong of [
    '02:00',
    '01:00:00:00:00:77',
    '00:00:00:00:00:00',
    'ff:ff:ff:ff:ff:ff',
    '02-00-00-00-00-77',
    ''
  ]) {
    await assert.rejects(planOf('-x', `81-192.0.2.5:80@${wrong}`), { code: 'bad-value' }, wrong)
  }
  const other = '82-192.0.2.5:80@02:00:00:00:00:78'
  await assert.rejects(planOf('-x', both, '-x', other), {
    code: 'contradiction',
    message: /MAC addresses for 192\.0\.2\.5/
  })
  await assert.rejects(planOf('-x', both, '--send', 'ip'), { code: 'contradiction', message: /@mac/ })
})

test('frames are sent only through a device that supports them', async () => {
  await assert.rejects(planOf('-o', 'lo'), { code: 'bad-device', message: /lo is not an Ethernet device/ })
  await assert.rejects(planOf('-o', 'nosuchdev'), { code: 'no-device', hint: /\blo\b/ })
  await assert.rejects(planOf('-o', 'lo', '--send', 'ip'), { code: 'contradiction', message: /cannot be used with -o/ })
})

test('a target on this host that is itself copied is a loop, unless a file is replayed', async () => {
  const map = ['-x', '81-127.0.0.9:81']
  await assert.rejects(
    planOf(...map),
    (error) => error instanceof OperatorError && /would be a loop/.test(error.message)
  )
  const { settings } = await planOf(...map, '-i', './requests.pcap')
  assert.equal(settings.selection.isLive, false)
  assert.equal((await planOf()).settings.selection.isLive, true)
})

test('-c leaves out addresses of this host, of targets and of intercept, and is refused if none is left', async () => {
  const rangesOf = async (text: string): Promise<number[]> =>
    (await planOf('-c', text)).settings.selection.ranges.map(({ count }) => count)
  assert.deepEqual(await rangesOf('192.0.2.x'), [252])
  assert.deepEqual(await rangesOf('192.0.2.1,192.0.2.9'), [1])
  for (const text of ['127.0.0.x', '192.0.2.1', '192.0.2.2']) {
    await assert.rejects(
      planOf('-c', text),
      (error) => error instanceof OperatorError && /no IPv4 address/.test(error.message)
    )
  }
})
