/** --manage-rules of intercept on an assistant that forwards, and of tcpcopy on a source that tracks connections. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../../lab/hosts/host.ts'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import {
  ASSISTANT,
  finishAndReadBooks,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  startReady,
  TARGET,
  TCPCOPY,
  until,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

const ANSWERS = ['-i', 'eth0', '-F', `tcp and src host ${TARGET} and src port ${PORT}`]
const COPY = ['-x', MAP, '-s', ASSISTANT, '--send', 'ip']

/** Counts packets of a host that match, in a table of its own. */
async function countOn(host: Host, match: string): Promise<() => Promise<number>> {
  await host.mustRun('nft', ['add table ip seen'])
  await host.mustRun('nft', ['add chain ip seen in { type filter hook input priority 0; }'])
  await host.mustRun('nft', [`add rule ip seen in ${match} counter`])
  return async () => {
    const table = await host.mustRun('nft', ['list table ip seen'])
    return Number(/packets (\d+)/.exec(table)?.[1] ?? Number.NaN)
  }
}

/** All rules that a host has of ours, however they were made. */
async function ourRules(host: Host, table: string): Promise<number> {
  const listings = await Promise.all([
    host.mustRun('nft', ['list ruleset']),
    host.mustRun('iptables', ['-t', table, '-S']),
    host.mustRun('iptables-legacy', ['-t', table, '-S'])
  ])
  return listings.join('\n').match(/(?:table ip|--comment) "?tcpcopy-/g)?.length ?? 0
}

/** Whether a host has told another of a shorter way: ICMP, type 5 (RFC 792). */
async function hasRedirected(host: Host): Promise<boolean> {
  return (await host.mustRun('cat', ['/proc/net/snmp'])).includes('OutType5')
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`an assistant that forwards keeps the answers by a rule of ${firewall}, also after a kill`, async () => {
    await using lab = await openCopyLab()
    const { assistant, client } = lab.hosts
    await assistant.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
    const redis = await lab.startRedisPair()
    const seen = await countOn(client, `ip saddr ${TARGET}`)
    const managed = [...ANSWERS, '--manage-rules', '--firewall', firewall]
    const killed = await startReady(assistant, INTERCEPT, managed)
    killed.signal('SIGKILL')
    await killed.exited
    assert.equal(await ourRules(assistant, 'mangle'), 1)
    const intercept = await startReady(assistant, INTERCEPT, managed)
    assert.equal(await ourRules(assistant, 'mangle'), 1)

    const tcpcopy = await lab.startTcpcopy(COPY)
    for (let count = 0; count < 20; count++) await lab.ask('SET', `key${count}`, 'value')
    await untilSame(redis.source, redis.target)
    assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
    assert.equal(await seen(), 0)
    assert.ok(!(await hasRedirected(assistant)))
    // What the target answers to the assistant itself is no answer to a copy.
    const ping = `require('net').connect(${PORT}, '${TARGET}', function () { this.end('PING\\r\\n') }).pipe(process.stdout)`
    assert.equal(await lab.runScript(assistant, ping), '+PONG\r\n')
    assert.equal((await intercept.stop()).status, 0)
    assert.equal(await ourRules(assistant, 'mangle'), 0)
  })
}

test('without the rule, an assistant that forwards lets the answers out', async () => {
  await using lab = await openCopyLab()
  const { assistant, client } = lab.hosts
  await assistant.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
  await lab.startRedisPair()
  const seen = await countOn(client, `ip saddr ${TARGET}`)
  await startReady(assistant, INTERCEPT, [...ANSWERS, '--allow-forwarding'])
  await lab.startTcpcopy(COPY)
  await lab.ask('SET', 'key', 'value')
  await until('the client gets answers of the target', async () => (await seen()) > 0)
  assert.ok(await hasRedirected(assistant))
})

/** A rule that looks at the state of connections makes the kernel follow them. It also counts the copies that it sees. */
async function trackConnections(host: Host): Promise<() => Promise<number>> {
  await host.mustRun('nft', ['add table ip guard'])
  await host.mustRun('nft', ['add chain ip guard out { type filter hook output priority 0; }'])
  const copies = `ip daddr ${TARGET} tcp dport ${PORT}`
  await host.mustRun('nft', [`add rule ip guard out ${copies} ct state != untracked counter`])
  await host.mustRun('nft', ['add rule ip guard out ct state invalid drop'])
  return async () => {
    const table = await host.mustRun('nft', ['list table ip guard'])
    return Number(/packets (\d+)/.exec(table)?.[1] ?? Number.NaN)
  }
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`a source that tracks connections: a rule of ${firewall} keeps the copies out, and goes at the end`, async () => {
    await using lab = await openCopyLab()
    const { source } = lab.hosts
    const redis = await lab.startRedisPair()
    const trackedCopies = await trackConnections(source)
    await lab.startIntercept()
    assert.equal(await lab.ask('SET', 'before', 'it'), 'OK')
    const managed = [...COPY, '--manage-rules', '--firewall', firewall]
    const killed = await startReady(source, TCPCOPY, managed)
    killed.signal('SIGKILL')
    await killed.exited
    const tcpcopy = await lab.startTcpcopy(managed)
    assert.equal(await ourRules(source, 'raw'), 1)
    assert.doesNotMatch(tcpcopy.stderr, /tracks connections/)
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'firewall rule installed'))
    await lab.ask('SET', 'key', 'value')
    await lab.ask('SET', 'before', 'it')
    await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 2)
    assert.equal(await trackedCopies(), 0)
    assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
    assert.equal(await redis.target.digest(), await redis.source.digest())
    assert.equal(await ourRules(source, 'raw'), 0)
  })
}

test('the warning about connection tracking names both firewalls, and is not said where a rule is there', async () => {
  await using lab = await openCopyLab()
  const { source } = lab.hosts
  await lab.startRedisPair()
  const trackedCopies = await trackConnections(source)
  await lab.startIntercept()
  await lab.ask('SET', 'key', 'value')
  const warning = async (isBusy = true): Promise<string | undefined> => {
    const tcpcopy = await lab.startTcpcopy(COPY)
    if (isBusy) {
      await lab.ask('SET', 'key', 'value')
      await untilCounter(tcpcopy, 'synsSent', (count) => count > 0)
    }
    await tcpcopy.stop()
    const line = tcpcopy.stderr.split('\n').find((one) => one.includes('tracks connections'))
    // as: our own words
    return line === undefined ? undefined : (JSON.parse(line) as { message: string }).message
  }
  // Without a client the copy has nothing to track: the words come first, the proof that they are true last.
  const said = (await warning(false)) ?? ''
  const commands = [/or by hand: (iptables .*)$/m.exec(said)?.[1] ?? '', /Or with nft: (.*)$/m.exec(said)?.[1] ?? '']
  for (const command of [...commands, commands[0]?.replace('iptables', 'iptables-legacy') ?? '']) {
    await source.mustRun('sh', ['-c', command])
    assert.equal(await warning(), undefined, command)
    assert.equal(await trackedCopies(), 0)
    const undo = command.startsWith('nft')
      ? `nft delete table ip tcpcopy-copies-to-${TARGET}-${PORT}`
      : command.replace(' -I ', ' -D ')
    await source.mustRun('sh', ['-c', undo])
    assert.notEqual(await warning(false), undefined)
  }
  await warning()
  assert.ok((await trackedCopies()) > 0)
})
