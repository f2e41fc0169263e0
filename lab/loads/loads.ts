/** The loads that must be copied without loss. */
import { fileURLToPath } from 'node:url'
import { type CopyLab, PORT, SOURCE } from '../hosts/copy-lab.ts'
import { awaitCatchUp } from '../job/catch-up.ts'
import { loseAround, pause } from './faults.ts'
import type { Load, Measured } from './load.ts'
import { findMissingEnds, startNginx, startRedisServer, startUploadServer } from './server.ts'

const DRIVE_LIMIT_MS = 180_000
const START_PATIENCE_MS = 5000
const MEGABYTE = 1e6
const uploadClient = fileURLToPath(new URL('./upload-client.js', import.meta.url))
const busyClient = fileURLToPath(new URL('./busy-client.js', import.meta.url))
const BUSY_CONNECTIONS = 50

type Judge = (measured: Measured) => readonly string[]

/** redis-benchmark on the client: SETs of `-d` bytes each. */
function sets(...args: readonly string[]): Load['drive'] {
  return ({ hosts }) => onClient(hosts.client, 'redis-benchmark', ['-h', SOURCE, '-t', 'set', '-q', ...args])
}

/** Number of keys: so many that they hardly repeat, or so few that two servers can hold their values in memory. */
const MANY_KEYS = ['-r', '2000000000']
const FEW_KEYS = ['-r', '1000']
/** A connection for each request. */
const EACH_ITS_CONNECTION = ['-k', '0']

/** ab on the client: a connection for each request. The server closes first, so TIME-WAIT blocks no port of the client. */
function shortConnections(count: number): Load['drive'] {
  const args = ['-q', '-c', '50', '-n', `${count}`, `http://${SOURCE}:${PORT}/`]
  return ({ hosts }) => onClient(hosts.client, 'ab', args)
}

function script(path: string, ...args: readonly number[]): Load['drive'] {
  return ({ hosts }) => onClient(hosts.client, process.execPath, [path, SOURCE, `${PORT}`, ...args.map(String)])
}

async function onClient(client: CopyLab['hosts']['client'], command: string, args: readonly string[]): Promise<void> {
  await client.mustRun(command, args, { timeoutMs: DRIVE_LIMIT_MS })
}

function memoryAtMost(megabytes: number): Judge {
  return ({ peakMegabytes }) =>
    peakMegabytes.tcpcopy <= megabytes
      ? []
      : [`tcpcopy took ${peakMegabytes.tcpcopy.toFixed(0)} MB of memory; ${megabytes} MB were allowed.`]
}

/** From the first request to the last one at the target. */
function deliveredWithin(seconds: number): Judge {
  return ({ rounds }) =>
    rounds.every(({ copySeconds }) => copySeconds <= seconds) ? [] : [`The copy took longer than ${seconds} s.`]
}

const hundredKilobytes = (offloads: boolean): Load => ({
  name: offloads ? '100k-offloads' : '100k',
  title: `SET 100 KB, 20 connections, 4,000 requests, -m 512, offloads ${offloads ? 'on' : 'off'}`,
  inC: '49–98 % lost',
  server: startRedisServer,
  offloads,
  tcpcopy: ['-m', '512'],
  drive: sets('-c', '20', '-n', '4000', '-d', '100000', ...FEW_KEYS),
  judge: memoryAtMost(512 + 150)
})

export const loads: readonly Load[] = [
  {
    name: 'one-connection',
    title: 'SET, one connection, 150k requests flat out',
    inC: '80 % lost',
    server: startRedisServer,
    drive: sets('-c', '1', '-n', '150000', ...MANY_KEYS),
    judge: deliveredWithin(60)
  },
  hundredKilobytes(true),
  hundredKilobytes(false),
  {
    name: '20k',
    title: 'SET 20 KB, 20 connections, 50k requests',
    inC: '99 % lost',
    server: startRedisServer,
    drive: sets('-c', '20', '-n', '50000', '-d', '20000', ...FEW_KEYS)
  },
  {
    name: 'ab',
    title: 'ab -c 50 -n 20000 without keep-alive, one client address',
    inC: '0–68 % lost',
    server: startNginx,
    rounds: 5,
    drive: shortConnections(20_000)
  },
  {
    name: 'upload',
    title: 'HTTP upload, 10 MB bodies, 8 connections',
    inC: 'truncated',
    server: startUploadServer,
    drive: script(uploadClient, 8, 2, 10 * MEGABYTE)
  },
  {
    name: 'three-copies',
    title: '-n 3, one client address, 50 connections, 100k requests',
    inC: '10–25 % lost',
    server: startRedisServer,
    tcpcopy: ['-n', '3'],
    expects: ({ requests }) => ({ least: 3 * requests, most: 3 * requests }),
    drive: sets('-c', '50', '-n', '100000', ...MANY_KEYS)
  },
  {
    name: 'thirty-percent',
    title: '-r 30, 4,000 short connections',
    inC: '48 % copied',
    server: startRedisServer,
    tcpcopy: ['-r', '30'],
    expects: ({ requests }) => ({ least: Math.ceil(0.29 * requests), most: Math.floor(0.31 * requests) }),
    drive: sets(...EACH_ITS_CONNECTION, '-c', '20', '-n', '4000', ...MANY_KEYS),
    compare: async () => []
  },
  {
    name: 'intercept-stopped',
    title: 'intercept stopped for 1 s, 40,000 short connections flat out',
    inC: '65 % lost',
    server: startNginx,
    drive: shortConnections(40_000),
    meanwhile: async ({ source, intercept }) => {
      await awaitCatchUp(() => source.requestCount(), 4000, START_PATIENCE_MS)
      await pause(intercept, 1000)
    }
  },
  {
    name: 'loss',
    title: '1 % of packets lost towards the target, 1 % from it',
    inC: 'sessions stall',
    server: startRedisServer,
    prepare: ({ hosts }) => loseAround(hosts.target, PORT, 10),
    drive: sets('-c', '50', '-n', '50000', '-d', '600', ...MANY_KEYS)
  },
  {
    name: 'mid-stream',
    title: 'tcpcopy started in mid-stream on 50 busy connections',
    inC: 'joins',
    server: startRedisServer,
    joinsAfter: 20_000,
    // A connection is joined after three requests. One more, whose answer was in flight when tcpcopy became ready, may be
    // captured or not.
    expects: ({ requests, unseen }) => ({ least: requests - unseen - 4 * BUSY_CONNECTIONS, most: requests }),
    drive: script(busyClient, BUSY_CONNECTIONS, 2000),
    compare: (source, target) => findMissingEnds(source, target, BUSY_CONNECTIONS)
  }
]
