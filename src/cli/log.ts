/** The log: a file or standard error, as text or JSON. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import { OperatorError } from '../errors.ts'
import type { Log } from '../ports.ts'
import type { LogFormat } from './options/command.ts'

const STDERR = 2

export class LogFile {
  readonly #path: string | undefined
  readonly #format: LogFormat
  #fd: number
  /** Written before each line, to erase a progress line. */
  lineStart = ''

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

  readonly log: Log = (level, message, fields = {}) => {
    const time = new Date().toISOString()
    if (this.#format === 'json') this.line(JSON.stringify({ time, level, message, ...fields }))
    else this.line(`${time} ${level === 'info' ? '' : `${level.toUpperCase()}: `}${message}${textOf(fields)}`)
  }

  /** Writes a line unchanged. A log that cannot be written (full disk, closed pipe) does not stop the program. */
  line(text: string): void {
    try {
      writeSync(this.#fd, `${this.lineStart}${text}\n`)
    } catch {
      // There is nowhere to report this.
    }
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
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
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
