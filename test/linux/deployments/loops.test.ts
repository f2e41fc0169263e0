/** Targets that pass on what they receive: no copy is copied in a circle, and clients that only look alike are copied. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ASSISTANT, CLIENT, type CopyLab, MAP, openCopyLab, PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { type Redis, startRedis } from '../../../lab/job/redis.ts'
import { stopCopy, unchecked } from '../support/books.ts'
import { benchmark } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { statisticsOf, until } from '../support/waiting.ts'

const PROXY = fileURLToPath(new URL('../support/programs/returning-proxy.js', import.meta.url))
/** What the source sees of the target's own connections where its address is translated. */
const BACK = '10.77.0.22'
/** Longer than anything is tried out. */
const SETTLED_MS = 6000

interface Circle {
  readonly redis: Redis
  readonly tcpcopy: Program
}

/** A source with redis, and a target that passes every connection back to it. */
async function openCircle(lab: CopyLab, args: readonly string[] = []): Promise<Circle> {
  const redis = await startRedis(lab.hosts.source, PORT, lab.subfolder('source'))
  const proxy = lab.hosts.target.spawn(process.execPath, [PROXY, `${PORT}`, SOURCE])
  await proxy.waitForLine('stdout', (line) => line === 'listening')
  await lab.startIntercept()
  return { redis, tcpcopy: await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, ...args]) }
}

/** The target's connections to the source get another address, as behind a router. */
async function hideProxy(lab: CopyLab): Promise<void> {
  const { target, source } = lab.hosts
  await source.mustRun('ip', ['route', 'add', BACK, 'via', TARGET])
  const rules = [
    'add table ip hidden',
    'add chain ip hidden out { type nat hook postrouting priority 100; }',
    `add rule ip hidden out ip daddr ${SOURCE} tcp dport ${PORT} snat to ${BACK}`
  ]
  for (const rule of rules) await target.mustRun('nft', [rule])
}

/** One request of a client, which may only be executed a few times more than once. */
async function assertBounded(lab: CopyLab, { redis, tcpcopy }: Circle, most: number): Promise<void> {
  await lab.ask('INCR', 'once')
  await sleep(SETTLED_MS)
  const executed = await redis.requestCount()
  assert.ok(executed <= most, `${executed} requests instead of one, ${JSON.stringify(await statisticsOf(tcpcopy))}`)
  await sleep(2000)
  assert.equal(await redis.requestCount(), executed, 'the loop goes on')
}

test('a target that is a proxy for the source: its own connections are not copied, and that is said once', async () => {
  await using lab = await openCopyLab()
  const circle = await openCircle(lab)
  await assertBounded(lab, circle, 2)
  await lab.ask('INCR', 'again')
  await until('it is warned', () => circle.tcpcopy.stderr.includes('a target is also a client'))
  assert.equal(circle.tcpcopy.stderr.match(/a target is also a client/g)?.length, 1)
  const books = await stopCopy(circle.tcpcopy, { droppedBytes: unchecked })
  assert.ok((books['dropped.fromTarget'] ?? 0) > 0)
})

for (const [name, args, routed] of [
  ['another address', [], [`${CLIENT}/32`, `${BACK}/32`]],
  ['another address, with -c', ['-c', '10.99.0.x'], ['10.99.0.0/24']],
  ['another address, with two workers', ['--workers', '2'], [`${CLIENT}/32`, `${BACK}/32`]]
] as const) {
  test(`a proxy for the source behind ${name} is tried out and then blocked`, async () => {
    await using lab = await openCopyLab({ routed })
    await hideProxy(lab)
    const circle = await openCircle(lab, args)
    await assertBounded(lab, circle, 40)
    await until('it is warned', () => circle.tcpcopy.stderr.includes('copies come back as requests of a client'))
    assert.match(circle.tcpcopy.stderr, new RegExp(`"client":"${BACK.replaceAll('.', '\\.')}"`))
    // Others are copied as before.
    const before = (await statisticsOf(circle.tcpcopy)).sessionsStarted
    await lab.ask('INCR', 'later')
    await until('it is copied', async () => (await statisticsOf(circle.tcpcopy)).sessionsStarted !== before)
    await stopCopy(circle.tcpcopy, { droppedBytes: unchecked })
  })
}

test('a target that translates its address and passes packets back does not make a loop', async () => {
  await using lab = await openCopyLab()
  const { target, source } = lab.hosts
  const redis = await startRedis(source, PORT, lab.subfolder('source'))
  await target.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
  await target.mustRun('ip', ['address', 'add', `${BACK}/24`, 'dev', 'eth0'])
  const rules = [
    'add table ip circle',
    'add chain ip circle in { type nat hook prerouting priority -100; }',
    `add rule ip circle in ip daddr ${TARGET} tcp dport ${PORT} dnat to ${SOURCE}:${PORT}`,
    'add chain ip circle out { type nat hook postrouting priority 100; }',
    `add rule ip circle out ip daddr ${SOURCE} tcp dport ${PORT} snat to ${BACK}`
  ]
  for (const rule of rules) await target.mustRun('nft', [rule])
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  await assertBounded(lab, { redis, tcpcopy }, 3)
  await until('it is warned', () => tcpcopy.stderr.includes('a copy came back as a new connection'))
  const books = await stopCopy(tcpcopy, { droppedBytes: unchecked })
  assert.ok((books['dropped.loop'] ?? 0) > 0)
})

copied(
  'a hundred clients with equal requests behind one address are no loop, nor is a check every second by others',
  { moreClients: ['10.77.0.11'], routed: [`${CLIENT}/32`, '10.77.0.11/32'] },
  async (copy) => {
    const { client } = copy.hosts
    const check = `
      let left = 12
      const timer = setInterval(() => {
        const socket = require('net').connect({ host: '${SOURCE}', port: ${PORT}, localAddress: '10.77.0.11' })
        socket.end('PING\\r\\n').resume()
        if (--left === 0) clearInterval(timer)
      }, 1000)`
    const checks = client.mustRun(process.execPath, ['-e', check])
    await benchmark(client, SOURCE, '-t', 'ping_inline', '-c', '100', '-n', '2000', '-k', '0')
    await checks
    await copy.untilSame()
    assert.doesNotMatch(copy.tcpcopy.stderr, /copies come back|also a client/)
    const books = await copy.finish()
    assert.equal(books['dropped.loop'] ?? 0, 0)
  }
)
