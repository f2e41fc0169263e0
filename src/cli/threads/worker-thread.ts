/** What all workers share: messages to the main thread, start and end. */
import { parentPort, workerData } from 'node:worker_threads'
import { Notices } from '../../daemon/notices/notices.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import type { Log } from '../../ports.ts'
import { Control, failureOf, STOPPED, type WorkerMeans, type WorkerMessage } from './worker-protocol.ts'

/** A worker that has opened everything that can fail. */
export interface OpenedWorker {
  /** Work to do while other workers still open. */
  readonly prepare?: () => void
  /** Starts the capture once all workers are open. The program is ready when every worker has done this. */
  readonly begin?: () => void
  /** Runs until it is asked to stop, or is done. @returns the program's exit status */
  readonly run: () => number
}

export function say(message: WorkerMessage): void {
  parentPort?.postMessage(message)
}

/** The log, written by the main thread. */
export const log: Log = (level, message, fields) => say({ type: 'log', level, message, fields })

/** This thread's events for the operator. The loop drains them once a turn. */
export const notices = new Notices()

/** Whether the main thread has asked the workers to stop. */
export function isStopped(control: Int32Array): boolean {
  return Atomics.load(control, Control.Phase) === STOPPED
}

/** Blocks until `phase` is reached. @returns false if the workers must stop */
function awaitPhase(control: Int32Array, phase: number): boolean {
  for (;;) {
    const now = Atomics.load(control, Control.Phase)
    if (now === phase) return true
    if (now === STOPPED) return false
    Atomics.wait(control, Control.Phase, now)
  }
}

/** Lets the next worker open, unless all must stop. */
function passOn({ control, worker }: WorkerMeans): void {
  Atomics.compareExchange(control, Control.Phase, worker, worker + 1)
  Atomics.notify(control, Control.Phase)
}

/**
 * Runs a worker with the data that the main thread passed. Workers open one after the other, because the order in which
 * captures join their fanout group determines the flows they get. They start when all are open. Errors are reported to
 * the main thread.
 */
export function runWorker<Data>(open: (data: Data & WorkerMeans) => OpenedWorker): void {
  const data = workerData as Data & WorkerMeans // as: the main thread passed it
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
    notices.drain(log, monotonic.now())
    say(failureOf(error))
  }
}
