/** Several sources, targets and intercepts. A deployment is data; what the targets got is compared octet by octet. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import { type Lab, openLab } from '../../lab/hosts/lab.ts'
import { type PacketDump, startPacketDump } from '../../lab/hosts/packet-dump.ts'
import type { Program } from '../../lab/hosts/program.ts'
import { readClientStreams } from '../../lab/job/pcap-streams.ts'
import { type Redis, startRedis } from '../../lab/job/redis.ts'
import { finishAndReadBooks, INTERCEPT, PORT, startReady, TCPCOPY, until } from './support/copy-lab.ts'

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
  /** Whose copies each target is to have, and how often. */
  readonly copies: Partial<Record<TargetName, Partial<Record<SourceName, number>>>>
}

const deployments: readonly Deployment[] = [
  {
    name: 'two sources, one target, one intercept',
    // A client uses one port for both sources at a time; addresses of their own keep the copies apart.
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

/** From one port of the client to both addresses of source A at the same time, three times over. */
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

async function load(lab: Lab<Name>, sources: readonly SourceName[]): Promise<void> {
  const { client } = lab.hosts
  const set = ['-r', '2000000000', '-t', 'set', '-q', '-p', `${PORT}`]
  const loads = sources.flatMap((source) => [
    ['-h', lab.hosts[source].address, ...set, '-d', '3000', '-c', '20', '-n', '2000'],
    ['-h', lab.hosts[source].address, ...set, '-c', '5', '-n', '200', '-k', '0']
  ])
  await Promise.all(loads.map((args) => client.mustRun('redis-benchmark', args)))
  if (sources.includes('sourceA')) await client.mustRun(process.execPath, ['-e', TWINS])
}

/** What is in one list and not in the other, as often as that is so. */
function difference(actual: readonly string[], expected: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const octets of actual) counts.set(octets, (counts.get(octets) ?? 0) + 1)
  for (const octets of expected) counts.set(octets, (counts.get(octets) ?? 0) - 1)
  return [...counts].filter(([, count]) => count !== 0).map(([octets, count]) => `${count} times ${octets}`)
}

/** Servers and captures on the hosts of a deployment; a capture for each address, since a client may reach several. */
class Servers {
  readonly #lab: Lab<Name>
  readonly #folder: string
  readonly #redis = new Map<string, Redis>()
  readonly #dumps: { readonly host: string; readonly dump: PacketDump }[] = []

  constructor(lab: Lab<Name>, folder: string) {
    this.#lab = lab
    this.#folder = folder
  }

  async start(name: Name): Promise<void> {
    const host = this.#lab.hosts[name]
    const folder = join(this.#folder, name)
    mkdirSync(folder)
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

  /** What was sent to a host on each connection, in no order. */
  async octets(of: string): Promise<string[]> {
    const base = Math.floor(Date.now() / 1000) - 600
    const dumps = this.#dumps.filter(({ host }) => host === of)
    const all = await Promise.all(dumps.map(({ dump }) => readClientStreams(dump.path, PORT, base)))
    return all
      .flatMap((streams) => [...streams.byConnection.values()])
      .map((stream) => `${stream.byteCount} octets, ${stream.digest()}`)
  }
}

async function startCopying(lab: Lab<Name>, { tcpcopy, intercept }: Deployment): Promise<Program[]> {
  for (const args of intercept) await startReady(lab.hosts.assistant, INTERCEPT, ['-i', 'eth0', ...args])
  const programs: Program[] = []
  for (const source of sourcesOf(tcpcopy)) {
    const program = await startReady(lab.hosts[source], TCPCOPY, tcpcopy[source] ?? [])
    const connected = (): number =>
      program.stderr.split('\n').filter((line) => hasMessage(line, 'connected to intercept')).length
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
    const folder = mkdtempSync(join(tmpdir(), 'distributed-'))
    const sources = sourcesOf(deployment.tcpcopy)
    const copies = Object.entries(deployment.copies) as [TargetName, Record<string, number>][] // as: likewise
    const clients = ['10.77.0.10/32', '10.99.0.0/16']
    const routes = copies.flatMap(([on]) => clients.map((to) => ({ on, to, via: ASSISTANT })))
    await using lab = await openLab<Name>({ hosts, routes })
    try {
      const servers = new Servers(lab, folder)
      for (const host of [...sources, ...copies.map(([target]) => target)]) await servers.start(host)
      const programs = await startCopying(lab, deployment)
      await load(lab, sources)
      for (const [target, shares] of copies) {
        let expected = 0
        for (const [source, times] of Object.entries(shares)) expected += (await servers.requestCount(source)) * times
        await until(
          `${target} has had ${expected} commands`,
          async () => (await servers.requestCount(target)) >= expected
        )
      }
      for (const program of programs) {
        const books = await finishAndReadBooks(program)
        assert.deepEqual([books.droppedBytes, books.captureDropped, books.copiesRefused], [0, 0, 0])
      }
      await servers.stopDumps()
      for (const [target, shares] of copies) {
        const expected: string[] = []
        for (const [source, times] of Object.entries(shares)) {
          const octets = await servers.octets(source)
          for (let time = 0; time < times; time++) expected.push(...octets)
        }
        assert.ok(expected.length > 200)
        assert.deepEqual(difference(await servers.octets(target), expected), [])
      }
    } finally {
      await lab.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })
}
