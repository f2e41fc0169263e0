/** One run of a load with one pair of programs, and with the bare loop instead of them. */

import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { CLIENT, type CopyLab, openCopyLab, PORT, type Programs, TARGET } from '../../lab/hosts/copy-lab.ts'
import { deviceCounters } from '../../lab/hosts/device-counters.ts'
import { type Program, whileAllRun } from '../../lab/hosts/program.ts'
import { awaitCatchUp } from '../../lab/job/catch-up.ts'
import type { Server } from '../../lab/loads/server.ts'
import { watchDelay } from './copy-delay.ts'
import { type BenchLoad, clientArguments, idleTasks, MORE_CLIENTS, MORE_CLIENTS_NETWORK, probeTask } from './loads.ts'
import { channelBytes, type Pair, startPair } from './pair.ts'
import { spawnWithDescriptors } from './servers.ts'

/** The results of a run; null: not measured. CPU time is user and system time of a process. */
export interface Figures {
  /** Requests per second of the source, and of the target. */
  readonly rate: number
  readonly copyRate: number
  /** CPU time per request. */
  readonly tcpcopyUs: number
  readonly interceptUs: number
  readonly floorUs: number | null
  /** CPU time of both programs per packet of the client. */
  readonly packetUs: number
  readonly lost: number
  readonly delayP50Us: number | null
  readonly delayP99Us: number | null
  readonly tcpcopyMegabytes: number
  readonly interceptMegabytes: number
  /** Bytes that tcpcopy received from intercept per response. */
  readonly channelBytes: number
  /** Memory of tcpcopy per idle session. */
  readonly idleBytes: number | null
}

export interface RunOptions {
  readonly programs: Programs
  readonly hasFloor: boolean
  /** See startPair. The profiler distorts the figures. */
  readonly profileFolder?: string
}

/** The copy counts as finished when the target has received no request for this long. */
const PATIENCE_MS = 5000
const POLL_MS = 10
/** Pause in which another thread compiles the hot code. */
const CALM_MS = 500
const OPEN_LIMIT_MS = 90_000
const MEGABYTE = 1e6
const floorProgram = fileURLToPath(new URL('../floor/floor.js', import.meta.url))

interface Cast extends Pair {
  readonly lab: CopyLab
  readonly load: BenchLoad
  readonly source: Server
  readonly target: Server
}

/**
 * Builds the lab, warms the programs up and measures.
 * @param interrupted rejects when the lab is to be closed at once
 * @throws Error if a program ends before its time
 */
export async function measureRun(load: BenchLoad, options: RunOptions, interrupted: Promise<never>): Promise<Figures> {
  const routed = [`${CLIENT}/32`, MORE_CLIENTS_NETWORK]
  const { offloads, hasNetworkThreads } = load
  await using lab = await openCopyLab({ offloads, hasNetworkThreads, moreClients: MORE_CLIENTS, routed })
  return await Promise.race([measureIn(lab, load, options), interrupted])
}

async function measureIn(lab: CopyLab, load: BenchLoad, options: RunOptions): Promise<Figures> {
  const folder = lab.subfolder('servers')
  const source = await load.server(lab.hosts.source, folder)
  const target = await load.server(lab.hosts.target, folder)
  const pair = await startPair(lab, options.programs, options.profileFolder)
  const cast: Cast = { lab, load, source, target, ...pair }
  const programs = [source.program, target.program, pair.tcpcopy, pair.intercept]
  const figures = await whileAllRun(programs, () => measureCopy(cast))
  // Worker threads write their profile when they end.
  await pair.tcpcopy.stop('SIGTERM', 20_000)
  await pair.intercept.stop()
  const floorUs = options.hasFloor && load.hasFloor ? await measureFloor(cast) : null
  return { ...figures, floorUs }
}

async function measureCopy(cast: Cast): Promise<Omit<Figures, 'floorUs'>> {
  const { lab, load, source, target, tcpcopy, intercept } = cast
  await load.warmUp(lab)
  await catchUp(cast, await source.requestCount())
  const idleBytes = await holdIdle(cast)
  await sleep(CALM_MS)
  const watch = await watchDelay(lab, load.timed)
  const state = async () => ({
    source: await source.requestCount(),
    target: await target.requestCount(),
    packets: (await deviceCounters(lab.hosts.client)).tx.packets,
    channel: await channelBytes(lab.hosts.source),
    tcpcopy: tcpcopy.cpuSeconds(),
    intercept: intercept.cpuSeconds()
  })
  const before = await state()
  const startMs = performance.now()
  const probe = load.timed === 'probe' ? runProbe(cast) : Promise.resolve()
  await Promise.all([load.drive(lab), probe])
  const sourceSeconds = (performance.now() - startMs) / 1000
  const reached = await catchUp(cast, await source.requestCount())
  const targetSeconds = (performance.now() - startMs) / 1000
  const after = await state()
  const delay = await watch.delay()
  const requests = after.source - before.source
  const copied = reached - before.target
  const cpuUs = { tcpcopy: after.tcpcopy - before.tcpcopy, intercept: after.intercept - before.intercept }
  return {
    rate: requests / sourceSeconds,
    copyRate: copied / targetSeconds,
    tcpcopyUs: (cpuUs.tcpcopy * 1e6) / requests,
    interceptUs: (cpuUs.intercept * 1e6) / requests,
    packetUs: ((cpuUs.tcpcopy + cpuUs.intercept) * 1e6) / (after.packets - before.packets),
    lost: after.source - reached,
    delayP50Us: delay.p50Us,
    delayP99Us: delay.p99Us,
    tcpcopyMegabytes: tcpcopy.peakMemoryBytes() / MEGABYTE,
    interceptMegabytes: intercept.peakMemoryBytes() / MEGABYTE,
    channelBytes: (after.channel - before.channel) / requests,
    idleBytes
  }
}

/** Waits until the target has received this many requests in total. @returns how many it has */
async function catchUp({ target }: Cast, expected: number): Promise<number> {
  return await awaitCatchUp(() => target.requestCount(), expected, PATIENCE_MS, undefined, POLL_MS)
}

async function runProbe({ lab, load }: Cast): Promise<void> {
  await lab.hosts.client.mustRun(process.execPath, clientArguments(probeTask(load)))
}

/** Opens the idle connections. @returns the memory of tcpcopy for each; null if there are none */
async function holdIdle(cast: Cast): Promise<number | null> {
  const { lab, load, source, tcpcopy } = cast
  const { idleConnections } = load
  if (idleConnections === undefined) return null
  const before = tcpcopy.memoryBytes()
  for (const task of idleTasks(load)) {
    const holder = spawnWithDescriptors(lab.hosts.client, process.execPath, clientArguments(task))
    await holder.waitForLine('stdout', (line) => line === 'open', OPEN_LIMIT_MS)
  }
  await catchUp(cast, await source.requestCount())
  return (tcpcopy.memoryBytes() - before) / idleConnections
}

/**
 * Runs the bare loop instead of tcpcopy under the same load.
 * @returns µs of CPU per request; null if it lost packets for lack of CPU time, since those cost nothing
 */
async function measureFloor({ lab, load, source }: Cast): Promise<number | null> {
  const floor: Program = lab.hosts.source.spawn(process.execPath, [floorProgram, `${PORT}`, TARGET])
  await floor.waitForLine('stdout', (line) => line === 'ready')
  return await whileAllRun([source.program, floor], async () => {
    await load.warmUp(lab)
    await sleep(CALM_MS)
    const before = { requests: await source.requestCount(), cpu: floor.cpuSeconds() }
    await load.drive(lab)
    const requests = (await source.requestCount()) - before.requests
    const cpuUs = (floor.cpuSeconds() - before.cpu) * 1e6
    await floor.stop()
    const { captured, dropped } = lastCounts(floor)
    return dropped * 1000 > captured ? null : cpuUs / requests
  })
}

function lastCounts(floor: Program): { readonly captured: number; readonly dropped: number } {
  // as: floor.ts wrote it.
  return JSON.parse(floor.stdout.trim().split('\n').at(-1) ?? '{}') as { captured: number; dropped: number }
}
