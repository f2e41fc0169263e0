/** Messages and shared memory of the main thread and its workers. */
import { OperatorError } from '../../errors.ts'
import type { LogFields, LogLevel } from '../../ports.ts'
import { descriptorError } from './descriptors.ts'

/** Messages of a worker for the log. */
export type WorkerWord =
  | {
      readonly type: 'log'
      readonly level: LogLevel
      readonly message: string
      readonly fields: LogFields | undefined
    }
  | { readonly type: 'trace'; readonly line: string }

/** Messages of a worker to the main thread. */
export type WorkerMessage =
  | WorkerWord
  /** The worker runs. */
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly hint: string }
  /** @property status the program's exit status */
  | { readonly type: 'stopped'; readonly status: number }

/** What each worker gets in addition to its program's data. */
export interface WorkerMeans {
  /** Number of this worker, from 0. */
  readonly worker: number
  readonly workers: number
  /** The words of `Control`, shared by the main thread and all workers. */
  readonly control: Int32Array
  /** Descriptor that wakes this worker; owned by the main thread. */
  readonly wake: number
  /** The wake descriptors of all workers. */
  readonly wakes: readonly number[]
}

/** Indexes into the shared Int32Array. */
export const Control = {
  /** Number of open workers, and so the worker whose turn it is to open; `STOPPED` at the end. */
  Phase: 0,
  /** Trace lines that wait for the log: workers add, the main thread subtracts. */
  TraceLines: 1,
  Length: 2
} as const

/** Zeroed words shared by all threads. */
export function sharedWords(length: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(length * 4))
}

/** Added to this thread's monotonic clock, gives one that all threads share, whenever they started. */
export function sharedClockMs(): number {
  return performance.timeOrigin % 2 ** 30
}

/** Value of `Control.Phase`: all workers must stop. */
export const STOPPED = -1

/** The message for an error that ends a worker. */
export function failureOf(error: unknown): WorkerMessage {
  const known = error instanceof OperatorError ? error : descriptorError(error)
  if (known !== undefined) return { type: 'failed', code: known.code, message: known.message, hint: known.hint }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { type: 'failed', code: 'bug', message: text, hint: 'This is a bug. Please report it.' }
}
