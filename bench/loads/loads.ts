/** What the benchmark measures, as data. */
import { fileURLToPath } from 'node:url'
import { CLIENT, type CopyLab, PORT, SOURCE } from '../../lab/hosts/copy-lab.ts'
import { type StartServer, startRedisServer } from '../../lab/loads/server.ts'
import type { ClientTask, Protocol } from './client-task.ts'
import { countingNginx, startMemcached } from './servers.ts'

type Drive = (lab: CopyLab) => Promise<void>

export interface BenchLoad {
  /** Chooses it on a command line. */
  readonly name: string
  readonly title: string
  readonly server: StartServer
  readonly offloads?: boolean
  /** As in `LabPlan`: what remains is the cost of a program on a separate host. */
  readonly hasNetworkThreads?: boolean
  /** Before the measurement, until the hot code is compiled. */
  readonly warmUp: Drive
  /** Runs the load against the source, to its end. */
  readonly drive: Drive
  /** Which copies are timed: those of an extra connection with a request each millisecond, or of all packets. */
  readonly timed: 'probe' | 'every packet'
  readonly protocol: Protocol
  /** Connections that are opened after the warm-up, send one request, and stay open. */
  readonly idleConnections?: number
  /** Whether the bare loop is measured too; it has no sessions that could be idle. */
  readonly hasFloor: boolean
}

/** Additional addresses of the client, which the target also routes to the assistant. */
export const MORE_CLIENTS: readonly string[] = Array.from({ length: 16 }, (_, index) => `10.77.0.${112 + index}`)
export const MORE_CLIENTS_NETWORK = '10.77.0.112/28'
/** The probe's port, outside the ephemeral range. */
export const PROBE_PORT = 20_000

const DRIVE_LIMIT_MS = 120_000
const IDLE_PROGRAMS = 8
const WARM_UP_SECONDS = 1.5
/** The code that opens and closes connections gets hot slowly: after 1.5 s, a fifteenth of the time went into compiling. */
const SHORT_WARM_UP_SECONDS = 4
const SECONDS = 3
const clientProgram = fileURLToPath(new URL('./client.js', import.meta.url))

export function clientArguments(task: Omit<ClientTask, 'host' | 'port'>): readonly string[] {
  return [clientProgram, JSON.stringify({ ...task, host: SOURCE, port: PORT })]
}

async function onClient(lab: CopyLab, command: string, args: readonly string[]): Promise<void> {
  await lab.hosts.client.mustRun(command, args, { timeoutMs: DRIVE_LIMIT_MS })
}

/** redis-benchmark: SETs of 64 bytes. */
function sets(connections: number, requests: number, pipeline = 1): Drive {
  const shape = ['-c', `${connections}`, '-n', `${requests}`, '-P', `${pipeline}`]
  const args = ['-h', SOURCE, '-p', `${PORT}`, '-t', 'set', '-q', '-d', '64', '-r', '100000', ...shape]
  return (lab) => onClient(lab, 'redis-benchmark', args)
}

function clients(task: Omit<ClientTask, 'host' | 'port'>): Drive {
  return (lab) => onClient(lab, process.execPath, clientArguments(task))
}

/** wrk: kept connections. */
function keepAlive(connections: number, path: string, seconds: number): Drive {
  const args = ['-t', '1', '-c', `${connections}`, '-d', `${Math.round(seconds)}s`, `http://${SOURCE}:${PORT}${path}`]
  return (lab) => onClient(lab, 'wrk', args)
}

const http = { server: countingNginx(1), protocol: 'http', timed: 'probe', hasFloor: true } as const
const redis = { server: startRedisServer, protocol: 'redis', timed: 'probe', hasFloor: true } as const
const short = { protocol: 'http', connections: 16, isShort: true, addresses: MORE_CLIENTS } as const
const paced = { protocol: 'redis', connections: 1, intervalMs: 1 } as const
const memcached = { protocol: 'memcached', connections: 32 } as const

const loads: readonly BenchLoad[] = [
  {
    ...redis,
    name: 'redis',
    title: 'redis SET, 50 connections',
    warmUp: sets(50, 40_000),
    drive: sets(50, 120_000)
  },
  {
    ...redis,
    name: 'redis-p16',
    title: 'redis SET, 50 connections, pipeline 16',
    warmUp: sets(50, 300_000, 16),
    drive: sets(50, 1_000_000, 16)
  },
  {
    ...redis,
    name: 'one-paced',
    title: 'one connection, a request each ms',
    timed: 'every packet',
    // At its own pace it would take long until the code is compiled.
    warmUp: sets(50, 40_000),
    drive: clients({ ...paced, seconds: SECONDS })
  },
  {
    ...redis,
    name: 'one-flat-out',
    title: 'one connection, flat out',
    timed: 'every packet',
    warmUp: sets(50, 40_000),
    drive: sets(1, 50_000)
  },
  {
    ...http,
    name: 'http-512',
    title: 'HTTP keep-alive, 512 B, 64 connections',
    warmUp: keepAlive(64, '/', WARM_UP_SECONDS),
    drive: keepAlive(64, '/', SECONDS)
  },
  {
    ...http,
    name: 'http-20k',
    title: 'HTTP keep-alive, 20 KB, 64 connections',
    warmUp: keepAlive(64, '/20k', WARM_UP_SECONDS),
    drive: keepAlive(64, '/20k', SECONDS)
  },
  {
    ...http,
    name: 'http-20k-offloads',
    title: 'the same, packets of up to 64 KB',
    offloads: true,
    warmUp: keepAlive(64, '/20k', WARM_UP_SECONDS),
    drive: keepAlive(64, '/20k', SECONDS)
  },
  {
    ...http,
    name: 'http-short',
    title: 'short HTTP connections, 16 client addresses',
    warmUp: clients({ ...short, seconds: SHORT_WARM_UP_SECONDS }),
    drive: clients({ ...short, seconds: SECONDS })
  },
  {
    ...redis,
    name: 'memcached',
    title: 'memcached SET, 32 connections',
    protocol: 'memcached',
    server: startMemcached,
    warmUp: clients({ ...memcached, seconds: WARM_UP_SECONDS }),
    drive: clients({ ...memcached, seconds: SECONDS })
  },
  {
    ...http,
    server: countingNginx(6),
    name: 'idle',
    title: '100,000 idle sessions, 1,000 active',
    idleConnections: 100_000,
    hasFloor: false,
    warmUp: keepAlive(64, '/', WARM_UP_SECONDS),
    drive: keepAlive(1000, '/', SECONDS)
  }
]

/** Loads that are measured again with `hasNetworkThreads`. */
const loadsApart: readonly string[] = ['redis', 'http-512', 'http-short']

export const benchLoads: readonly BenchLoad[] = loads.flatMap((load) => {
  if (!loadsApart.includes(load.name)) return [load]
  const title = 'the same, network in separate threads'
  return [load, { ...load, name: `${load.name}-apart`, title, hasNetworkThreads: true }]
})

/** Divides the idle connections between programs, since each has its own limit of descriptors. */
export function idleTasks(load: BenchLoad): readonly Omit<ClientTask, 'host' | 'port'>[] {
  const task = { protocol: load.protocol, addresses: MORE_CLIENTS, seconds: 0 }
  const connections = (load.idleConnections ?? 0) / IDLE_PROGRAMS
  return Array.from({ length: IDLE_PROGRAMS }, () => ({ ...task, connections }))
}

export function probeTask(load: BenchLoad): Omit<ClientTask, 'host' | 'port'> {
  const probe = { connections: 1, addresses: [CLIENT], localPort: PROBE_PORT, intervalMs: 1 }
  return { ...probe, protocol: load.protocol, seconds: SECONDS }
}
