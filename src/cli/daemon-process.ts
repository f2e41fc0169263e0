/**
 * The main thread of both programs: starts the workers, writes their log messages and statistics, handles signals and
 * shuts down.
 */
import type { TransferListItem } from 'node:worker_threads'
import { OperatorError } from '../errors.ts'
import { isInBackground, tellParent } from './background.ts'
import type { Firewall } from './firewall/firewall.ts'
import { closeInspector } from './inspector.ts'
import { type Claim, claimAll } from './instance.ts'
import { LogFile } from './log.ts'
import type { ProcessOptions } from './options/command.ts'
import { seconds } from './options/values.ts'
import { PidFile } from './pid-file.ts'
import { Repeats } from './threads/repeats.ts'
import type { WorkerWord } from './threads/worker-protocol.ts'
import { WorkerPool } from './worker-pool.ts'

export interface DaemonSpec {
  readonly name: string
  /** The workers' module, and the data of each worker in addition to `WorkerMeans`. */
  readonly workerUrl: URL
  readonly workers: readonly Readonly<Record<string, unknown>>[]
  /** The parts of `workers` that are transferred, not copied. */
  readonly transfer?: readonly TransferListItem[]
  readonly options: ProcessOptions
  /** Work that no other process may do at the same time. */
  readonly claims?: readonly Claim[]
  /** Called when the workers are ready. @param wake wakes them */
  readonly onReady?: (wake: () => void, logFile: LogFile) => void
  /** Counters by name, for the JSON log. */
  readonly report: () => Record<string, number>
  /** The report in one line of text. */
  readonly summary: (report: Record<string, number>) => string
  /** Messages to log once the program is ready. */
  readonly notes?: readonly string[]
  readonly warnings?: readonly string[]
  /** Rules that are installed when the program is ready, and removed at the end. */
  readonly firewall?: Firewall | undefined
  /** Warnings to log at the end. */
  readonly partingWarnings?: () => readonly string[]
  /** A hint for a log message of a worker. */
  readonly explain?: (message: string, fields: Readonly<Record<string, unknown>>) => string | undefined
  /** Messages of workers that are logged once, not once for each worker. */
  readonly loggedOnce?: readonly string[]
}

const STOP_PATIENCE_MS = 5000

/** The text printed for an operator error. */
function errorText(name: string, error: OperatorError): string {
  return `${name}: ${error.message}\n  ${error.hint}\n`
}

/**
 * Runs until a signal ends the program or its work is done. @returns the exit status @throws OperatorError if it cannot
 * start
 */
export async function runDaemon(spec: DaemonSpec): Promise<number> {
  const { options } = spec
  const intervalMs = seconds('--statistics-interval', options.statisticsInterval, 0, 86_400)
  const logPath = options.log ?? (isInBackground() ? `${spec.name}.log` : undefined)
  const logFile = new LogFile(logPath, options.logFormat)
  claimAll(spec.claims ?? [])
  const pidFile = options.pidFile === undefined ? undefined : new PidFile(options.pidFile)
  let daemon: Daemon | undefined
  try {
    daemon = new Daemon(spec, logFile)
    await daemon.ready()
    closeInspector()
    spec.firewall?.install(logFile.log)
    pidFile?.write()
    logFile.log('info', 'ready', { pid: process.pid })
    for (const note of spec.notes ?? []) logFile.log('info', note)
    for (const warning of spec.warnings ?? []) logFile.log('warn', warning)
    tellParent('ready')
    daemon.startStatistics(intervalMs)
    const running = daemon
    spec.onReady?.(() => running.wake(), logFile)
    const status = await daemon.ended()
    for (const warning of spec.partingWarnings?.() ?? []) logFile.log('warn', warning)
    return status
  } finally {
    daemon?.stop()
    pidFile?.remove()
  }
}

class Daemon {
  readonly #spec: DaemonSpec
  readonly #logFile: LogFile
  readonly #workerPool: WorkerPool
  readonly #repeats: Repeats
  #timer: NodeJS.Timeout | undefined
  #isReady = false
  #hasFailed = false

  constructor(spec: DaemonSpec, logFile: LogFile) {
    this.#spec = spec
    this.#logFile = logFile
    this.#repeats = new Repeats(spec.loggedOnce ?? [])
    this.#workerPool = new WorkerPool({
      url: spec.workerUrl,
      data: spec.workers,
      transfer: spec.transfer ?? [],
      onWord: (word, worker) => this.#onWord(word, worker),
      onFailure: (error) => this.#onFailure(error)
    })
    this.#listen()
  }

  /** @throws OperatorError if the workers cannot start */
  async ready(): Promise<void> {
    await this.#workerPool.ready
    this.#isReady = true
  }

  /** @returns the exit status */
  async ended(): Promise<number> {
    const status = await this.#workerPool.ended
    if (!this.#hasFailed) this.#writeStatistics()
    return status
  }

  startStatistics(intervalMs: number): void {
    if (intervalMs > 0) this.#timer = setInterval(() => this.#writeStatistics(), intervalMs)
  }

  /** Asks the workers to stop, and exits after a timeout if they do not. */
  stop(): void {
    clearInterval(this.#timer)
    this.#workerPool.stop()
    setTimeout(() => process.exit(1), STOP_PATIENCE_MS).unref()
  }

  wake(): void {
    this.#workerPool.wake()
  }

  #listen(): void {
    process.on('SIGINT', () => this.stop())
    process.on('SIGTERM', () => this.stop())
    process.on('SIGUSR2', () => this.#writeStatistics())
    process.on('SIGHUP', () => this.#logFile.reopen())
  }

  #onFailure(error: Error): void {
    this.#hasFailed = true
    this.stop()
    if (!this.#isReady) return
    if (error instanceof OperatorError) this.#logFile.log('error', error.message, { hint: error.hint })
    else
      this.#logFile.log('error', `a worker failed because of a bug, please report it: ${error.stack ?? error.message}`)
  }

  #onWord(word: WorkerWord, worker: number): void {
    if (word.type === 'trace') {
      this.#workerPool.lineTaken()
      this.#logFile.line(word.line)
      return
    }
    const fields = this.#spec.workers.length === 1 ? (word.fields ?? {}) : { ...word.fields, worker }
    if (this.#repeats.isRepeat(word.message, fields, worker, Date.now())) return
    const hint = this.#spec.explain?.(word.message, fields)
    this.#logFile.log(word.level, word.message, hint === undefined ? fields : { ...fields, hint })
  }

  #writeStatistics(): void {
    const report = this.#spec.report()
    if (this.#spec.options.logFormat === 'json') this.#logFile.log('info', 'statistics', report)
    else this.#logFile.log('info', this.#spec.summary(report))
  }
}

/** Runs a program's main function and prints operator errors. */
export async function runProgram(name: string, main: () => Promise<number>): Promise<void> {
  closeInspector()
  try {
    process.exitCode = await main()
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error
    const text = errorText(name, error)
    process.stderr.write(text)
    tellParent({ failed: text })
    process.exitCode = 1
  }
}
