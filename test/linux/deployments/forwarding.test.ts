/** A source that forwards packets: only connections that it accepts itself are copied. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ASSISTANT,
  ASSISTANT_6,
  CLIENT,
  CLIENT_6,
  INTERCEPT,
  MAP,
  PORT,
  SOURCE,
  SOURCE_6,
  startConnected,
  startReady,
  TARGET,
  TARGET_6,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { counter } from '../../../lab/hosts/json-log.ts'
import { type Lab, openLab } from '../../../lab/hosts/lab.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { finishCopy } from '../support/books.ts'
import { statisticsOf, stopCleanly, until, untilCounter } from '../support/waiting.ts'

/** A server behind the source, which routes to it. */
const BEHIND = '10.78.0.2'
const BEHIND_6 = 'fd78::2'
const VIP = '10.79.0.9'
const VIP_6 = 'fd79::9'
/** An address of a network that the source accepts as a whole. */
const ANY = '10.80.0.7'

type RouterLab = Lab<'client' | 'source' | 'target' | 'assistant' | 'behind'>

async function openRouterLab(): Promise<RouterLab> {
  const lab = await openLab({
    hosts: {
      client: { addresses: [CLIENT, CLIENT_6] },
      source: {
        addresses: [SOURCE, '10.78.0.1', SOURCE_6, 'fd78::1'],
        sysctls: {
          'net.ipv4.ip_forward': '1',
          'net.ipv6.conf.all.forwarding': '1',
          'net.ipv4.conf.all.send_redirects': '0',
          'net.ipv4.conf.default.send_redirects': '0'
        }
      },
      target: { addresses: [TARGET, TARGET_6] },
      assistant: { addresses: [ASSISTANT, ASSISTANT_6] },
      behind: { addresses: [BEHIND, BEHIND_6] }
    },
    routes: [
      { on: 'client', to: '10.78.0.0/15', via: SOURCE },
      { on: 'client', to: '10.80.0.0/24', via: SOURCE },
      { on: 'client', to: 'fd78::/15', via: SOURCE_6 },
      { on: 'behind', to: CLIENT, via: '10.78.0.1' },
      { on: 'behind', to: CLIENT_6, via: 'fd78::1' },
      { on: 'target', to: `${CLIENT}/32`, via: ASSISTANT },
      { on: 'target', to: `${CLIENT_6}/128`, via: ASSISTANT_6 }
    ]
  })
  const { source, target, behind } = lab.hosts
  for (const host of [source, target, behind]) await startRedis(host, PORT, lab.subfolder('redis'))
  return lab
}

async function set({ hosts }: RouterLab, address: string, key: string): Promise<void> {
  assert.equal((await hosts.client.mustRun('redis-cli', ['-h', address, 'SET', key, '1'])).trim(), 'OK')
}

async function has(host: Host, key: string): Promise<boolean> {
  return (await host.mustRun('redis-cli', ['EXISTS', key])).trim() === '1'
}

async function untilCopied({ hosts }: RouterLab, key: string): Promise<void> {
  await until(`${key} is at the target`, () => has(hosts.target, key))
}

/** Adds an address, and waits as long as it may take until it is noticed. */
async function addAddress(host: Host, address: string): Promise<void> {
  await host.mustRun('ip', ['address', 'add', address, 'dev', 'lo', ...(address.includes(':') ? ['nodad'] : [])])
  await new Promise((resolve) => setTimeout(resolve, 2000))
}

for (const args of [[], ['--capture', 'ip'], ['--workers', '2']]) {
  test(`forwarded connections are not copied, those to addresses that come later are ${args.join(' ')}`, async () => {
    await using lab = await openRouterLab()
    const { source, assistant } = lab.hosts
    await startReady(assistant, INTERCEPT, ['-i', 'eth0', '-F', `tcp and src host ${TARGET}`])
    const tcpcopy = await startConnected(source, TCPCOPY, ['-x', MAP, '-s', ASSISTANT, ...args])
    await set(lab, BEHIND, 'forwarded')
    await set(lab, SOURCE, 'own')
    await untilCopied(lab, 'own')
    await set(lab, '10.78.0.1', 'other')
    await untilCopied(lab, 'other')
    await addAddress(source, `${VIP}/32`)
    await set(lab, VIP, 'vip')
    await untilCopied(lab, 'vip')
    await source.mustRun('ip', ['route', 'add', 'local', '10.80.0.0/24', 'dev', 'lo'])
    await new Promise((resolve) => setTimeout(resolve, 2000))
    await set(lab, ANY, 'any')
    await untilCopied(lab, 'any')
    assert.ok(!(await has(lab.hosts.target, 'forwarded')))
    const books = await finishCopy(tcpcopy, { sessionsStarted: 4 })
    // A raw socket does not get what is forwarded.
    assert.equal((books['dropped.forwarded'] ?? 0) > 0, !args.includes('ip'))
  })
}

test('over IPv6, forwarded connections are not copied, those to addresses that come later are', async () => {
  await using lab = await openRouterLab()
  const { source, assistant } = lab.hosts
  await startReady(assistant, INTERCEPT, ['-i', 'eth0', '-F', `tcp and src host ${TARGET_6}`])
  const map = `${PORT}-[${TARGET_6}]:${PORT}`
  const tcpcopy = await startConnected(source, TCPCOPY, ['-x', map, '-s', `[${ASSISTANT_6}]`])
  await set(lab, BEHIND_6, 'forwarded')
  await set(lab, SOURCE_6, 'own')
  await untilCopied(lab, 'own')
  await addAddress(source, `${VIP_6}/128`)
  await set(lab, VIP_6, 'vip')
  await untilCopied(lab, 'vip')
  assert.ok(!(await has(lab.hosts.target, 'forwarded')))
  const books = await finishCopy(tcpcopy, { sessionsStarted: 2 })
  assert.ok((books['dropped.forwarded'] ?? 0) > 0)
})

test('an address in -x is copied although it is another host', async () => {
  await using lab = await openRouterLab()
  const { source, assistant } = lab.hosts
  await startReady(assistant, INTERCEPT, ['-i', 'eth0', '-F', `tcp and src host ${TARGET}`])
  const tcpcopy = await startConnected(source, TCPCOPY, ['-x', `${BEHIND}:${MAP}`, '-s', ASSISTANT])
  await set(lab, SOURCE, 'own')
  await set(lab, BEHIND, 'named')
  await untilCopied(lab, 'named')
  assert.ok(!(await has(lab.hosts.target, 'own')))
  await finishCopy(tcpcopy, { sessionsStarted: 1 })
})

test('record leaves out what is forwarded, too', async () => {
  await using lab = await openRouterLab()
  const { source } = lab.hosts
  const args = ['record', '-x', `${PORT}`, '-o', `${lab.folder}/requests.pcapng`]
  const recorder = await startReady(source, TCPCOPY, args)
  await set(lab, BEHIND, 'forwarded')
  await set(lab, SOURCE, 'own')
  await untilCounter(recorder, 'packets', (count) => count > 3)
  assert.ok((counter(await statisticsOf(recorder), 'leftOut') ?? 0) > 3)
  await stopCleanly(recorder)
})
