/** What the main thread and its workers say to each other. */
import { OperatorError } from '../errors.ts'

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
  /**
   * All that may fail is open; the worker waits for `Control.Begin`.
   * @property wake descriptor that wakes the worker (eventfd)
   * @property group what the next worker's capture needs to share packets with this one's
   */
  | { readonly type: 'opened'; readonly wake: number; readonly group: number | undefined }
  /** Works. */
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly hint: string }
  /** @property status the program's exit status */
  | { readonly type: 'stopped'; readonly status: number }

/** What each worker gets, beside what is its program's. */
export interface WorkerMeans {
  /** An Int32Array of `Control`. */
  readonly control: SharedArrayBuffer
  /** `group` of the worker that was started before. */
  readonly group: number | undefined
}

/** Words of the shared Int32Array from the main thread to a worker. */
export const Control = {
  /** 1: stop. */
  Stop: 0,
  /** Trace lines on their way: the worker adds, the main thread takes away. */
  TraceLines: 1,
  /** 1: all workers are open. */
  Begin: 2,
  Length: 3
} as const

/** What a worker tells of an error that it cannot go on with. */
export function failureOf(error: unknown): WorkerMessage {
  if (error instanceof OperatorError) {
    return { type: 'failed', code: error.code, message: error.message, hint: error.hint }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { type: 'failed', code: 'bug', message: text, hint: 'This is a bug of ours; please report it.' }
}
