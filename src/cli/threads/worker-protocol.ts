/** What the main thread and its workers say to each other. */
import { OperatorError } from '../../errors.ts'

/** Words of a worker that the main thread writes down. */
export type WorkerWord =
  | {
      readonly type: 'log'
      readonly level: 'info' | 'warn' | 'error'
      readonly message: string
      readonly fields: Readonly<Record<string, unknown>> | undefined
    }
  | { readonly type: 'trace'; readonly line: string }

/** Words of a worker to the main thread. */
export type WorkerMessage =
  | WorkerWord
  /** Works. */
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly hint: string }
  /** @property status the program's exit status */
  | { readonly type: 'stopped'; readonly status: number }

/** What each worker gets, beside what is its program's. */
export interface WorkerMeans {
  /** Which one it is, from 0. */
  readonly worker: number
  readonly workers: number
  /** Words of `Control`, which all workers and the main thread have in common. */
  readonly control: Int32Array
  /** A descriptor that wakes it; the main thread's. */
  readonly wake: number
  /** By worker, those of all. */
  readonly wakes: readonly number[]
}

/** Words of the shared Int32Array. */
export const Control = {
  /** How many workers are open, which is whose turn it is to open; `STOPPED` in the end. */
  Phase: 0,
  /** Trace lines on their way: workers add, the main thread takes away. */
  TraceLines: 1,
  Length: 2
} as const

/** Words that all threads have in common, zero at first. */
export function sharedWords(length: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(length * 4))
}

/** Of `Control.Phase`: all are to stop. */
export const STOPPED = -1

/** What a worker tells of an error that it cannot go on with. */
export function failureOf(error: unknown): WorkerMessage {
  if (error instanceof OperatorError) {
    return { type: 'failed', code: error.code, message: error.message, hint: error.hint }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { type: 'failed', code: 'bug', message: text, hint: 'This is a bug. Please report it.' }
}
