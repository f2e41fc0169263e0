/** The worker threads of a program: starts, wakes and stops them together. */
import { setFlagsFromString } from 'node:v8'
import { type TransferListItem, Worker } from 'node:worker_threads'
import { OperatorError } from '../errors.ts'
import { close } from '../io/linux/system/libc.ts'
import { openWake, wake } from '../io/linux/system/wake.ts'
import {
  Control,
  STOPPED,
  sharedWords,
  type WorkerMeans,
  type WorkerMessage,
  type WorkerWord
} from './threads/worker-protocol.ts'

/**
 * Limit for a worker's young objects: three times the size of a collection. A worker allocates almost nothing except
 * when sessions start or wake up; more memory would be filled without need.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 12 }
/** Collect old objects when they have grown by 30 % since the last collection. The default is up to 300 %. */
const HEAP_FLAGS = '--heap-growing-percent=30'

export interface WorkerPoolSpec {
  /** The workers' module. */
  readonly url: URL
  /** The data of each worker, in addition to `WorkerMeans`. */
  readonly data: readonly Readonly<Record<string, unknown>>[]
  /** The parts of `data` that are transferred, not copied. */
  readonly transfer: readonly TransferListItem[]
  readonly onWord: (word: WorkerWord, worker: number) => void
  /** A worker failed, with an `OperatorError` or because of a bug; the others stop. */
  readonly onFailure: (error: Error) => void
}

export class WorkerPool {
  /** Resolves when all workers run, or have stopped before. Rejects if one fails. */
  readonly ready: Promise<void>
  /** Resolves with the program's exit status, the highest of the workers', when all threads have ended. */
  readonly ended: Promise<number>
  readonly #spec: WorkerPoolSpec
  readonly #control = sharedWords(Control.Length)
  /**
   * The descriptor that wakes each worker. The pool owns them and closes them after the last thread has ended:
   * otherwise another thread could write to a descriptor that is closed, or reused for another file.
   */
  #wakes: readonly number[]
  #readyCount = 0
  #livingCount: number
  #status = 0
  #resolveReady = (): void => {}
  #rejectReady = (_error: Error): void => {}
  #resolveEnded = (_status: number): void => {}

  constructor(spec: WorkerPoolSpec) {
    this.#spec = spec
    setFlagsFromString(HEAP_FLAGS)
    this.#wakes = spec.data.map(openWake)
    this.#livingCount = spec.data.length
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    for (const worker of spec.data.keys()) this.#start(worker)
  }

  /** Asks all workers to stop. */
  stop(): void {
    Atomics.store(this.#control, Control.Phase, STOPPED)
    Atomics.notify(this.#control, Control.Phase)
    this.wake()
  }

  /** Wakes all workers. */
  wake(): void {
    for (const fd of this.#wakes) wake(fd)
  }

  /** Counts a trace line as written. */
  lineTaken(): void {
    Atomics.sub(this.#control, Control.TraceLines, 1)
  }

  #start(index: number): void {
    const { url, data, transfer } = this.#spec
    const [workers, wakes] = [data.length, this.#wakes]
    const means: WorkerMeans = { worker: index, workers, control: this.#control, wake: wakes[index] ?? -1, wakes }
    const workerData = { ...data[index], ...means }
    const worker = new Worker(url, { workerData, transferList: [...transfer], resourceLimits: RESOURCE_LIMITS })
    let isExpected = false
    worker.on('message', (message: WorkerMessage) => {
      isExpected ||= message.type === 'stopped' || message.type === 'failed'
      this.#onMessage(message, index)
    })
    worker.on('error', (error) => {
      isExpected = true
      this.#fail(error)
    })
    worker.on('exit', () => {
      if (!isExpected) this.#fail(new Error(`worker ${index} exited unexpectedly`))
      this.#onGone()
    })
  }

  #onMessage(message: WorkerMessage, index: number): void {
    if (message.type === 'ready') {
      this.#readyCount += 1
      if (this.#readyCount === this.#spec.data.length) this.#resolveReady()
    } else if (message.type === 'failed') this.#fail(new OperatorError(message.code, message.message, message.hint))
    else if (message.type === 'stopped') this.#status = Math.max(this.#status, message.status)
    else this.#spec.onWord(message, index)
  }

  #fail(error: Error): void {
    this.#status = Math.max(this.#status, 1)
    this.#spec.onFailure(error)
    this.#rejectReady(error)
    this.stop()
  }

  #onGone(): void {
    this.#livingCount -= 1
    if (this.#livingCount > 0) return
    for (const fd of this.#wakes) close(fd)
    this.#wakes = []
    this.#resolveReady()
    this.#resolveEnded(this.#status)
  }
}
