/** Faults of the network, the target and intercept, under load: none of them may cost a request. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../../lab/hosts/host.ts'
import type { Program } from '../../lab/hosts/program.ts'
import { type Redis, startRedis } from '../../lab/job/redis.ts'
import {
  ASSISTANT,
  CLIENT,
  type CopyLab,
  endLoad,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  startSteadyLoad,
  until,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

/** The ring holds all of a load, however little of the machine is left for it. */
const COPY = ['-x', MAP, '-s', ASSISTANT, '-B', '128']
const BENCHMARK_LIMIT_MS = 120_000

/** redis-benchmark on the client: SETs of random keys and one value. */
async function load(lab: CopyLab, ...args: readonly string[]): Promise<void> {
  const keys = ['-r', '2000000000', '-t', 'set', '-q']
  const options = { timeoutMs: BENCHMARK_LIMIT_MS }
  await lab.hosts.client.mustRun('redis-benchmark', ['-h', SOURCE, ...keys, ...args], options)
}

/** Drops what matches, in a table of its own. */
async function drop(host: Host, table: string, hook: 'input' | 'output', match: string): Promise<void> {
  await host.mustRun('nft', [`add table ip ${table}`])
  await host.mustRun('nft', [`add chain ip ${table} some { type filter hook ${hook} priority 0; }`])
  await host.mustRun('nft', [`add rule ip ${table} some ${match} drop`])
}

/** Drops a share of a host's packets to, or from, the service; in per mille. */
async function lose(host: Host, perMille: number, hook: 'input' | 'output'): Promise<void> {
  const port = hook === 'input' ? 'dport' : 'sport'
  await drop(host, `lose_${hook}`, hook, `tcp ${port} ${PORT} numgen random mod 1000 < ${perMille}`)
}

interface Copy {
  readonly lab: CopyLab
  readonly redis: { readonly source: Redis; readonly target: Redis }
  readonly tcpcopy: Program
  /** Waits for the copy, compares it, and reads the books: nothing may be dropped. */
  readonly finish: () => Promise<Readonly<Record<string, number>>>
}

/** Runs a test on a copy of redis. */
async function withCopy(
  body: (copy: Copy) => Promise<void>,
  offloads = false,
  options: readonly string[] = []
): Promise<void> {
  await using lab = await openCopyLab({ offloads })
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy([...COPY, ...options])
  const finish = async (): Promise<Readonly<Record<string, number>>> => {
    await untilSame(redis.source, redis.target)
    const books = await finishAndReadBooks(tcpcopy)
    assert.equal(books.captureDropped, 0)
    assert.equal(books.droppedBytes, 0, JSON.stringify(books))
    return books
  }
  await body({ lab, redis, tcpcopy, finish })
}

for (const perMille of [1, 10, 50]) {
  test(`${perMille / 10} % of packets lost towards the target, and as many from it, cost no request`, async () => {
    await withCopy(async ({ lab, redis, finish }) => {
      await lose(lab.hosts.target, perMille, 'input')
      await lose(lab.hosts.target, perMille, 'output')
      await load(lab, '-c', '50', '-n', '5000', '-d', '600')
      // The next load may choose the same keys (its dice are the second and its PID): these SETs are to come first.
      await untilSame(redis.source, redis.target)
      await load(lab, '-c', '5', '-n', '50', '-d', '50000')
      const books = await finish()
      assert.ok((books.retransmissions ?? 0) > 0)
    })
  })
}

test('a target with an MTU of 576 gets all in segments that fit', async () => {
  await withCopy(async ({ lab, finish }) => {
    await lab.hosts.target.mustRun('ip', ['link', 'set', 'eth0', 'mtu', '576'])
    await load(lab, '-c', '10', '-n', '500', '-d', '20000')
    await finish()
  })
})

test('a path that loses packets of more than 1000 octets and does not say so gets smaller ones', async () => {
  await withCopy(async ({ lab, finish }) => {
    await drop(lab.hosts.target, 'large', 'input', `tcp dport ${PORT} ip length > 1000`)
    await load(lab, '-c', '10', '-n', '100', '-d', '20000')
    const books = await finish()
    assert.ok((books.segmentsHalved ?? 0) > 0)
  })
})

for (const offloads of [false, true]) {
  test(`requests of 100 kB on 20 connections arrive, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await withCopy(async ({ lab, finish }) => {
      await load(lab, '-c', '20', '-n', '400', '-d', '100000')
      await finish()
    }, offloads)
  })
}

test('one connection as fast as it can go is copied whole', async () => {
  await withCopy(async ({ lab, finish }) => {
    await load(lab, '-c', '1', '-n', '20000')
    await finish()
  })
})

test('a target that stands still for a second gets all afterwards', async () => {
  await withCopy(async ({ lab, redis, finish }) => {
    const loading = load(lab, '-c', '50', '-n', '50000')
    await sleep(200)
    redis.target.program.signal('SIGSTOP')
    await sleep(1000)
    redis.target.program.signal('SIGCONT')
    await loading
    await finish()
  })
})

test('a target that is killed and started again gets what was not delivered, on new connections', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(COPY)
  const steady = await startSteadyLoad(lab.hosts.client, 50)
  await until('the copy is under way', async () => (await redis.target.requestCount()) > 1000)
  await redis.target.program.stop('SIGKILL')
  await sleep(500)
  const again = await startRedis(lab.hosts.target, PORT, join(lab.folder, `${PORT}`))
  await untilCounter(tcpcopy, 'sessionsContinued', (count) => count > 0)
  await endLoad(steady)
  await lab.ask('SET', 'last', 'word')
  await until('the last word is there', async () => (await lab.askTarget('GET', 'last')) === 'word')
  assert.ok((await again.requestCount()) > 0)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0, JSON.stringify(books))
})

test('intercept stopped for a second costs no short connection', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const intercept = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(COPY)
  const loading = load(lab, '-k', '0', '-c', '20', '-n', '5000')
  await sleep(200)
  intercept.signal('SIGSTOP')
  await sleep(1000)
  intercept.signal('SIGCONT')
  await loading
  await untilSame(redis.source, redis.target)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0, JSON.stringify(books))
})

test('packets that the kernel refuses to send for a while are sent later', async () => {
  const copy = async ({ lab, redis, tcpcopy, finish }: Copy): Promise<void> => {
    const { source } = lab.hosts
    const loading = load(lab, '-c', '20', '-n', '50000')
    await until('the copy is under way', async () => (await redis.target.requestCount()) > 1000)
    await drop(source, 'refuse', 'output', `ip saddr ${CLIENT} tcp dport ${PORT}`)
    await untilCounter(tcpcopy, 'sendRefused', (count) => count > 0)
    await source.mustRun('nft', ['delete', 'table', 'ip', 'refuse'])
    await loading
    await finish()
  }
  // Rules of the firewall do not see what is sent through the link layer.
  await withCopy(copy, false, ['--send', 'ip'])
})
