/**
 * The main thread of both programs: starts the workers, writes their log messages and statistics, handles signals and
 * shuts down.
 */
import type { TransferListItem } from 'node:worker_threads'
import { OperatorError } from '../errors.ts'
import type { Log } from '../ports.ts'
import { isInBackground, tellParent } from './background.ts'
import type { Firewall } from './firewall/firewall.ts'
import { closeInspector } from './inspector.ts'
import { type Claim, claimAll } from './instance.ts'
import { LogFile } from './log.ts'
import type { ProcessOptions } from './options/command.ts'
import { seconds } from './options/values.ts'
import { PidFile } from './pid-file.ts'
import { descriptorError, requireDescriptors } from './threads/descriptors.ts'
import { Repeats, type Shared } from './threads/repeats.ts'
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
  /** Connections that it makes. */
  readonly connections?: number
  /** Work that no other process may do at the same time. */
  readonly claims?: readonly Claim[]
  /** Called when the workers are ready. @param wake wakes them */
  readonly onReady?: (wake: () => void, logFile: LogFile) => void
  /** Counters by name, for the JSON log. */
  readonly report: () => Record<string, number>
  /** The report in one line of text. @param isFinal it is the last one, and covers all the time */
  readonly summary: (report: Record<string, number>, isFinal: boolean) => string
  /** Messages to log once the program is ready. */
  readonly notes?: readonly string[]
  readonly warnings?: readonly string[]
  /** Rules that are installed when the program is ready, and removed at the end. */
  readonly firewall?: Firewall | undefined
  /**
   * With `-d`: the start is complete when a worker has logged one of these messages.
   * @property otherwise warning if that takes too long
   */
  readonly settled?: { readonly messages: readonly string[]; readonly otherwise: string }
  /** Called once a second while the program runs. */
  readonly watch?: (log: Log) => void
  /** Warnings to log at the end. */
  readonly partingWarnings?: () => readonly string[]
  /** A hint for a log message of a worker. */
  readonly explain?: (message: string, fields: Readonly<Record<string, unknown>>) => string | undefined
  /** Messages of workers that are logged once, not once for each worker. */
  readonly loggedOnce?: readonly Shared[]
}

const STOP_PATIENCE_MS = 5000
const WATCH_MS = 1000
/** Longest wait of `-d` for `settled`. */
const SETTLE_MS = 3000

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
  requireDescriptors(spec.workers.length, spec.connections ?? 0)
  claimAll(spec.claims ?? [])
  const pidFile = options.pidFile === undefined ? undefined : new PidFile(options.pidFile)
  let daemon: Daemon | undefined
  const warnings: string[] = []
  if (isInBackground()) logFile.listen((text) => warnings.push(text))
  try {
    daemon = new Daemon(spec, logFile)
    await daemon.ready()
    closeInspector()
    spec.firewall?.install(logFile.log)
    pidFile?.write()
    logFile.log('info', 'ready', { pid: process.pid })
    for (const note of spec.notes ?? []) logFile.log('info', note)
    for (const warning of spec.warnings ?? []) logFile.log('warn', warning)
    daemon.startStatistics(intervalMs)
    daemon.startWatch()
    const running = daemon
    spec.onReady?.(() => running.wake(), logFile)
    if (isInBackground()) await reportStart(spec, logFile, daemon, warnings)
    const status = await daemon.ended()
    for (const warning of spec.partingWarnings?.() ?? []) logFile.log('warn', warning)
    return status
  } finally {
    daemon?.stop()
    pidFile?.remove()
  }
}

/** Tells the process that started this one in the background where it runs, and what it has warned of so far. */
async function reportStart(spec: DaemonSpec, logFile: LogFile, daemon: Daemon, warnings: string[]): Promise<void> {
  const { name, settled } = spec
  const isSettled = settled === undefined || (await daemon.hasSaid(settled.messages, SETTLE_MS))
  logFile.listen(undefined)
  if (!isSettled) warnings.push(settled.otherwise)
  tellParent({
    ready: `${name} runs in the background: process ${process.pid}, log ${logFile.path ?? '/dev/null'}\n`,
    warnings: warnings.map((text) => `${name}: ${text}\n`).join('')
  })
}

class Daemon {
  readonly #spec: DaemonSpec
  readonly #logFile: LogFile
  readonly #workerPool: WorkerPool
  readonly #repeats: Repeats
  #timer: NodeJS.Timeout | undefined
  #watchTimer: NodeJS.Timeout | undefined
  #isReady = false
  #hasFailed = false
  /** Messages of workers so far; they are constants, so there are few. */
  readonly #said = new Set<string>()
  #onSaid = (_message: string): void => {}

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
    if (!this.#hasFailed) this.#writeStatistics(true)
    return status
  }

  startStatistics(intervalMs: number): void {
    if (intervalMs > 0) this.#timer = setInterval(() => this.#writeStatistics(), intervalMs)
  }

  startWatch(): void {
    const { watch } = this.#spec
    if (watch !== undefined) this.#watchTimer = setInterval(() => watch(this.#logFile.log), WATCH_MS)
  }

  /** Asks the workers to stop, and exits after a timeout if they do not. */
  stop(): void {
    clearInterval(this.#timer)
    clearInterval(this.#watchTimer)
    this.#workerPool.stop()
    setTimeout(() => process.exit(1), STOP_PATIENCE_MS).unref()
  }

  /** Waits until a worker logs one of these messages. @returns false if none does in this time */
  hasSaid(messages: readonly string[], timeoutMs: number): Promise<boolean> {
    if (messages.some((message) => this.#said.has(message))) return Promise.resolve(true)
    return new Promise((resolve) => {
      setTimeout(() => resolve(false), timeoutMs)
      this.#onSaid = (message) => {
        if (messages.includes(message)) resolve(true)
      }
    })
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
    if (this.#repeats.isRepeat(word.message, fields, worker)) return
    const hint = this.#spec.explain?.(word.message, fields)
    this.#logFile.log(word.level, word.message, hint === undefined ? fields : { ...fields, hint })
    this.#said.add(word.message)
    this.#onSaid(word.message)
  }

  #writeStatistics(isFinal = false): void {
    const report = this.#spec.report()
    if (this.#spec.options.logFormat === 'json') this.#logFile.log('info', 'statistics', report)
    else this.#logFile.log('info', this.#spec.summary(report, isFinal))
  }
}

/** Runs a program's main function and prints operator errors. */
export async function runProgram(name: string, main: () => Promise<number>): Promise<void> {
  closeInspector()
  try {
    process.exitCode = await main()
  } catch (error) {
    const known = error instanceof OperatorError ? error : descriptorError(error)
    if (known === undefined) throw error
    const text = errorText(name, known)
    process.stderr.write(text)
    tellParent({ failed: text })
    process.exitCode = 1
  }
}
