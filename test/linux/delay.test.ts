/** Long ways: between the clients and the source, and between the source and the target. No packet is lost on them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DelayLink } from '../../lab/hosts/delay-link.ts'
import type { Host } from '../../lab/hosts/host.ts'
import {
  ASSISTANT,
  type CopyLab,
  finishAndReadBooks,
  openCopyLab,
  PORT,
  SOURCE,
  TARGET,
  tcpCounters,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

const ONE_WAY_MS = 50
const FAR_CLIENT = '10.78.0.10'
const SOURCE_AFAR = '10.78.0.1'
const FAR_TARGET = '10.79.0.2'
/** Everything by which a sender tells that it sent something twice, or was about to. */
const SENT_TWICE = /Retrans|Spurious|LossProbe|DSACK|Timeouts/

/**
 * Runs a load, and again where the host sent something twice or was about to: acknowledgments at a wrong pace make it do
 * so each time, a machine that stands still for 100 ms makes it once.
 */
async function loadWithNothingSentTwice(host: Host, load: () => Promise<void>): Promise<void> {
  let sentTwice: string[] = []
  for (let attempt = 0; attempt < 3; attempt++) {
    const before = await tcpCounters(host)
    await load()
    const counters = [...(await tcpCounters(host))].filter(([name]) => SENT_TWICE.test(name))
    assert.ok(counters.length > 10)
    sentTwice = counters.filter(([name, count]) => count !== before.get(name)).map(([name]) => name)
    if (sentTwice.length === 0) return
  }
  assert.fail(`each time the host counts ${sentTwice}`)
}

/** Loads of different values write under different keys: which write comes last between two connections is open. */
async function benchmark(client: Host, server: string, ...args: readonly string[]): Promise<void> {
  await client.mustRun('redis-benchmark', ['-h', server, '-p', `${PORT}`, '-q', ...args])
}

/** A client far from the source: tcpcopy is next to the target. */
async function openFarClient(lab: CopyLab): Promise<DelayLink> {
  const ends = [
    { host: lab.hosts.client, address: `${FAR_CLIENT}/24` },
    { host: lab.hosts.source, address: `${SOURCE_AFAR}/24` }
  ] as const
  return await DelayLink.open(ends, ONE_WAY_MS)
}

async function assertNothingDropped(link: DelayLink): Promise<void> {
  for (const { dropped } of (await link.close()).directions) assert.equal(dropped, 0)
}

test('clients at 100 ms are as slow for the target, which sends nothing twice', async () => {
  await using lab = await openCopyLab({ routed: [FAR_CLIENT] })
  const { client, target } = lab.hosts
  await using link = await openFarClient(lab)
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  await loadWithNothingSentTwice(target, async () => {
    await benchmark(client, SOURCE_AFAR, '-c', '20', '-n', '200', '-t', 'set', '-d', '20000')
    // Answers of many segments.
    await benchmark(client, SOURCE_AFAR, '-c', '20', '-n', '100', 'GET', 'key:__rand_int__')
    await benchmark(client, SOURCE_AFAR, '-k', '0', '-c', '20', '-n', '200', '-t', 'hset')
    await untilSame(redis.source, redis.target)
  })
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  await assertNothingDropped(link)
})

const LARGE = 20_000_000

/** Reads an answer of so many octets to its end. */
const download = (server: string, octets: number) => `
const socket = require('net').connect(${PORT}, '${server}', () => socket.write('GET large\\r\\n'))
let length = 0
socket.on('data', (bytes) => { if ((length += bytes.length) > ${octets}) socket.end() })`

/** Octets that a host has sent on eth0. */
async function sentBytes(host: Host): Promise<number> {
  const [link] = JSON.parse(await host.mustRun('ip', ['-s', '-j', 'link', 'show', 'dev', 'eth0']))
  return link.stats64.tx.bytes
}

test('the copy of a download over 100 ms keeps step with it, and nothing is sent twice', async () => {
  await using lab = await openCopyLab({ routed: [FAR_CLIENT] })
  const { client, source, target } = lab.hosts
  await using link = await openFarClient(lab)
  await lab.startRedisPair()
  for (const host of [source, target]) await host.mustRun('redis-cli', ['SETRANGE', 'large', `${LARGE - 1}`, 'x'])
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  let downloads = 0
  await loadWithNothingSentTwice(target, async () => {
    downloads += 1
    const before = await sentBytes(target)
    await lab.runScript(client, download(SOURCE_AFAR, LARGE))
    const whenClientHadAll = (await sentBytes(target)) - before
    await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === downloads)
    assert.ok((await sentBytes(target)) - before > LARGE)
    // A window doubles with each round trip: this is three of them behind.
    assert.ok(whenClientHadAll > LARGE / 8, `only ${whenClientHadAll} octets had been sent to the copy`)
  })
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  await assertNothingDropped(link)
})

test('a target that waits for late acknowledgments (-R) is not taken for quiet: the FIN comes after the whole answer', async () => {
  const octets = 2_000_000
  await using lab = await openCopyLab()
  const { client, source, target } = lab.hosts
  await lab.startRedisPair()
  for (const host of [source, target]) await host.mustRun('redis-cli', ['SETRANGE', 'large', `${octets - 1}`, 'x'])
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', `${PORT}-${TARGET}:${PORT}`, '-s', ASSISTANT, '-R', '200'])
  const before = await sentBytes(target)
  await lab.runScript(client, download(SOURCE, octets))
  await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 1)
  assert.ok((await sentBytes(target)) - before > octets)
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.droppedBytes, books.epochTimeouts, books.epochsQuiet], [0, 0, 0])
})

test('a target at 50 ms gets all', async () => {
  await using lab = await openCopyLab()
  const { client, source, target } = lab.hosts
  const ends = [
    { host: source, address: '10.79.0.1/24' },
    { host: target, address: `${FAR_TARGET}/24` }
  ] as const
  await using link = await DelayLink.open(ends, ONE_WAY_MS)
  const redis = await lab.startRedisPair()
  await lab.startIntercept(['-F', `tcp and src host ${FAR_TARGET}`])
  const tcpcopy = await lab.startTcpcopy(['-x', `${PORT}-${FAR_TARGET}:${PORT}`, '-s', ASSISTANT])
  await benchmark(client, SOURCE, '-c', '50', '-n', '1500', '-t', 'set', '-r', '2000000000')
  await benchmark(client, SOURCE, '-c', '10', '-n', '50', '-t', 'hset', '-r', '2000000000', '-d', '50000')
  await benchmark(client, SOURCE, '-k', '0', '-c', '20', '-n', '500', '-t', 'set', '-r', '2000000000')
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  await assertNothingDropped(link)
})
