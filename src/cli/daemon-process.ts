/**
 * The control plane of both programs: starts the worker, hands its words to the log, answers signals, writes
 * statistics, and ends in order.
 */
import { writeSync } from 'node:fs'
import { type TransferListItem, Worker } from 'node:worker_threads'
import { OperatorError } from '../errors.ts'
import { isInBackground, tellParent } from './background.ts'
import type { ProcessOptions } from './command.ts'
import type { Firewall } from './firewall.ts'
import { closeInspector } from './inspector.ts'
import { LogFile } from './log.ts'
import { PidFile } from './pid-file.ts'
import { seconds } from './values.ts'
import { Control, type WorkerMessage } from './worker-protocol.ts'

export interface DaemonSpec {
  readonly name: string
  /** The worker's module, and what it is given beside the control words. */
  readonly workerUrl: URL
  readonly workerData: Readonly<Record<string, unknown>>
  /** What of it is handed over. */
  readonly transfer?: readonly TransferListItem[]
  readonly options: ProcessOptions
  /** Called when the worker is ready. @param wake wakes it */
  readonly onReady?: (wake: () => void, logFile: LogFile) => void
  /** Counters by name, for the JSON log. */
  readonly report: () => Record<string, number>
  /** The same in one line, for people. */
  readonly summary: (report: Record<string, number>) => string
  /** To be said once, when the program is ready. */
  readonly notes?: readonly string[]
  readonly warnings?: readonly string[]
  /** Its rules are there while the program is ready. */
  readonly firewall?: Firewall | undefined
  /** To be said at the end. */
  readonly partingWarnings?: () => readonly string[]
  /** More to say about a word of the worker. */
  readonly explain?: (message: string, fields: Readonly<Record<string, unknown>>) => string | undefined
}

const STOP_PATIENCE_MS = 5000

/** What is printed for an error that an operator can cause. */
function errorText(name: string, error: OperatorError): string {
  return `${name}: ${error.message}\n  ${error.hint}\n`
}

/** Runs until a signal ends it. @returns the exit status @throws OperatorError when it could not start */
export async function runDaemon(spec: DaemonSpec): Promise<number> {
  const { options } = spec
  const intervalMs = seconds('--statistics-interval', options.statisticsInterval, 0, 86_400)
  const logPath = options.log ?? (isInBackground() ? `${spec.name}.log` : undefined)
  const logFile = new LogFile(logPath, options.logFormat)
  const pidFile = options.pidFile === undefined ? undefined : new PidFile(options.pidFile)
  let daemon: Daemon | undefined
  try {
    const control = new SharedArrayBuffer(Control.Length * 4)
    const worker = new Worker(spec.workerUrl, {
      workerData: { ...spec.workerData, control },
      transferList: [...(spec.transfer ?? [])]
    })
    daemon = new Daemon(spec, logFile, worker, new Int32Array(control))
    await daemon.ready
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
    const status = await daemon.ended
    for (const warning of spec.partingWarnings?.() ?? []) logFile.log('warn', warning)
    return status
  } finally {
    daemon?.stop()
    pidFile?.remove()
  }
}

class Daemon {
  readonly ready: Promise<void>
  readonly ended: Promise<number>
  readonly #spec: DaemonSpec
  readonly #logFile: LogFile
  readonly #control: Int32Array
  #wake = -1
  #timer: NodeJS.Timeout | undefined
  #isReady = false
  #hasBegun = false

  constructor(spec: DaemonSpec, logFile: LogFile, worker: Worker, control: Int32Array) {
    this.#spec = spec
    this.#logFile = logFile
    this.#control = control
    let resolveReady = (): void => {}
    let rejectReady = (_error: Error): void => {}
    this.ready = new Promise((resolve, reject) => {
      resolveReady = resolve
      rejectReady = reject
    })
    this.ended = new Promise((resolve) => {
      worker.on('message', (message: WorkerMessage) => {
        if (message.type === 'ready') {
          this.#wake = message.wake
          this.#isReady = true
          resolveReady()
        } else if (message.type === 'failed') {
          const error = new OperatorError(message.code, message.message, message.hint)
          if (this.#isReady) this.#logFile.log('error', message.message, { hint: message.hint })
          rejectReady(error)
          resolve(1)
        } else if (message.type === 'stopped') {
          if (this.#hasBegun) this.#writeStatistics()
          resolve(message.status)
        } else this.#onWord(message)
      })
      worker.on('error', (error) => {
        if (this.#isReady) this.#logFile.log('error', `a bug of ours ended the worker: ${error.stack ?? error.message}`)
        rejectReady(error)
        resolve(1)
      })
    })
    this.#listen()
  }

  startStatistics(intervalMs: number): void {
    this.#hasBegun = true
    if (intervalMs > 0) this.#timer = setInterval(() => this.#writeStatistics(), intervalMs)
  }

  /** Asks the worker to stop; it answers `stopped`. */
  stop(): void {
    clearInterval(this.#timer)
    Atomics.store(this.#control, Control.Stop, 1)
    this.wake()
    this.#wake = -1
  }

  /** Makes the worker look at what there is. */
  wake(): void {
    if (this.#wake >= 0) writeSync(this.#wake, new Uint8Array(new BigUint64Array([1n]).buffer))
  }

  #listen(): void {
    const end = (): void => {
      this.stop()
      setTimeout(() => process.exit(1), STOP_PATIENCE_MS).unref()
    }
    process.on('SIGINT', end)
    process.on('SIGTERM', end)
    process.on('SIGUSR2', () => this.#writeStatistics())
    process.on('SIGHUP', () => this.#logFile.reopen())
  }

  #onWord(message: WorkerMessage): void {
    if (message.type === 'trace') {
      Atomics.sub(this.#control, Control.TraceLines, 1)
      this.#logFile.line(message.line)
    } else if (message.type === 'log') {
      const fields = message.fields ?? {}
      const hint = this.#spec.explain?.(message.message, fields)
      this.#logFile.log(message.level, message.message, hint === undefined ? fields : { ...fields, hint })
    }
  }

  #writeStatistics(): void {
    const report = this.#spec.report()
    if (this.#spec.options.logFormat === 'json') this.#logFile.log('info', 'statistics', report)
    else this.#logFile.log('info', this.#spec.summary(report))
  }
}

/** Runs a program's main function, and prints what an operator can mend. */
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
