/** Firewall rules, queues and address translation for IPv6. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Host } from '../../lab/hosts/host.ts'
import { counter, hasMessage } from '../../lab/hosts/json-log.ts'
import { openLab } from '../../lab/hosts/lab.ts'
import { startRedis } from '../../lab/job/redis.ts'
import {
  ASSISTANT_6,
  askTargetFromOutside,
  type CopyLab,
  finishAndReadBooks,
  INTERCEPT,
  openCopyLab,
  PORT,
  SOURCE_6,
  startReady,
  statisticsOf,
  TARGET,
  TARGET_6,
  TCPCOPY,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

const MAP_6 = `${PORT}-[${TARGET_6}]:${PORT}`
const ANSWERS_6 = `tcp and src host ${TARGET_6} and src port ${PORT}`

async function ask(lab: CopyLab, ...words: readonly string[]): Promise<string> {
  return (await lab.hosts.client.mustRun('redis-cli', ['-h', SOURCE_6, ...words])).trim()
}

/** Counts packets of a host that match, in a table of its own. */
async function countOn(host: Host, hook: string, match: string): Promise<() => Promise<number>> {
  await host.mustRun('nft', ['add table ip6 seen'])
  await host.mustRun('nft', [`add chain ip6 seen it { type filter hook ${hook} priority 0; }`])
  await host.mustRun('nft', [`add rule ip6 seen it ${match} counter`])
  return async () => {
    const table = await host.mustRun('nft', ['list table ip6 seen'])
    return Number(/packets (\d+)/.exec(table)?.[1] ?? Number.NaN)
  }
}

/** All rules that a host has of ours: the rules of IPv4, and those of IPv6. */
async function ourRules(host: Host, table: string): Promise<readonly number[]> {
  const count = async (family: string, iptables: string): Promise<number> => {
    const listings = await Promise.all([
      host.mustRun('nft', ['list', 'ruleset', family]),
      host.mustRun(iptables, ['-t', table, '-S']),
      host.mustRun(`${iptables}-legacy`, ['-t', table, '-S'])
    ])
    return listings.join('\n').match(/(?:table ip6?|--comment) "?tcpcopy-/g)?.length ?? 0
  }
  return [await count('ip', 'iptables'), await count('ip6', 'ip6tables')]
}

for (const firewall of ['auto', 'iptables-legacy']) {
  test(`on the target, a rule for IPv6 (${firewall}) takes the answers, but for those of -x`, async () => {
    await using lab = await openCopyLab({ isDual: true, routed: [], offloads: true })
    const { client, target } = lab.hosts
    const redis = await lab.startRedisPair()
    const seen = await countOn(client, 'input', `ip6 saddr ${TARGET_6} tcp sport ${PORT}`)
    const managed = ['--nfqueue', '-F', `tcp and src port ${PORT}`, '--manage-rules', '--firewall', firewall]
    const closed = await startReady(target, INTERCEPT, managed)
    assert.deepEqual(await ourRules(target, 'mangle'), [1, 1])
    assert.equal(await askTargetFromOutside(lab, TARGET_6, 1000), '')
    closed.signal('SIGKILL')
    await closed.exited
    const intercept = await startReady(target, INTERCEPT, [...managed, '-x', `192.0.2.1,fd77::99,${ASSISTANT_6}`])
    assert.deepEqual(await ourRules(target, 'mangle'), [1, 1])
    const tcpcopy = await lab.startTcpcopy(['-x', `${PORT}-${TARGET}:${PORT},${MAP_6}`, '-s', TARGET])
    const keys = ['-r', '2000000000', '-t', 'set', '-d', '3000', '-q']
    await client.mustRun('redis-benchmark', ['-h', SOURCE_6, ...keys, '-c', '20', '-n', '2000'])
    await client.mustRun('redis-benchmark', ['-h', SOURCE_6, ...keys, '-c', '5', '-n', '200', '-k', '0'])
    await lab.ask('SET', 'ipv4', 'too')
    await untilSame(redis.source, redis.target)
    assert.equal(await askTargetFromOutside(lab, TARGET_6), '+PONG')
    assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
    await untilCounter(intercept, 'passedPackets', (count) => count >= 3)
    assert.equal(counter(await statisticsOf(intercept), 'flawedPackets'), 0)
    assert.equal(await seen(), 0)
    assert.deepEqual(await intercept.stop(), { status: 0, signal: null })
    assert.deepEqual(await ourRules(target, 'mangle'), [0, 0])
  })
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`an assistant that forwards IPv6 keeps the answers by a rule of ${firewall}`, async () => {
    await using lab = await openCopyLab({ isDual: true })
    const { assistant, client } = lab.hosts
    await assistant.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'])
    const redis = await lab.startRedisPair()
    const seen = await countOn(client, 'input', `ip6 saddr ${TARGET_6} tcp sport ${PORT}`)
    const capture = ['-i', 'eth0', '-F', ANSWERS_6]
    const refused = await assistant.run(INTERCEPT, capture)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /net\.ipv6\.conf\.eth0\.forwarding=0/)
    const intercept = await startReady(assistant, INTERCEPT, [...capture, '--manage-rules', '--firewall', firewall])
    assert.deepEqual(await ourRules(assistant, 'mangle'), [0, 1])
    const tcpcopy = await lab.startTcpcopy(['-x', MAP_6, '-s', `[${ASSISTANT_6}]:36524`])
    for (let count = 0; count < 20; count++) await ask(lab, 'SET', `key${count}`, 'value')
    await untilSame(redis.source, redis.target)
    assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
    assert.equal(await seen(), 0)
    assert.equal((await intercept.stop()).status, 0)
    assert.deepEqual(await ourRules(assistant, 'mangle'), [0, 0])
  })
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`a source that tracks connections: a rule of ${firewall} keeps copies over IPv6 out`, async () => {
    await using lab = await openCopyLab({ isDual: true })
    const { source } = lab.hosts
    const redis = await lab.startRedisPair()
    const copies = `ip6 daddr ${TARGET_6} tcp dport ${PORT}`
    const tracked = await countOn(source, 'output', `${copies} ct state != untracked`)
    await lab.startIntercept([], ANSWERS_6)
    await ask(lab, 'SET', 'before', 'it')
    const copy = ['-x', MAP_6, '-s', `[${ASSISTANT_6}]:36524`, '--send', 'ip']
    const warned = await lab.startTcpcopy(copy)
    await warned.stop()
    assert.match(warned.stderr, /tracks connections.*ip6tables -t raw -I OUTPUT -p tcp -d fd77::2.*nft 'table ip6/)
    const tcpcopy = await lab.startTcpcopy([...copy, '--manage-rules', '--firewall', firewall])
    assert.deepEqual(await ourRules(source, 'raw'), [0, 1])
    await ask(lab, 'SET', 'key', 'value')
    await ask(lab, 'SET', 'before', 'it')
    await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 2)
    assert.equal(await tracked(), 0)
    assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
    assert.equal(await redis.target.digest(), await redis.source.digest())
    assert.deepEqual(await ourRules(source, 'raw'), [0, 0])
  })
}

test('a target behind translation of IPv6 addresses: -D gives its answers their addresses back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nat6-'))
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
  try {
    const { client, source, target, container } = lab.hosts
    await target.mustRun('nft', ['add table ip6 containers'])
    await target.mustRun('nft', ['add chain ip6 containers in { type nat hook prerouting priority -100; }'])
    await target.mustRun('nft', [
      `add rule ip6 containers in ip6 daddr ${TARGET_6} tcp dport ${PORT} dnat to [fd18::2]:6380`
    ])
    const original = await startRedis(source, PORT, folder)
    const copy = await startRedis(container, 6380, folder)
    const answers = ['-i', 'eth0', '-F', 'tcp and src host fd18::2 and src port 6380', '--manage-rules']
    await startReady(target, INTERCEPT, [...answers, '-D', `[fd18::2]:6380-[${TARGET_6}]:${PORT}`])
    const tcpcopy = await startReady(source, TCPCOPY, ['-x', MAP_6, '-s', TARGET])
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'connected to intercept'))
    const set = ['-h', SOURCE_6, '-r', '2000000000', '-t', 'set', '-q']
    await client.mustRun('redis-benchmark', [...set, '-d', '3000', '-c', '10', '-n', '1000'])
    await untilSame(original, copy)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.droppedBytes, books.sessionsDisowned], [0, 0])
  } finally {
    await lab.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('all on one host over ::1, answers taken by a queue', async () => {
  await using lab = await openLab({ hosts: { home: { addresses: ['fd77::1'] } } })
  const { home } = lab.hosts
  const folder = mkdtempSync(join(tmpdir(), 'loopback6-'))
  try {
    const folders = ['source', 'target'].map((name) => join(folder, name))
    for (const path of folders) mkdirSync(path)
    const source = await startRedis(home, PORT, folders[0] ?? folder)
    const target = await startRedis(home, 6380, folders[1] ?? folder)
    await startReady(home, INTERCEPT, ['--nfqueue', '-F', 'tcp and src host ::1 and src port 6380', '--manage-rules'])
    const tcpcopy = await startReady(home, TCPCOPY, ['-x', `${PORT}-[::1]:6380`, '-s', '[::1]:36524'])
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'connected to intercept'))
    const load = ['-h', '::1', '-r', '2000000000', '-q']
    await home.mustRun('redis-benchmark', [...load, '-t', 'set', '-d', '3000', '-c', '10', '-n', '1000'])
    await home.mustRun('redis-benchmark', [...load, '-t', 'hset', '-d', '200000', '-c', '5', '-n', '50'])
    await untilSame(source, target)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.droppedBytes, books.captureDropped, books.sendRefused], [0, 0, 0])
  } finally {
    await lab.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

test('clients on the source itself, which come from ::1, appear as the stand-in of -H', async () => {
  await using lab = await openCopyLab({ isDual: true, routed: ['fd99::/64'] })
  const redis = await lab.startRedisPair()
  await lab.startIntercept([], ANSWERS_6)
  const tcpcopy = await lab.startTcpcopy(['-x', MAP_6, '-s', `[${ASSISTANT_6}]:36524`, '-H', 'fd99::5'])
  const set = ['-h', '::1', '-r', '2000000000', '-t', 'set', '-q', '-d', '3000']
  await lab.hosts.source.mustRun('redis-benchmark', [...set, '-c', '10', '-n', '1000'])
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})
