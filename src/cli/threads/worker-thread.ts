/** What the workers of both programs have in common: their words to the main thread, and how they begin and end. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Log } from '../../ports.ts'
import { Control, failureOf, STOPPED, type WorkerMeans, type WorkerMessage } from './worker-protocol.ts'

/** A worker that has opened all that may fail. */
export interface OpenedWorker {
  /** What can be done while others still open. */
  readonly prepare?: () => void
  /** All are open: from now on nothing escapes it. The program is ready when every worker has done this. */
  readonly begin?: () => void
  /** Works until it is told to stop, or is done. @returns the program's exit status */
  readonly run: () => number
}

export function say(message: WorkerMessage): void {
  parentPort?.postMessage(message)
}

/** The log of the daemons: the main thread writes it. */
export const log: Log = (level, message, fields) => say({ type: 'log', level, message, fields })

/** Whether the main thread has asked the workers to stop. */
export function isStopped(control: Int32Array): boolean {
  return Atomics.load(control, Control.Phase) === STOPPED
}

/** Blocks until `phase` has come. @returns false if the workers are to stop */
function awaitPhase(control: Int32Array, phase: number): boolean {
  for (;;) {
    const now = Atomics.load(control, Control.Phase)
    if (now === phase) return true
    if (now === STOPPED) return false
    Atomics.wait(control, Control.Phase, now)
  }
}

/** The next worker's turn, unless all are to stop. */
function passOn({ control, worker }: WorkerMeans): void {
  Atomics.compareExchange(control, Control.Phase, worker, worker + 1)
  Atomics.notify(control, Control.Phase)
}

/**
 * Runs the worker with what the main thread passed, to its end. Workers open one after the other, since the order in
 * which captures join their group says which flows they get, and begin when all are open. An error that one cannot go
 * on with is told.
 */
export function runWorker<Data>(open: (data: Data & WorkerMeans) => OpenedWorker): void {
  const data = workerData as Data & WorkerMeans // as: what the main thread passed
  try {
    let status = 0
    if (awaitPhase(data.control, data.worker)) {
      const opened = open(data)
      passOn(data)
      opened.prepare?.()
      awaitPhase(data.control, data.workers)
      opened.begin?.()
      say({ type: 'ready' })
      status = opened.run()
    }
    say({ type: 'stopped', status })
  } catch (error) {
    say(failureOf(error))
  }
}
