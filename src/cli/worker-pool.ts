/** The workers of a program, as its main thread sees them: started, woken and stopped together. */
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
 * Of each worker's young objects, three times what is collected at once. A worker makes next to none but where sessions
 * begin or are woken: more would be memory that is filled only because it is there.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 12 }
/** Old objects are collected when they are a third more than were left the last time; by default, up to four times. */
const HEAP_FLAGS = '--heap-growing-percent=30'

export interface CrewSpec {
  /** The workers' module. */
  readonly url: URL
  /** What each worker is given beside `WorkerMeans`. */
  readonly data: readonly Readonly<Record<string, unknown>>[]
  /** What of it is handed over. */
  readonly transfer: readonly TransferListItem[]
  readonly onWord: (word: WorkerWord, worker: number) => void
  /** A worker cannot go on, for an `OperatorError` or a bug of ours; the others stop. */
  readonly onFailure: (error: Error) => void
}

export class WorkerPool {
  /** All work, or have stopped before. Rejected if one cannot. */
  readonly ready: Promise<void>
  /** All threads are gone. The program's exit status: the worst of theirs. */
  readonly ended: Promise<number>
  readonly #spec: CrewSpec
  readonly #control = sharedWords(Control.Length)
  /**
   * By worker: the descriptor that wakes it. They are the workerPool's, and are closed when the last thread is gone: a worker
   * that ends takes nothing with it that somebody may still write to, and that may be another file by then.
   */
  #wakes: readonly number[]
  #readyCount = 0
  #livingCount: number
  #status = 0
  #resolveReady = (): void => {}
  #rejectReady = (_error: Error): void => {}
  #resolveEnded = (_status: number): void => {}

  constructor(spec: CrewSpec) {
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

  /** Asks all to stop. */
  stop(): void {
    Atomics.store(this.#control, Control.Phase, STOPPED)
    Atomics.notify(this.#control, Control.Phase)
    this.wake()
  }

  /** Makes all look at what there is. */
  wake(): void {
    for (const fd of this.#wakes) wake(fd)
  }

  /** A trace line is written. */
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
