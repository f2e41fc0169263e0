/** Events for the operator: the parts of a loop add them, and the owner of the loop drains them into the log once a turn. */
import type { Log, LogFields, LogLevel } from '../../ports.ts'

/** More than one turn can produce: intercept accepts and closes at most 1024 connections in it. */
const NOTICES_MAX = 4096

interface Notice {
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields | undefined
}

export class Notices {
  readonly #waiting: Notice[] = []
  #leftOutCount = 0

  /** @param message constant; what varies is in `fields`, with units */
  add(level: LogLevel, message: string, fields?: LogFields): void {
    if (this.#waiting.length < NOTICES_MAX) this.#waiting.push({ level, message, fields })
    else this.#leftOutCount += 1
  }

  /** Hands all events to the log, oldest first, and then says how many were left out since the last call. */
  drain(log: Log): void {
    if (this.#waiting.length === 0) return
    for (const { level, message, fields } of this.#waiting) log(level, message, fields)
    this.#waiting.length = 0
    if (this.#leftOutCount > 0)
      log('warn', 'too many log messages at once: some were left out', { count: this.#leftOutCount })
    this.#leftOutCount = 0
  }
}
