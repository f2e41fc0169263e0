/** High delay between clients and source, and between source and target, without packet loss. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CopyLab, openCopyLab, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { DelayLink } from '../../../lab/hosts/delay-link.ts'
import { deviceCounters } from '../../../lab/hosts/device-counters.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import type { StartServer } from '../../../lab/loads/server.ts'
import { benchmark, SETS, SHORT } from '../support/client-loads.ts'
import { copied, startCopy } from '../support/copied.ts'
import { untilCounter } from '../support/waiting.ts'

const ONE_WAY_MS = 50
const FAR_CLIENT = '10.78.0.10'
const FAR_SOURCE = '10.78.0.1'
const FAR_TARGET = '10.79.0.2'
/** Counters of TCP that grow when a sender repeats something, or is about to. */
const REPEATS = /Retrans|Spurious|LossProbe|DSACK|Timeouts/

/** A host's TCP counters since its start, by the kernel's names: `Tcp.RetransSegs`, `TcpExt.TCPLossProbes`. */
async function tcpCounters(host: Host): Promise<ReadonlyMap<string, number>> {
  const lines = (await host.mustRun('cat', ['/proc/net/snmp', '/proc/net/netstat'])).trim().split('\n')
  const counters = new Map<string, number>()
  // Each line of names is followed by one of values.
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [group, ...names] = lines[at]?.split(' ') ?? []
    const values = lines[at + 1]?.split(' ').slice(1) ?? []
    for (const [index, name] of names.entries())
      counters.set(`${group}${name}`.replace(':', '.'), Number(values[index]))
  }
  return counters
}

/**
 * Runs a load during which the host must not repeat anything. It gets three attempts: wrongly paced acknowledgments make
 * the host repeat every time, a machine that stalls for 100 ms only once.
 */
async function loadWithoutRepeats(host: Host, load: () => Promise<void>): Promise<void> {
  let repeats: string[] = []
  for (let attempt = 0; attempt < 3; attempt++) {
    const before = await tcpCounters(host)
    await load()
    const counters = [...(await tcpCounters(host))].filter(([name]) => REPEATS.test(name))
    assert.ok(counters.length > 10)
    repeats = counters.filter(([name, count]) => count !== before.get(name)).map(([name]) => name)
    if (repeats.length === 0) return
  }
  assert.fail(`every attempt increased ${repeats}`)
}

/** Puts the client far from the source; tcpcopy stays next to the target. */
async function openFarClient({ hosts }: CopyLab): Promise<DelayLink> {
  const ends = [
    { host: hosts.client, address: `${FAR_CLIENT}/24` },
    { host: hosts.source, address: `${FAR_SOURCE}/24` }
  ] as const
  return await DelayLink.open(ends, ONE_WAY_MS)
}

async function assertNothingDropped(link: DelayLink): Promise<void> {
  for (const { dropped } of (await link.close()).directions) assert.equal(dropped, 0)
}

test('clients at 100 ms are as slow for the target, which repeats nothing', async () => {
  await using lab = await openCopyLab({ routed: [FAR_CLIENT] })
  await using link = await openFarClient(lab)
  const copy = await startCopy(lab)
  const { client, target } = lab.hosts
  await loadWithoutRepeats(target, async () => {
    // Loads of different values need different keys: it is open which write of two connections comes last.
    await benchmark(client, FAR_SOURCE, '-c', '20', '-n', '200', '-t', 'set', '-d', '20000')
    // Answers of many segments.
    await benchmark(client, FAR_SOURCE, '-c', '20', '-n', '100', 'GET', 'key:__rand_int__')
    await benchmark(client, FAR_SOURCE, ...SHORT, '-c', '20', '-n', '200', '-t', 'hset')
    await copy.untilSame()
  })
  await copy.end()
  await assertNothingDropped(link)
})

/** Sizes of downloads, in bytes. */
const LARGE = 20_000_000
const DOWNLOAD = 2_000_000

/** redis with a value of this many bytes, set before tcpcopy captures anything. */
function redisWithLarge(bytes: number): StartServer {
  return async (host, folder) => {
    const redis = await startRedis(host, PORT, folder)
    await host.mustRun('redis-cli', ['SETRANGE', 'large', `${bytes - 1}`, 'x'])
    return redis
  }
}

/** Reads an answer of this many bytes to its end. */
const download = (server: string, bytes: number) => `
const socket = require('net').connect(${PORT}, '${server}', () => socket.write('GET large\\r\\n'))
let length = 0
socket.on('data', (data) => { if ((length += data.length) > ${bytes}) socket.end() })`

async function sentBytes(host: Host): Promise<number> {
  return (await deviceCounters(host)).tx.bytes
}

test('the copy of a download over 100 ms keeps pace with it, and nothing is repeated', async () => {
  await using lab = await openCopyLab({ routed: [FAR_CLIENT] })
  await using link = await openFarClient(lab)
  const copy = await startCopy(lab, { server: redisWithLarge(LARGE) })
  const { client, target } = lab.hosts
  let downloads = 0
  await loadWithoutRepeats(target, async () => {
    downloads += 1
    const before = await sentBytes(target)
    await lab.runScript(client, download(FAR_SOURCE, LARGE))
    const whenClientHadAll = (await sentBytes(target)) - before
    await untilCounter(copy.tcpcopy, 'sessionsClosed', (count) => count === downloads)
    assert.ok((await sentBytes(target)) - before > LARGE)
    // A window doubles with each round trip: this is three of them behind.
    assert.ok(whenClientHadAll > LARGE / 8, `the target had sent only ${whenClientHadAll} bytes to the copy`)
  })
  await copy.end()
  await assertNothingDropped(link)
})

copied(
  'a target that waits for late acknowledgments (-R) does not count as quiet: the FIN comes after the whole answer',
  { server: redisWithLarge(DOWNLOAD), tcpcopy: ['-R', '200'], books: { epochTimeouts: 0, epochsQuiet: 0 } },
  async ({ lab, hosts, tcpcopy }) => {
    const before = await sentBytes(hosts.target)
    await lab.runScript(hosts.client, download(SOURCE, DOWNLOAD))
    await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 1)
    assert.ok((await sentBytes(hosts.target)) - before > DOWNLOAD)
  }
)

test('a target at 50 ms receives everything', async () => {
  await using lab = await openCopyLab()
  const { client, source, target } = lab.hosts
  const ends = [
    { host: source, address: '10.79.0.1/24' },
    { host: target, address: `${FAR_TARGET}/24` }
  ] as const
  await using link = await DelayLink.open(ends, ONE_WAY_MS)
  const copy = await startCopy(lab, { map: `${PORT}-${FAR_TARGET}:${PORT}`, answers: `src host ${FAR_TARGET}` })
  await benchmark(client, SOURCE, ...SETS, '-c', '50', '-n', '1500')
  await benchmark(client, SOURCE, '-t', 'hset', '-r', '2000000000', '-c', '10', '-n', '50', '-d', '50000')
  await benchmark(client, SOURCE, ...SETS, ...SHORT, '-c', '20', '-n', '500')
  await copy.untilSame()
  await copy.end()
  await assertNothingDropped(link)
})
