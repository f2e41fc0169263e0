/** The file of `-P`: there, with our process id in it, from the moment that the program is ready until it ends. */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { OperatorError } from '../errors.ts'

export class PidFile {
  readonly #path: string

  /** Finds out whether the file can be written, and leaves alone what another process has in it. @throws OperatorError `no-pid-file` */
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

  /** Unless it names another process by now. */
  remove(): void {
    try {
      if (['', `${process.pid}\n`].includes(readFileSync(this.#path, 'latin1'))) rmSync(this.#path)
    } catch {
      // Somebody else has removed it, or its directory.
    }
  }
}
