/** A load on a copy, and its result. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ASSISTANT, type CopyLab, MAP, openCopyLab, type Programs } from '../hosts/copy-lab.ts'
import { counter, dropsOf, hasMessage, type LogEntry, lastStatistics, requestProblems } from '../hosts/json-log.ts'
import { type Program, whileAllRun } from '../hosts/program.ts'
import { awaitCatchUp } from '../job/catch-up.ts'
import type { Progress } from '../job/progress.ts'
import type { Server, StartServer } from './server.ts'

export interface Load {
  /** Chooses it on a command line. */
  readonly name: string
  readonly title: string
  /** The result of the C program, version 1.3.0, in the same lab. */
  readonly inC: string
  readonly server: StartServer
  readonly offloads?: boolean
  /** Options of tcpcopy other than `-x` and `-s`. */
  readonly tcpcopy?: readonly string[]
  /** How many times it runs, with a check of the copy after each; default: once. */
  readonly rounds?: number
  /** tcpcopy starts when the source has received this many requests; default: before the load. */
  readonly joinsAfter?: number
  /** How many requests the target must receive; default: as many as the source. */
  readonly expects?: (counts: SourceCounts) => Range
  /** Lasting conditions, such as faults of the network. */
  readonly prepare?: (lab: CopyLab) => Promise<void>
  /** What happens during the load. */
  readonly meanwhile?: (cast: Cast) => Promise<void>
  /** Runs the load against the source, to its end. */
  readonly drive: (lab: CopyLab) => Promise<void>
  /** Describes differences between source and target, in sentences; default: compares their data. */
  readonly compare?: (source: Server, target: Server) => Promise<readonly string[]>
  /** Describes other goals that were missed, in sentences. */
  readonly judge?: (measured: Measured) => readonly string[]
}

interface SourceCounts {
  /** All requests of the load. */
  readonly requests: number
  /** Those that the source received before tcpcopy was ready. */
  readonly unseen: number
}

interface Range {
  readonly least: number
  readonly most: number
}

interface Cast {
  readonly lab: CopyLab
  readonly source: Server
  readonly target: Server
  readonly intercept: Program
}

interface Round {
  readonly source: number
  readonly target: number
  /** Requests that the target lacks, and those that it must not have. */
  readonly lost: number
  readonly surplus: number
  /** From the first request to the end of the load, and to the last request at the target. */
  readonly loadSeconds: number
  readonly copySeconds: number
}

export interface Measured {
  readonly rounds: readonly Round[]
  readonly peakMegabytes: { readonly tcpcopy: number; readonly intercept: number }
  /** User and system time, divided by the requests of the source. */
  readonly cpuUsPerRequest: { readonly tcpcopy: number; readonly intercept: number }
  readonly exitStatus: { readonly tcpcopy: number | null; readonly intercept: number | null }
  /** The programs' own last statistics. */
  readonly statistics: { readonly tcpcopy: LogEntry; readonly intercept: LogEntry }
  /** What `compare` found. */
  readonly differences: readonly string[]
}

/** The copy counts as finished when the target has received no request for this long. */
const PATIENCE_MS = 10_000
const POLL_MS = 20
/** For the acknowledgment of the last request, after the target has received it. */
const SETTLE_MS = 5000

/**
 * Builds the lab, copies the load and measures the copy.
 * @param interrupted rejects when the lab is to be closed at once
 * @throws Error if the set-up fails or a program ends too early
 */
export async function runLoad(
  load: Load,
  programs: Programs,
  progress: Progress,
  interrupted: Promise<never>
): Promise<Measured> {
  await using lab = await openCopyLab({ offloads: load.offloads, programs })
  const folder = lab.subfolder('servers')
  const source = await load.server(lab.hosts.source, folder)
  const target = await load.server(lab.hosts.target, folder)
  const intercept = await lab.startIntercept()
  const cast: Cast = { lab, source, target, intercept }
  await load.prepare?.(lab)
  const run = new Run(load, cast, progress)
  const isMeasured = whileAllRun([source.program, target.program, intercept], () => run.measure())
  return await Promise.race([isMeasured, interrupted])
}

/** The state of a load that runs. */
class Run {
  readonly #load: Load
  readonly #cast: Cast
  readonly #progress: Progress
  #tcpcopy: Program | undefined
  #unseen = 0

  constructor(load: Load, cast: Cast, progress: Progress) {
    this.#load = load
    this.#cast = cast
    this.#progress = progress
  }

  async measure(): Promise<Measured> {
    const { source, target, intercept } = this.#cast
    if (this.#load.joinsAfter === undefined) await this.#startTcpcopy()
    const rounds: Round[] = []
    for (let count = 0; count < (this.#load.rounds ?? 1); count++) rounds.push(await this.#round(count))
    const differences = await (this.#load.compare ?? haveSame)(source, target)
    const tcpcopy = this.#tcpcopy
    if (tcpcopy === undefined) throw new Error('The load ended before tcpcopy started.')
    const requests = rounds.reduce((sum, round) => sum + round.source, 0)
    const perRequestUs = (seconds: number) => (seconds * 1e6) / Math.max(1, requests)
    const both = <T>(value: (program: Program) => T) => ({ tcpcopy: value(tcpcopy), intercept: value(intercept) })
    const peakMegabytes = both((program) => program.peakMemoryBytes() / 1e6)
    const cpuUsPerRequest = both((program) => perRequestUs(program.cpuSeconds()))
    await settle(tcpcopy)
    await tcpcopy.stop()
    await intercept.stop()
    return {
      rounds,
      peakMegabytes,
      cpuUsPerRequest,
      exitStatus: both((program) => program.exit?.status ?? null),
      statistics: both((program) => lastStatistics(program.stderr) ?? {}),
      differences
    }
  }

  async #round(count: number): Promise<Round> {
    const { lab, source, target } = this.#cast
    const title = `${this.#load.title}${count === 0 ? '' : `, run ${count + 1}`}`
    this.#progress.step(title)
    const before = { source: await source.requestCount(), target: await target.requestCount() }
    const startMs = performance.now()
    const joining = this.#tcpcopy === undefined ? this.#join() : Promise.resolve()
    await Promise.all([this.#load.drive(lab), this.#load.meanwhile?.(this.#cast), joining])
    const loadSeconds = (performance.now() - startMs) / 1000
    const requests = (await source.requestCount()) - before.source
    const { least, most } = this.#load.expects?.({ requests, unseen: this.#unseen }) ?? {
      least: requests,
      most: requests
    }
    let movedMs = performance.now()
    const reached = await awaitCatchUp(
      () => target.requestCount(),
      before.target + least,
      PATIENCE_MS,
      (now) => {
        movedMs = performance.now()
        this.#progress.update(`${title}: ${now - before.target} of ${least}`)
      }
    )
    const had = reached - before.target
    return {
      source: requests,
      target: had,
      lost: Math.max(0, least - had),
      surplus: Math.max(0, had - most),
      loadSeconds,
      copySeconds: (movedMs - startMs) / 1000
    }
  }

  async #startTcpcopy(): Promise<void> {
    const { lab } = this.#cast
    this.#tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, ...(this.#load.tcpcopy ?? [])])
  }

  async #join(): Promise<void> {
    const { source } = this.#cast
    while ((await source.requestCount()) < (this.#load.joinsAfter ?? 0)) await sleep(POLL_MS)
    await this.#startTcpcopy()
    this.#unseen = await source.requestCount()
  }
}

/** Waits until tcpcopy's books show nothing pending, for SETTLE_MS at most. */
async function settle(tcpcopy: Program): Promise<void> {
  for (const endMs = performance.now() + SETTLE_MS; performance.now() < endMs; await sleep(POLL_MS)) {
    const lines = () => tcpcopy.stderr.split('\n').filter((line) => hasMessage(line, 'statistics')).length
    const before = lines()
    tcpcopy.signal('SIGUSR2')
    while (lines() === before && performance.now() < endMs) await sleep(POLL_MS)
    if (counter(lastStatistics(tcpcopy.stderr), 'pendingBytes') === 0) return
  }
}

async function haveSame(source: Server, target: Server): Promise<readonly string[]> {
  return (await source.digest()) === (await target.digest()) ? [] : ['The data of source and target differ.']
}

/** Describes what is wrong with the copy, in sentences. */
export function findProblems(load: Load, measured: Measured): string[] {
  const { rounds, exitStatus, statistics, differences } = measured
  const problems: string[] = []
  for (const [index, { source, lost, surplus }] of rounds.entries()) {
    const where = rounds.length > 1 ? ` in run ${index + 1}` : ''
    if (source === 0) problems.push(`The source received no request${where}.`)
    if (lost > 0) problems.push(`${lost} requests were lost${where}.`)
    if (surplus > 0) problems.push(`${surplus} extra requests reached the target${where}.`)
  }
  problems.push(...differences, ...(load.judge?.(measured) ?? []))
  for (const drop of dropsOf(statistics.tcpcopy)) problems.push(`tcpcopy dropped client bytes: ${drop}.`)
  const unaccounted = statistics.tcpcopy.unaccountedBytes
  if (unaccounted !== 0)
    problems.push(`The counters of tcpcopy do not add up: ${String(unaccounted)} bytes are unaccounted for.`)
  problems.push(...requestProblems(statistics.tcpcopy))
  for (const name of ['tcpcopy', 'intercept'] as const) {
    if (exitStatus[name] !== 0)
      problems.push(`${name} ended with ${exitStatus[name] ?? 'a signal'} when it was stopped.`)
  }
  return problems
}
