/** What the workers of both programs have in common: their words to the main thread, and how they begin and end. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Log, Waiter } from '../ports.ts'
import { Control, failureOf, type WorkerMessage } from './worker-protocol.ts'

export function say(message: WorkerMessage): void {
  parentPort?.postMessage(message)
}

/** The log of the daemons: the main thread writes it. */
export const log: Log = (level, message, fields) => say({ type: 'log', level, message, fields })

/** Whether the main thread has asked this one to stop. */
export function isStopped(control: Int32Array): boolean {
  return Atomics.load(control, Control.Stop) === 1
}

/** All that may fail is open. @param group for the capture of the worker that is started next */
export function tellOpened({ wakeDescriptor }: { readonly wakeDescriptor: number }, group?: number): void {
  say({ type: 'opened', wake: wakeDescriptor, group })
}

/** Waits until the other workers are open too, or until this one is asked to stop. */
export function awaitOthers(waiter: Waiter, control: Int32Array): void {
  while (Atomics.load(control, Control.Begin) === 0 && !isStopped(control)) waiter.wait(Number.POSITIVE_INFINITY)
}

/** Runs the worker with what the main thread passed, to its end; an error that it cannot go on with is told. @param run returns the exit status */
export function runWorker<Data>(run: (data: Data) => number): void {
  try {
    say({ type: 'stopped', status: run(workerData as Data) }) // as: what the main thread passed
  } catch (error) {
    say(failureOf(error))
  }
}
