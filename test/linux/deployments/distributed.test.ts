/** Several sources, targets and intercepts. A deployment is data; what the targets read is compared byte for byte. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { CONNECTED, INTERCEPT, PORT, startReady, TCPCOPY } from '../../../lab/hosts/copy-lab.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import { type Lab, openLab } from '../../../lab/hosts/lab.ts'
import { type PacketDump, startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { readClientStreams } from '../../../lab/job/pcap-streams.ts'
import { type Redis, startRedis } from '../../../lab/job/redis.ts'
import { finishCopy } from '../support/books.ts'
import { benchmark, SETS, SHORT } from '../support/client-loads.ts'
import { until } from '../support/waiting.ts'

const hosts = {
  client: { addresses: ['10.77.0.10'] },
  sourceA: { addresses: ['10.77.0.1', '10.77.0.9'] },
  sourceB: { addresses: ['10.77.0.4'] },
  targetA: { addresses: ['10.77.0.2'] },
  targetB: { addresses: ['10.77.0.5'] },
  assistant: { addresses: ['10.77.0.3'] }
}
type Name = keyof typeof hosts
type SourceName = 'sourceA' | 'sourceB'
type TargetName = 'targetA' | 'targetB'

const ASSISTANT = '10.77.0.3'
const TO_A = '6379-10.77.0.2:6379'
const TO_B = '6379-10.77.0.5:6379'
const ANSWERS_A = 'tcp and src host 10.77.0.2 and src port 6379'
const ANSWERS_B = 'tcp and src host 10.77.0.5 and src port 6379'
/** Halves of all answers, by the client's port. */
const EVEN = 'tcp[2:2] & 1 = 0'
const ODD = 'tcp[2:2] & 1 = 1'

interface Deployment {
  readonly name: string
  /** Command lines of tcpcopy, by the host that runs it. */
  readonly tcpcopy: Partial<Record<SourceName, readonly string[]>>
  /** Command lines of intercept, all on the assistant. */
  readonly intercept: readonly (readonly string[])[]
  /** How many copies of each source every target receives. */
  readonly copies: Partial<Record<TargetName, Partial<Record<SourceName, number>>>>
}

const deployments: readonly Deployment[] = [
  {
    name: 'two sources, one target, one intercept',
    // A client may use one port for both sources at a time: different client addresses keep the copies apart.
    tcpcopy: {
      sourceA: ['-x', TO_A, '-s', ASSISTANT, '-c', '10.99.1.0/24'],
      sourceB: ['-x', TO_A, '-s', ASSISTANT, '-c', '10.99.2.0/24']
    },
    intercept: [['-F', ANSWERS_A]],
    copies: { targetA: { sourceA: 1, sourceB: 1 } }
  },
  {
    name: 'one source, two targets, one intercept',
    tcpcopy: { sourceA: ['-x', TO_A, '-x', TO_B, '-s', ASSISTANT] },
    intercept: [['-F', `(${ANSWERS_A}) or (${ANSWERS_B})`]],
    copies: { targetA: { sourceA: 1 }, targetB: { sourceA: 1 } }
  },
  {
    name: 'one source, two targets, two copies to each, an intercept for each target',
    tcpcopy: { sourceA: ['-x', `${TO_A},${TO_B}`, '-n', '2', '-s', `${ASSISTANT},${ASSISTANT}:36525`] },
    intercept: [
      ['-F', ANSWERS_A],
      ['-F', ANSWERS_B, '-p', '36525']
    ],
    copies: { targetA: { sourceA: 2 }, targetB: { sourceA: 2 } }
  },
  {
    name: 'one source, one target, two intercepts that share the answers by their filters',
    tcpcopy: { sourceA: ['-x', TO_A, '-s', `${ASSISTANT},${ASSISTANT}:36525`] },
    intercept: [
      ['-F', `${ANSWERS_A} and ${EVEN}`],
      ['-F', `${ANSWERS_A} and ${ODD}`, '-p', '36525']
    ],
    copies: { targetA: { sourceA: 1 } }
  }
]

/** Connects from one client port to both addresses of source A at the same time, three times. */
const TWINS = `
  const net = require('net')
  let left = 3
  const round = () => {
    let answers = 0
    const sockets = ['10.77.0.1', '10.77.0.9'].map((host, index) => {
      const socket = net.connect({ host, port: ${PORT}, localPort: 25000 + left })
      socket.write('SET twin' + left + index + ' ' + 'x'.repeat(index * 5000) + '1\\r\\n')
      socket.on('data', () => { if (++answers === 2) for (const one of sockets) one.end() })
      return socket
    })
    let open = 2
    for (const socket of sockets) socket.on('close', () => { if (--open === 0 && --left > 0) round() })
  }
  round()`

async function load({ hosts }: Lab<Name>, sources: readonly SourceName[]): Promise<void> {
  const loads = sources.flatMap((source) => [
    benchmark(hosts.client, hosts[source].address, ...SETS, '-d', '3000', '-c', '20', '-n', '2000'),
    benchmark(hosts.client, hosts[source].address, ...SETS, ...SHORT, '-c', '5', '-n', '200')
  ])
  await Promise.all(loads)
  if (sources.includes('sourceA')) await hosts.client.mustRun(process.execPath, ['-e', TWINS])
}

/** The streams that one list has more often than the other. */
function difference(actual: readonly string[], expected: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const stream of actual) counts.set(stream, (counts.get(stream) ?? 0) + 1)
  for (const stream of expected) counts.set(stream, (counts.get(stream) ?? 0) - 1)
  return [...counts].filter(([, count]) => count !== 0).map(([stream, count]) => `${count} times ${stream}`)
}

/** Servers and captures on the hosts of a deployment: a capture for each address, since a client may use several. */
class Servers {
  readonly #lab: Lab<Name>
  readonly #redis = new Map<string, Redis>()
  readonly #dumps: { readonly host: string; readonly dump: PacketDump }[] = []

  constructor(lab: Lab<Name>) {
    this.#lab = lab
  }

  async start(name: Name): Promise<void> {
    const host = this.#lab.hosts[name]
    const { folder } = this.#lab
    this.#redis.set(name, await startRedis(host, PORT, folder))
    for (const address of host.addresses) {
      const filter = `tcp and dst host ${address} and dst port ${PORT}`
      this.#dumps.push({ host: name, dump: await startPacketDump(host, filter, join(folder, `${address}.pcap`)) })
    }
  }

  async requestCount(host: string): Promise<number> {
    return (await this.#redis.get(host)?.requestCount()) ?? Number.NaN
  }

  async stopDumps(): Promise<void> {
    await Promise.all(this.#dumps.map(({ dump }) => dump.stop()))
  }

  /** A description of what was sent to a host on each connection, in no order. */
  async streams(of: string): Promise<string[]> {
    const dumps = this.#dumps.filter(({ host }) => host === of)
    const all = await Promise.all(dumps.map(({ dump }) => readClientStreams(dump.path, PORT, 0)))
    return all
      .flatMap((streams) => [...streams.byConnection.values()])
      .map((stream) => `${stream.byteCount} bytes, ${stream.digest()}`)
  }
}

async function startCopying(lab: Lab<Name>, { tcpcopy, intercept }: Deployment): Promise<Program[]> {
  for (const args of intercept) await startReady(lab.hosts.assistant, INTERCEPT, ['-i', 'eth0', ...args])
  const programs: Program[] = []
  for (const source of sourcesOf(tcpcopy)) {
    const program = await startReady(lab.hosts[source], TCPCOPY, tcpcopy[source] ?? [])
    const connected = (): number => program.stderr.split('\n').filter((line) => hasMessage(line, CONNECTED)).length
    await until('all intercepts are connected', () => connected() === intercept.length)
    programs.push(program)
  }
  return programs
}

function sourcesOf(record: Deployment['tcpcopy']): SourceName[] {
  return Object.keys(record) as SourceName[] // as: the keys of a record are no others
}

for (const deployment of deployments) {
  test(deployment.name, async () => {
    const sources = sourcesOf(deployment.tcpcopy)
    const copies = Object.entries(deployment.copies) as [TargetName, Record<string, number>][] // as: likewise
    const clients = ['10.77.0.10/32', '10.99.0.0/16']
    const routes = copies.flatMap(([on]) => clients.map((to) => ({ on, to, via: ASSISTANT })))
    await using lab = await openLab<Name>({ hosts, routes })
    const servers = new Servers(lab)
    for (const host of [...sources, ...copies.map(([target]) => target)]) await servers.start(host)
    const programs = await startCopying(lab, deployment)
    await load(lab, sources)
    for (const [target, shares] of copies) {
      let expected = 0
      for (const [source, times] of Object.entries(shares)) expected += (await servers.requestCount(source)) * times
      const hasAll = async (): Promise<boolean> => (await servers.requestCount(target)) >= expected
      await until(`${target} has received ${expected} requests`, hasAll)
    }
    for (const program of programs) await finishCopy(program, { captureDropped: 0, copiesRefused: 0 })
    await servers.stopDumps()
    for (const [target, shares] of copies) {
      const expected: string[] = []
      for (const [source, times] of Object.entries(shares)) {
        const streams = await servers.streams(source)
        for (let time = 0; time < times; time++) expected.push(...streams)
      }
      assert.ok(expected.length > 200)
      assert.deepEqual(difference(await servers.streams(target), expected), [])
    }
  })
}
