/** --manage-rules of intercept on an assistant that forwards, and of tcpcopy on a source that tracks connections. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ASSISTANT,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import { addRules, countPackets } from '../../../lab/hosts/nftables.ts'
import { finishCopy } from '../support/books.ts'
import { ourRules } from '../support/firewall.ts'
import { stopCleanly, until, untilCounter, untilSame } from '../support/waiting.ts'

const ANSWERS = ['-i', 'eth0', '-F', `tcp and src host ${TARGET} and src port ${PORT}`]
const COPY = ['-x', MAP, '-s', ASSISTANT, '--send', 'ip']
const FROM_TARGET = `ip saddr ${TARGET}`

/** Turns on forwarding, with which the assistant would pass the answers on to the clients. */
async function forward(assistant: Host): Promise<void> {
  await assistant.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
}

/** Whether a host has sent an ICMP redirect (type 5, RFC 792). */
async function hasRedirected(host: Host): Promise<boolean> {
  return (await host.mustRun('cat', ['/proc/net/snmp'])).includes('OutType5')
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`on an assistant that forwards, a rule of ${firewall} drops the answers, also after SIGKILL`, async () => {
    await using lab = await openCopyLab()
    const { assistant, client } = lab.hosts
    await forward(assistant)
    const redis = await lab.startRedisPair()
    const seen = await countPackets(client, 'ip', 'input', FROM_TARGET)
    const managed = [...ANSWERS, '--manage-rules', '--firewall', firewall]
    const killed = await startReady(assistant, INTERCEPT, managed)
    await killed.stop('SIGKILL')
    assert.deepEqual(await ourRules(assistant, 'mangle'), [1, 0])
    const intercept = await startReady(assistant, INTERCEPT, managed)
    assert.deepEqual(await ourRules(assistant, 'mangle'), [1, 0])

    const tcpcopy = await lab.startTcpcopy(COPY)
    for (let count = 0; count < 20; count++) await lab.ask('SET', `key${count}`, 'value')
    await untilSame(redis.source, redis.target)
    await finishCopy(tcpcopy)
    assert.equal(await seen(), 0)
    assert.ok(!(await hasRedirected(assistant)))
    // The target's answers to the assistant itself are not answers to a copy.
    const ping = `require('net').connect(${PORT}, '${TARGET}', function () { this.end('PING\\r\\n') }).pipe(process.stdout)`
    assert.equal(await lab.runScript(assistant, ping), '+PONG\r\n')
    await stopCleanly(intercept)
    assert.deepEqual(await ourRules(assistant, 'mangle'), [0, 0])
  })
}

test('without the rule, an assistant that forwards sends the answers to the client', async () => {
  await using lab = await openCopyLab()
  const { assistant, client } = lab.hosts
  await forward(assistant)
  await lab.startRedisPair()
  const seen = await countPackets(client, 'ip', 'input', FROM_TARGET)
  await startReady(assistant, INTERCEPT, [...ANSWERS, '--allow-forwarding'])
  await lab.startTcpcopy(COPY)
  await lab.ask('SET', 'key', 'value')
  await until('the client gets answers of the target', async () => (await seen()) > 0)
  assert.ok(await hasRedirected(assistant))
})

/** Makes the kernel track connections, by a rule that needs it. @returns the count of copies that it tracks */
async function trackConnections(host: Host): Promise<() => Promise<number>> {
  await addRules(host, 'ip', 'guard', 'output', 'ct state invalid drop')
  return await countPackets(host, 'ip', 'output', `ip daddr ${TARGET} tcp dport ${PORT} ct state != untracked`)
}

for (const firewall of ['iptables', 'iptables-legacy', 'nft']) {
  test(`on a source that tracks connections, a rule of ${firewall} exempts the copies, and is removed at the end`, async () => {
    await using lab = await openCopyLab()
    const { source } = lab.hosts
    const redis = await lab.startRedisPair()
    const trackedCopies = await trackConnections(source)
    await lab.startIntercept()
    assert.equal(await lab.ask('SET', 'before', 'it'), 'OK')
    const managed = [...COPY, '--manage-rules', '--firewall', firewall]
    const killed = await startReady(source, TCPCOPY, managed)
    await killed.stop('SIGKILL')
    const tcpcopy = await lab.startTcpcopy(managed)
    assert.deepEqual(await ourRules(source, 'raw'), [1, 0])
    assert.doesNotMatch(tcpcopy.stderr, /tracks connections/)
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'firewall rule installed'))
    await lab.ask('SET', 'key', 'value')
    await lab.ask('SET', 'before', 'it')
    await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 2)
    assert.equal(await trackedCopies(), 0)
    await finishCopy(tcpcopy)
    assert.equal(await redis.target.digest(), await redis.source.digest())
    assert.deepEqual(await ourRules(source, 'raw'), [0, 0])
  })
}

test('the warning about connection tracking names both firewalls, and does not appear if a rule exists', async () => {
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
    // as: our own log
    return line === undefined ? undefined : (JSON.parse(line) as { message: string }).message
  }
  // Without a client there is nothing to track: the warning comes first, and the last lines prove it right.
  const said = (await warning(false)) ?? ''
  const iptables = /or install the rule yourself: (iptables .*)$/m.exec(said)?.[1]
  const nft = /Or with nft: (.*)$/m.exec(said)?.[1]
  assert.ok(iptables !== undefined && nft !== undefined, said)
  for (const command of [iptables, nft, iptables.replace('iptables', 'iptables-legacy')]) {
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
