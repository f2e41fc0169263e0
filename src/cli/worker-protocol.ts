/** What the main thread and its worker say to each other. */
import { OperatorError } from '../errors.ts'

/** Words of the worker to the main thread. */
export type WorkerMessage =
  /** @property wake descriptor that wakes the worker (eventfd) */
  | { readonly type: 'ready'; readonly wake: number }
  | {
      readonly type: 'log'
      readonly level: 'info' | 'warn' | 'error'
      readonly message: string
      readonly fields: Readonly<Record<string, unknown>> | undefined
    }
  | { readonly type: 'trace'; readonly line: string }
  | { readonly type: 'failed'; readonly code: string; readonly message: string; readonly hint: string }
  /** @property status the program's exit status */
  | { readonly type: 'stopped'; readonly status: number }

/** Words of the shared Int32Array from the main thread to the worker. */
export const Control = {
  /** 1: stop. */
  Stop: 0,
  /** Trace lines on their way: the worker adds, the main thread takes away. */
  TraceLines: 1,
  Length: 2
} as const

/** What a worker tells of an error that it cannot go on with. */
export function failureOf(error: unknown): WorkerMessage {
  if (error instanceof OperatorError) {
    return { type: 'failed', code: error.code, message: error.message, hint: error.hint }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { type: 'failed', code: 'bug', message: text, hint: 'This is a bug of ours; please report it.' }
}
