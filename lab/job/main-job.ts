/** The main job of `npm start`: redis traffic, copied and checked. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ASSISTANT, type CopyLab, MAP, PORT, SOURCE } from '../hosts/copy-lab.ts'
import { counter, lastStatistics } from '../hosts/json-log.ts'
import { type PacketDump, startPacketDump } from '../hosts/packet-dump.ts'
import { type Program, whileAllRun } from '../hosts/program.ts'
import { awaitCatchUp } from './catch-up.ts'
import { compareStreams } from './comparison.ts'
import { readClientStreams } from './pcap-streams.ts'
import type { Progress } from './progress.ts'
import type { Redis } from './redis.ts'
import type { Report } from './report.ts'
import { findProblems } from './verdict.ts'

const catchUpPatienceMs = 10_000
const pollMs = 200
const pacedRequests = 1000
/** Seven busy programs share the machine: the ring holds what arrives while tcpcopy gets no CPU time. */
const ringMegabytes = '64'

export interface JobOptions {
  /** On all long-lived connections together. */
  readonly requests: number
  readonly connections: number
  /** Requests with a connection each. */
  readonly shortRequests: number
  /** Folder for the captures. */
  readonly folder: string
}

interface Cast {
  readonly source: Redis
  readonly target: Redis
  readonly sourceDump: PacketDump
  readonly targetDump: PacketDump
  readonly intercept: Program
  readonly tcpcopy: Program
  /** From the start of tcpcopy until it is ready. */
  readonly startupMs: number
}

/**
 * Copies real redis traffic in the lab and checks the copy.
 * @throws Error if the set-up fails or a program ends too early
 */
export async function runMainJob(lab: CopyLab, options: JobOptions, progress: Progress): Promise<Report> {
  const baseSeconds = Math.floor(Date.now() / 1000)
  const cast = await startCast(lab, options, progress)
  const cpuBefore = cpuOf(cast)
  let loadStartUs = 0
  const load = await whileAllRun(programsOf(cast), async () => {
    await runPaced(lab, progress)
    loadStartUs = Date.now() * 1000 - baseSeconds * 1e6
    const result = await runLoad(lab, cast, options, progress)
    await waitForCopy(cast, progress)
    return result
  })
  const cpuAfter = cpuOf(cast)
  const commands = { source: await cast.source.requestCount(), target: await cast.target.requestCount() }
  const digests = { source: await cast.source.digest(), target: await cast.target.digest() }

  progress.step('stopping the programs and the captures')
  const [sourceDropped, targetDropped] = await whileAllRun(programsOf(cast), () =>
    Promise.all([cast.sourceDump.stop(), cast.targetDump.stop()])
  )
  await cast.tcpcopy.stop()
  await cast.intercept.stop()

  progress.step('comparing the captures of source and target')
  const sourceStreams = await readClientStreams(cast.sourceDump.path, PORT, baseSeconds)
  const targetStreams = await readClientStreams(cast.targetDump.path, PORT, baseSeconds)
  const comparison = compareStreams(sourceStreams, targetStreams, loadStartUs)
  const perRequestUs = (seconds: number) => (seconds * 1e6) / Math.max(1, comparison.requests.source)
  const measured = {
    ...comparison,
    redisCommands: commands,
    dataDigestsEqual: digests.source === digests.target,
    cpuUsPerRequest: {
      tcpcopy: perRequestUs(cpuAfter.tcpcopy - cpuBefore.tcpcopy),
      intercept: perRequestUs(cpuAfter.intercept - cpuBefore.intercept)
    },
    requestsPerSecond: load,
    captureDropped: {
      tcpcopy: counter(lastStatistics(cast.tcpcopy.stderr), 'captureDropped'),
      intercept: counter(lastStatistics(cast.intercept.stderr), 'captureDropped'),
      sourceTcpdump: sourceDropped,
      targetTcpdump: targetDropped
    },
    captureHoles: sourceStreams.holeCount + targetStreams.holeCount,
    captureStrays: sourceStreams.strayCount + targetStreams.strayCount,
    startupMs: cast.startupMs,
    exitStatus: { tcpcopy: cast.tcpcopy.exit?.status ?? null, intercept: cast.intercept.exit?.status ?? null },
    statistics: {
      tcpcopy: lastStatistics(cast.tcpcopy.stderr) ?? null,
      intercept: lastStatistics(cast.intercept.stderr) ?? null
    }
  }
  const problems = findProblems(measured)
  return { ok: problems.length === 0, problems, ...measured }
}

async function startCast(lab: CopyLab, options: JobOptions, progress: Progress): Promise<Cast> {
  const { source, target } = lab.hosts
  progress.step('starting redis-server and tcpdump on source and target')
  const redis = await lab.startRedisPair()
  const filter = (address: string) => `tcp and dst host ${address} and dst port ${PORT}`
  const sourceDump = await startPacketDump(source, filter(source.address), `${options.folder}/source.pcap`)
  const targetDump = await startPacketDump(target, filter(target.address), `${options.folder}/target.pcap`)

  progress.step('starting intercept on the assistant and tcpcopy on the source')
  const intercept = await lab.startIntercept()
  const startMs = performance.now()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '-B', ringMegabytes], false)
  const startupMs = performance.now() - startMs
  return { source: redis.source, target: redis.target, sourceDump, targetDump, intercept, tcpcopy, startupMs }
}

function programsOf(cast: Cast): Program[] {
  const { source, target, sourceDump, targetDump, intercept, tcpcopy } = cast
  return [source.program, target.program, sourceDump.program, targetDump.program, intercept, tcpcopy]
}

function cpuOf({ tcpcopy, intercept }: Cast): { readonly tcpcopy: number; readonly intercept: number } {
  return { tcpcopy: tcpcopy.cpuSeconds(), intercept: intercept.cpuSeconds() }
}

const server = ['-h', SOURCE, '-p', `${PORT}`]

/** A few commands, then one connection with a request every millisecond: the delay of a copy without load. */
async function runPaced(lab: CopyLab, progress: Progress): Promise<void> {
  const { client } = lab.hosts
  progress.step('redis-cli: a few commands, then one every millisecond')
  await client.mustRun('redis-cli', [...server, 'SET', 'date', 'today'])
  await client.mustRun('redis-cli', [...server, 'GET', 'date'])
  await client.mustRun('redis-cli', [
    ...server,
    '-r',
    `${pacedRequests}`,
    '-i',
    '0.001',
    'APPEND',
    'date',
    ' and tomorrow'
  ])
}

async function runLoad(
  lab: CopyLab,
  cast: Cast,
  options: JobOptions,
  progress: Progress
): Promise<Report['requestsPerSecond']> {
  const { client } = lab.hosts
  const benchmark = async (text: string, args: readonly string[]) => {
    progress.step(text)
    // All values are the same: if a random key repeats, the order of its SETs does not change the data.
    const keys = ['-r', '2000000000', '-t', 'set', '-d', '64', '--csv']
    const running = client.mustRun('redis-benchmark', [...server, ...keys, ...args], { timeoutMs: 600_000 })
    return rateOf(await withPolling(running, cast, text, progress))
  }
  const { requests, connections, shortRequests } = options
  const kept = await benchmark(`redis-benchmark: ${requests} requests on ${connections} connections`, [
    ...['-c', `${connections}`, '-n', `${requests}`]
  ])
  const short = await benchmark(`redis-benchmark: ${shortRequests} requests on a connection each`, [
    ...['-k', '0', '-c', '20', '-n', `${shortRequests}`]
  ])
  return { kept, short }
}

/** Requests per second of redis-benchmark's only CSV record, `"SET","43478.26",…`. */
function rateOf(csv: string): number {
  return Number(/^"SET","([\d.]+)"/m.exec(csv)?.[1] ?? Number.NaN)
}

async function withPolling<T>(running: Promise<T>, cast: Cast, text: string, progress: Progress): Promise<T> {
  let isDone = false
  const done = running.finally(() => {
    isDone = true
  })
  const poll = async () => {
    while (!isDone) {
      await Promise.race([done, sleep(pollMs)])
      progress.update(`${text}; ${await countsOf(cast)}`)
    }
  }
  const [result] = await Promise.all([done, poll()])
  return result
}

async function countsOf({ source, target }: Cast): Promise<string> {
  return `source ${await source.requestCount()}, target ${await target.requestCount()}`
}

/** Waits until the target has served as many commands as the source, or makes no progress. */
async function waitForCopy({ source, target }: Cast, progress: Progress): Promise<void> {
  progress.step('waiting until the copy has caught up')
  const expected = await source.requestCount()
  await awaitCatchUp(
    () => target.requestCount(),
    expected,
    catchUpPatienceMs,
    (served) => progress.update(`waiting until the copy has caught up: ${served} of ${expected}`)
  )
}
