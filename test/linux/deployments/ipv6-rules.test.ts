/** Firewall rules, queues and address translation for IPv6. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ASSISTANT_6,
  type CopyLab,
  INTERCEPT,
  openCopyLab,
  PORT,
  SOURCE_6,
  startConnected,
  startReady,
  TARGET,
  TARGET_6,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import { counter } from '../../../lab/hosts/json-log.ts'
import { openLab } from '../../../lab/hosts/lab.ts'
import { countPackets } from '../../../lab/hosts/nftables.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { finishCopy } from '../support/books.ts'
import { askTargetFromOutside, benchmark, SETS, SHORT } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { ourRules } from '../support/firewall.ts'
import { statisticsOf, stopCleanly, untilCounter, untilSame } from '../support/waiting.ts'

const MAP_6 = `${PORT}-[${TARGET_6}]:${PORT}`
const INTERCEPT_AT_6 = `[${ASSISTANT_6}]:36524`
const FROM_TARGET = `ip6 saddr ${TARGET_6} tcp sport ${PORT}`
const ANSWERS_6 = `src host ${TARGET_6} and src port ${PORT}`

async function ask({ hosts }: CopyLab, ...words: readonly string[]): Promise<string> {
  return (await hosts.client.mustRun('redis-cli', ['-h', SOURCE_6, ...words])).trim()
}

for (const firewall of ['auto', 'iptables-legacy']) {
  test(`on the target, a rule for IPv6 (${firewall}) takes the answers, except to the clients of -x`, async () => {
    await using lab = await openCopyLab({ isDual: true, routed: [], offloads: true })
    const { client, target } = lab.hosts
    const redis = await lab.startRedisPair()
    const seen = await countPackets(client, 'ip6', 'input', FROM_TARGET)
    const managed = ['--nfqueue', '-F', `tcp and src port ${PORT}`, '--manage-rules', '--firewall', firewall]
    const closed = await startReady(target, INTERCEPT, managed)
    assert.deepEqual(await ourRules(target, 'mangle'), [1, 1])
    assert.equal(await askTargetFromOutside(lab, TARGET_6, 1000), '')
    await closed.stop('SIGKILL')
    const intercept = await startReady(target, INTERCEPT, [...managed, '-x', `192.0.2.1,fd77::99,${ASSISTANT_6}`])
    assert.deepEqual(await ourRules(target, 'mangle'), [1, 1])
    const tcpcopy = await lab.startTcpcopy(['-x', `${PORT}-${TARGET}:${PORT},${MAP_6}`, '-s', TARGET])
    const sets = [...SETS, '-d', '3000']
    await benchmark(client, SOURCE_6, ...sets, '-c', '20', '-n', '2000')
    await benchmark(client, SOURCE_6, ...sets, ...SHORT, '-c', '5', '-n', '200')
    await lab.ask('SET', 'ipv4', 'too')
    await untilSame(redis.source, redis.target)
    assert.equal(await askTargetFromOutside(lab, TARGET_6), '+PONG')
    await finishCopy(tcpcopy)
    await untilCounter(intercept, 'passedPackets', (count) => count >= 3)
    assert.equal(counter(await statisticsOf(intercept), 'flawedPackets'), 0)
    assert.equal(await seen(), 0)
    await stopCleanly(intercept)
    assert.deepEqual(await ourRules(target, 'mangle'), [0, 0])
  })
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`on an assistant that forwards IPv6, a rule of ${firewall} drops the answers`, async () => {
    await using lab = await openCopyLab({ isDual: true })
    const { assistant, client } = lab.hosts
    await assistant.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'])
    const redis = await lab.startRedisPair()
    const seen = await countPackets(client, 'ip6', 'input', FROM_TARGET)
    const capture = ['-i', 'eth0', '-F', `tcp and ${ANSWERS_6}`]
    const refused = await assistant.run(INTERCEPT, capture)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /net\.ipv6\.conf\.eth0\.forwarding=0/)
    const intercept = await startReady(assistant, INTERCEPT, [...capture, '--manage-rules', '--firewall', firewall])
    assert.deepEqual(await ourRules(assistant, 'mangle'), [0, 1])
    const tcpcopy = await lab.startTcpcopy(['-x', MAP_6, '-s', INTERCEPT_AT_6])
    for (let count = 0; count < 20; count++) await ask(lab, 'SET', `key${count}`, 'value')
    await untilSame(redis.source, redis.target)
    await finishCopy(tcpcopy)
    assert.equal(await seen(), 0)
    await stopCleanly(intercept)
    assert.deepEqual(await ourRules(assistant, 'mangle'), [0, 0])
  })
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`on a source that tracks connections, a rule of ${firewall} exempts copies over IPv6`, async () => {
    await using lab = await openCopyLab({ isDual: true })
    const { source } = lab.hosts
    const redis = await lab.startRedisPair()
    const copies = `ip6 daddr ${TARGET_6} tcp dport ${PORT}`
    const tracked = await countPackets(source, 'ip6', 'output', `${copies} ct state != untracked`)
    await lab.startIntercept([], ANSWERS_6)
    await ask(lab, 'SET', 'before', 'it')
    const copy = ['-x', MAP_6, '-s', INTERCEPT_AT_6, '--send', 'ip']
    const warned = await lab.startTcpcopy(copy)
    await warned.stop()
    assert.match(warned.stderr, /tracks connections.*ip6tables -t raw -I OUTPUT -p tcp -d fd77::2.*nft 'table ip6/)
    const tcpcopy = await lab.startTcpcopy([...copy, '--manage-rules', '--firewall', firewall])
    assert.deepEqual(await ourRules(source, 'raw'), [0, 1])
    await ask(lab, 'SET', 'key', 'value')
    await ask(lab, 'SET', 'before', 'it')
    await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 2)
    assert.equal(await tracked(), 0)
    await finishCopy(tcpcopy)
    assert.equal(await redis.target.digest(), await redis.source.digest())
    assert.deepEqual(await ourRules(source, 'raw'), [0, 0])
  })
}

test('a target behind translation of IPv6 addresses: with -D its answers get their addresses back', async () => {
  const forwarding = { 'net.ipv6.conf.all.forwarding': '1' }
  await using lab = await openLab({
    hosts: {
      client: { addresses: ['fd77::10', '10.77.0.10'] },
      source: { addresses: [SOURCE_6, '10.77.0.1'] },
      target: { addresses: [TARGET_6, TARGET, 'fd18::1'], sysctls: forwarding },
      container: { addresses: ['fd18::2', '10.77.0.20'] }
    },
    routes: [{ on: 'container', to: 'default', via: 'fd18::1' }]
  })
  const { client, source, target, container } = lab.hosts
  await target.mustRun('nft', ['add table ip6 containers'])
  await target.mustRun('nft', ['add chain ip6 containers in { type nat hook prerouting priority -100; }'])
  const dnat = `ip6 daddr ${TARGET_6} tcp dport ${PORT} dnat to [fd18::2]:6380`
  await target.mustRun('nft', [`add rule ip6 containers in ${dnat}`])
  const original = await startRedis(source, PORT, lab.folder)
  const copy = await startRedis(container, 6380, lab.folder)
  const answers = ['-i', 'eth0', '-F', 'tcp and src host fd18::2 and src port 6380', '--manage-rules']
  await startReady(target, INTERCEPT, [...answers, '-D', `[fd18::2]:6380-[${TARGET_6}]:${PORT}`])
  const tcpcopy = await startConnected(source, TCPCOPY, ['-x', MAP_6, '-s', TARGET])
  await benchmark(client, SOURCE_6, ...SETS, '-d', '3000', '-c', '10', '-n', '1000')
  await untilSame(original, copy)
  await finishCopy(tcpcopy, { sessionsDisowned: 0 })
})

test('client, source and target on one host over ::1, answers taken by a queue', async () => {
  await using lab = await openLab({ hosts: { home: { addresses: ['fd77::1'] } } })
  const { home } = lab.hosts
  const source = await startRedis(home, PORT, lab.subfolder('source'))
  const target = await startRedis(home, 6380, lab.subfolder('target'))
  await startReady(home, INTERCEPT, ['--nfqueue', '-F', 'tcp and src host ::1 and src port 6380', '--manage-rules'])
  const tcpcopy = await startConnected(home, TCPCOPY, ['-x', `${PORT}-[::1]:6380`, '-s', '[::1]:36524'])
  await benchmark(home, '::1', ...SETS, '-d', '3000', '-c', '10', '-n', '1000')
  await benchmark(home, '::1', '-t', 'hset', '-r', '2000000000', '-d', '200000', '-c', '5', '-n', '50')
  await untilSame(source, target)
  await finishCopy(tcpcopy, { captureDropped: 0, sendRefused: 0 })
})

copied(
  'clients on the source itself, which use ::1, appear at the target with the address of -H',
  {
    isDual: true,
    routed: ['fd99::/64'],
    answers: ANSWERS_6,
    map: MAP_6,
    interceptAt: INTERCEPT_AT_6,
    tcpcopy: ['-H', 'fd99::5']
  },
  async (copy) => {
    await benchmark(copy.hosts.source, '::1', ...SETS, '-d', '3000', '-c', '10', '-n', '1000')
    await copy.untilSame()
  }
)
