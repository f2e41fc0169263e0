/** intercept on the target itself: no assistant and no route; a firewall rule takes the answers. */
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ASSISTANT,
  type CopyLab,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  ROOT,
  SOURCE,
  startConnected,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { counter, hasMessage } from '../../../lab/hosts/json-log.ts'
import { addRules, countPackets } from '../../../lab/hosts/nftables.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { finishCopy } from '../support/books.ts'
import { askTargetFromOutside, benchmark, SETS, SHORT } from '../support/client-loads.ts'
import { dumpStreams } from '../support/streams.ts'
import { statisticsOf, stopCleanly, until, untilCounter, untilSame } from '../support/waiting.ts'

const ANSWERS = `tcp and src host ${TARGET} and src port ${PORT}`
const MANAGED = ['--nfqueue', '-F', ANSWERS, '--manage-rules']
const TO_TARGET = ['-x', MAP, '-s', TARGET]
const RULE = /^-A OUTPUT .*--comment "?tcpcopy-intercept-queue-0"? -j NFQUEUE --queue-num 0/gm

/** A lab whose target has no route to the assistant, which does not take part. */
async function openTargetLab(): Promise<CopyLab> {
  return await openCopyLab({ routed: [], offloads: true })
}

async function startOnTarget(lab: CopyLab, args: readonly string[] = MANAGED): Promise<Program> {
  return await startReady(lab.hosts.target, INTERCEPT, args)
}

/** The rules of ours that a host has. */
async function rulesOn(host: Host, program = 'iptables'): Promise<readonly string[]> {
  return (await host.mustRun(program, ['-t', 'mangle', '-S', 'OUTPUT'])).match(RULE) ?? []
}

/** Counts what a host receives from the target. */
async function countFromTarget(host: Host): Promise<() => Promise<number>> {
  return await countPackets(host, 'ip', 'input', `ip saddr ${TARGET}`)
}

/** A value whose answer is 300 kB long. */
async function setLarge(lab: CopyLab): Promise<void> {
  await lab.ask('SETRANGE', 'large', '300000', 'end')
}

for (const firewall of ['auto', 'iptables-legacy'] as const) {
  const program = firewall === 'auto' ? 'iptables' : firewall
  test(`client, source and target are enough, rule by ${program}: the target reads the same bytes, and no answer leaves it`, async () => {
    await using lab = await openTargetLab()
    const { client, source, target } = lab.hosts
    const redis = await lab.startRedisPair()
    const seen = await countFromTarget(client)
    const dumps = await dumpStreams(lab.folder, { host: source, address: SOURCE }, { host: target, address: TARGET })
    // The target's own firewall tracks connections, and would drop those of which it has seen one side only.
    await addRules(target, 'ip', 'guard', 'input', 'ct state invalid drop')
    const intercept = await startOnTarget(lab, [...MANAGED, '--firewall', firewall])
    assert.equal((await rulesOn(target, program)).length, 1)
    const tcpcopy = await lab.startTcpcopy(TO_TARGET)
    const sets = [...SETS, '-d', '3000']
    await benchmark(client, SOURCE, ...sets, '-c', '20', '-n', '5000')
    await benchmark(client, SOURCE, ...sets, ...SHORT, '-c', '10', '-n', '500')
    await setLarge(lab)
    for (let round = 0; round < 10; round++) await lab.ask('GET', 'large')
    await untilSame(redis.source, redis.target)
    await dumps.assertSame(500)
    await finishCopy(tcpcopy)
    assert.equal(counter(await statisticsOf(intercept), 'captureDropped'), 0)
    assert.equal(await seen(), 0)
    await stopCleanly(intercept)
    assert.deepEqual(await rulesOn(target, program), [])
  })
}

test('answers of 300 kB are taken as super-packets: far fewer headers than segments', async () => {
  await using lab = await openTargetLab()
  const redis = await lab.startRedisPair()
  const intercept = await startOnTarget(lab)
  const tcpcopy = await lab.startTcpcopy(TO_TARGET)
  await setLarge(lab)
  const script = `const socket = require('net').connect(${PORT}, '${SOURCE}')
    let left = 20 * 300014
    socket.on('connect', () => socket.write('GET large\\r\\n'.repeat(20)))
    socket.on('data', (data) => { left -= data.length; if (left <= 0) socket.end() })`
  await lab.runScript(lab.hosts.client, script)
  await untilSame(redis.source, redis.target)
  // The client has read all answers before it closes, and so does its copy.
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 2)
  await finishCopy(tcpcopy)
  const captured = counter(await statisticsOf(intercept), 'capturedPackets') ?? Number.NaN
  // Measured: 113; cut at the segment size, over 2,000.
  assert.ok(captured < 1000, `${captured} answers`)
})

test('after SIGKILL the rule still drops the answers; a restart leaves one rule, and a clean end none', async () => {
  await using lab = await openTargetLab()
  const { target, client } = lab.hosts
  const redis = await lab.startRedisPair()
  const seen = await countFromTarget(client)
  const killed = await startOnTarget(lab)
  const tcpcopy = await lab.startTcpcopy(TO_TARGET)
  await lab.ask('SET', 'before', '1')
  await untilSame(redis.source, redis.target)
  await killed.stop('SIGKILL')
  assert.equal((await rulesOn(target)).length, 1)
  await lab.ask('SET', 'between', '2')
  assert.equal(await askTargetFromOutside(lab, TARGET, 1000), '')

  const intercept = await startOnTarget(lab)
  assert.equal((await rulesOn(target)).length, 1)
  await untilSame(redis.source, redis.target)
  await finishCopy(tcpcopy)
  assert.equal(await seen(), 0)
  await stopCleanly(intercept, 'SIGINT')
  assert.deepEqual(await rulesOn(target), [])
  assert.equal(await askTargetFromOutside(lab, TARGET), '+PONG')
})

test('-x exempts the answers to real clients of the target', async () => {
  await using lab = await openTargetLab()
  const redis = await lab.startRedisPair()
  const closed = await startOnTarget(lab)
  assert.equal(await askTargetFromOutside(lab, TARGET, 1000), '')
  // The rule ignores what the host sends to itself.
  assert.equal(await lab.askTarget('-h', TARGET, 'PING'), 'PONG')
  await closed.stop()

  const intercept = await startOnTarget(lab, [...MANAGED, '-x', `192.0.2.1,${ASSISTANT}`])
  const tcpcopy = await lab.startTcpcopy(TO_TARGET)
  await lab.ask('SET', 'copied', 'yes')
  assert.equal(await askTargetFromOutside(lab, TARGET), '+PONG')
  await until('the key is at the target', async () => (await lab.askTarget('GET', 'copied')) === 'yes')
  assert.ok((await redis.target.requestCount()) > (await redis.source.requestCount()))
  await finishCopy(tcpcopy)
  await untilCounter(intercept, 'passedPackets', (count) => count >= 3)
  assert.equal(counter(await statisticsOf(intercept), 'flawedPackets'), 0)
})

test('with --queue-bypass answers reach the clients while intercept is not running', async () => {
  await using lab = await openTargetLab()
  await lab.startRedisPair()
  const intercept = await startOnTarget(lab, [...MANAGED, '--queue-bypass'])
  assert.equal(await askTargetFromOutside(lab, TARGET, 1000), '')
  await intercept.stop('SIGKILL')
  assert.equal(await askTargetFromOutside(lab, TARGET), '+PONG')
})

test('intercept reports a queue in use, and leaves the rule of its owner', async () => {
  await using lab = await openTargetLab()
  const { target } = lab.hosts
  await startOnTarget(lab)
  const { status, stderr } = await target.run(INTERCEPT, [...MANAGED, '-p', '36525'])
  assert.equal(status, 1)
  assert.match(stderr, /^intercept: another program reads queue 0\n {2}Stop .*--queue-number\.\n$/)
  assert.equal((await rulesOn(target)).length, 1)
  const other = [...MANAGED, '-p', '36525', '--queue-number', '1']
  await stopCleanly(await startOnTarget(lab, other))
})

test('intercept warns if it ends before tcpcopy', async () => {
  await using lab = await openTargetLab()
  const intercept = await startOnTarget(lab)
  await lab.startTcpcopy(TO_TARGET)
  await untilCounter(intercept, 'peersOpen', (count) => count === 2)
  await intercept.stop()
  assert.match(intercept.stderr, /2 tcpcopy connections open.*Stop tcpcopy before intercept/)
})

test('intercept reports a rule that it cannot install or remove, with the command', async () => {
  await using lab = await openTargetLab()
  const { target } = lab.hosts
  // This kernel has no queue for nftables; where one has, the rule is a table.
  const { status, stderr } = await target.run(INTERCEPT, [...MANAGED, '--firewall', 'nft'])
  if (status === 1) {
    assert.match(
      stderr,
      /^intercept: the firewall rule cannot be installed: nft: .+\n {2}.*iptables -t mangle -I OUTPUT/
    )
  }
  assert.doesNotMatch(await target.mustRun('nft', ['list ruleset']), /tcpcopy/)
  const fake = join(lab.folder, 'iptables')
  const broken = join(lab.folder, 'broken')
  writeFileSync(fake, `#!/bin/sh\ntest ! -e ${broken} || { echo broken >&2; exit 1; }\nexec /usr/sbin/iptables "$@"\n`)
  chmodSync(fake, 0o755)
  const environment = `PATH=${lab.folder}:${process.env.PATH}`
  const intercept = await startReady(target, 'env', [environment, INTERCEPT, ...MANAGED])
  writeFileSync(broken, '')
  await stopCleanly(intercept)
  const line = intercept.stderr.split('\n').find((one) => hasMessage(one, 'the firewall rule could not be removed'))
  const { reason, hint } = JSON.parse(line ?? '{}') as { reason: string; hint: string } // as: our own log
  assert.match(reason, /broken/)
  assert.equal((await rulesOn(target)).length, 1)
  await target.mustRun('sh', ['-c', hint])
  assert.deepEqual(await rulesOn(target), [])
})

test("the command line and the program's name from before 1.0 work", async () => {
  await using lab = await openTargetLab()
  const { target, source } = lab.hosts
  const redis = await lab.startRedisPair()
  const rule = ['-p', 'tcp', '--sport', `${PORT}`, '!', '-o', 'lo', '-j', 'NFQUEUE', '--queue-num', '0']
  await target.mustRun('iptables', ['-I', 'OUTPUT', ...rule])
  const interception = await startReady(target, `${ROOT}bin/interception`, [])
  await interception.waitForLine('stderr', (line) => /iptables -t mangle -I OUTPUT .*--queue-num 0/.test(line))
  const old = [`192.0.2.9:${SOURCE}`, `${PORT}`, TARGET, `${PORT}`]
  const tcpcopy = await startConnected(source, TCPCOPY, old)
  await lab.ask('SET', 'old', 'times')
  await untilSame(redis.source, redis.target)
  await finishCopy(tcpcopy)
  await stopCleanly(interception)
})
