/** The log: a file or standard error, as text or JSON. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { getSystemErrorName } from 'node:util'
import { OperatorError } from '../errors.ts'
import type { Log, LogFields, LogLevel } from '../ports.ts'
import type { LogFormat } from './options/command.ts'

const STDERR = 2

export class LogFile {
  readonly #path: string | undefined
  readonly #format: LogFormat
  #fd: number
  /** Written before each line, to erase a progress line. */
  lineStart = ''
  /** Lines that could not be written since the last one that could. */
  #lostCount = 0
  #lostReason = ''
  /** The last line was written in part. */
  #isTorn = false
  /** Gets the text of each warning and error; undefined: nobody listens. */
  #listener: ((text: string) => void) | undefined

  /** @param path undefined: standard error @throws OperatorError `no-log` */
  constructor(path: string | undefined, format: LogFormat) {
    this.#path = path
    this.#format = format
    this.#fd = this.#open()
  }

  /** Reopens the file after a log rotation. */
  reopen(): void {
    if (this.#path === undefined) return
    const before = this.#fd
    this.#fd = this.#open()
    closeSync(before)
  }

  /** The file with its whole path; undefined: standard error. */
  get path(): string | undefined {
    return this.#path === undefined ? undefined : resolve(this.#path)
  }

  /** Also gives the text of warnings and errors to somebody, from now on. */
  listen(listener: ((text: string) => void) | undefined): void {
    this.#listener = listener
  }

  readonly log: Log = (level, message, fields = {}) => {
    if (level !== 'info') this.#listener?.(`${message}${textOf(fields)}`)
    this.line(this.#lineOf(level, message, fields))
  }

  /**
   * Writes a line unchanged. A log that cannot be written (full disk, closed pipe) does not stop the program. When it can
   * be written again, it says how many lines are missing.
   */
  line(text: string): void {
    if (this.#lostCount > 0) {
      const fields = { lines: this.#lostCount, reason: this.#lostReason }
      const note = this.#lineOf('warn', 'lines are missing here: the log could not be written', fields)
      if (!this.#write(`${this.#isTorn ? '\n' : ''}${note}`)) {
        this.#lostCount += 1
        return
      }
      this.#lostCount = 0
    }
    if (!this.#write(text)) this.#lostCount += 1
  }

  #lineOf(level: LogLevel, message: string, fields: LogFields): string {
    const time = new Date().toISOString()
    if (this.#format === 'json') return JSON.stringify({ time, level, message, ...fields })
    return `${time} ${level === 'info' ? '' : `${level.toUpperCase()}: `}${message}${textOf(fields)}`
  }

  /** @returns whether the whole line is written */
  #write(text: string): boolean {
    const bytes = Buffer.from(`${this.lineStart}${text}\n`)
    try {
      const length = writeSync(this.#fd, bytes)
      // A disk that becomes full accepts a part.
      this.#isTorn = length < bytes.length
      if (this.#isTorn) this.#lostReason = 'ENOSPC'
    } catch (error) {
      this.#lostReason = String(Object(error).code ?? error)
      return false
    }
    return !this.#isTorn
  }

  #open(): number {
    if (this.#path === undefined) return STDERR
    try {
      return openSync(this.#path, 'a')
    } catch (cause) {
      const hint = 'Use a path in an existing directory where this user can write.'
      throw new OperatorError('no-log', `the log file ${this.#path} cannot be opened`, hint, { cause })
    }
  }
}

function textOf(fields: Readonly<Record<string, unknown>>): string {
  // A hint says in words what matters: fields with several values, and what is not the case, only burden the reader.
  const hasHint = fields.hint !== undefined
  const parts = Object.entries(fields)
    .filter(
      ([, value]) => value !== undefined && !(hasHint && (typeof value === 'object' || value === 0 || value === false))
    )
    .map(([name, value]) => (name === 'hint' ? `\n  ${String(value)}` : `${name} ${valueText(name, value)}`))
  const text = parts.join(', ').replaceAll(', \n', '\n')
  return text === '' || text.startsWith('\n') ? text : `: ${text}`
}

function valueText(name: string, value: unknown): string {
  if (name === 'errnos' && typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([errno, count]) => `${getSystemErrorName(-Number(errno))} ${String(count)} times`)
      .join(', ')
  }
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
