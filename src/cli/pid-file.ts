/** The file of `-P`. It holds the process id from the time the program is ready until it ends. */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { OperatorError } from '../errors.ts'

export class PidFile {
  readonly #path: string

  /** Checks that the file can be written, without changing it. @throws OperatorError `no-pid-file` */
  constructor(path: string) {
    this.#path = path
    try {
      closeSync(openSync(path, 'a'))
    } catch (cause) {
      const hint = 'Use a path in an existing directory where this user can write.'
      throw new OperatorError('no-pid-file', `the pid file ${path} cannot be written`, hint, { cause })
    }
  }

  write(): void {
    writeFileSync(this.#path, `${process.pid}\n`)
  }

  /** Removes the file, unless it names another process. */
  remove(): void {
    try {
      if (['', `${process.pid}\n`].includes(readFileSync(this.#path, 'latin1'))) rmSync(this.#path)
    } catch {
      // Something else removed it, or its directory.
    }
  }
}
