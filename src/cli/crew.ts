/** The workers of a program, as its main thread sees them: begun in order, stopped and woken together. */
import { writeSync } from 'node:fs'
import { type TransferListItem, Worker } from 'node:worker_threads'
import { OperatorError } from '../errors.ts'
import { Control, type WorkerMessage, type WorkerWord } from './worker-protocol.ts'

export interface CrewSpec {
  /** The workers' module. */
  readonly url: URL
  /** What each worker is given beside `WorkerMeans`. */
  readonly data: readonly Readonly<Record<string, unknown>>[]
  /** What of it is handed over. */
  readonly transfer: readonly TransferListItem[]
  readonly onWord: (word: WorkerWord, worker: number) => void
  /** A worker cannot go on: an `OperatorError`, or a bug of ours. */
  readonly onFailure: (error: Error) => void
}

export class Crew {
  /** All work. Rejected if one cannot. */
  readonly ready: Promise<void>
  /** All have stopped, or one has failed. The program's exit status. */
  readonly ended: Promise<number>
  readonly #spec: CrewSpec
  readonly #controls: readonly Int32Array<SharedArrayBuffer>[]
  /** By worker: the descriptor that wakes it, as long as it is there. */
  readonly #wakes = new Map<number, number>()
  #readyCount = 0
  #stoppedCount = 0
  #status = 0
  #resolveReady = (): void => {}
  #rejectReady = (_error: Error): void => {}
  #resolveEnded = (_status: number): void => {}

  constructor(spec: CrewSpec) {
    this.#spec = spec
    this.#controls = spec.data.map(() => new Int32Array(new SharedArrayBuffer(Control.Length * 4)))
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#start(0, undefined)
  }

  /** Asks all to stop. */
  stop(): void {
    this.#tell(Control.Stop)
    this.#wakes.clear()
  }

  /** Makes all look at what there is. */
  wake(): void {
    for (const wake of this.#wakes.values()) writeSync(wake, new Uint8Array(new BigUint64Array([1n]).buffer))
  }

  /** A trace line of this worker is written. */
  lineTaken(worker: number): void {
    const control = this.#controls[worker]
    if (control !== undefined) Atomics.sub(control, Control.TraceLines, 1)
  }

  /** One after the other: the order in which captures join their group says which flows they get. */
  #start(index: number, group: number | undefined): void {
    const { url, data, transfer } = this.#spec
    const worker = new Worker(url, {
      workerData: { ...data[index], control: this.#controls[index]?.buffer, group },
      transferList: [...transfer]
    })
    worker.on('message', (message: WorkerMessage) => this.#onMessage(message, index))
    worker.on('error', (error) => this.#fail(error, index))
  }

  #onMessage(message: WorkerMessage, index: number): void {
    const { length } = this.#spec.data
    if (message.type === 'opened') {
      this.#wakes.set(index, message.wake)
      if (index + 1 < length) this.#start(index + 1, message.group)
      else this.#tell(Control.Begin)
    } else if (message.type === 'ready') {
      this.#readyCount += 1
      if (this.#readyCount === length) this.#resolveReady()
    } else if (message.type === 'failed') {
      this.#fail(new OperatorError(message.code, message.message, message.hint), index)
    } else if (message.type === 'stopped') {
      this.#wakes.delete(index)
      this.#stoppedCount += 1
      this.#status = Math.max(this.#status, message.status)
      if (this.#stoppedCount === length) this.#resolveEnded(this.#status)
    } else this.#spec.onWord(message, index)
  }

  #fail(error: Error, index: number): void {
    this.#wakes.delete(index)
    this.#spec.onFailure(error)
    this.#rejectReady(error)
    this.#resolveEnded(1)
  }

  #tell(word: number): void {
    for (const control of this.#controls) Atomics.store(control, word, 1)
    this.wake()
  }
}
