/**
 * The file of `-P`. It holds the process id from the time the program is ready until it ends. The process locks it, so
 * that no other one can overwrite or remove it.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { OperatorError } from '../errors.ts'
import { lockFile } from '../io/linux/system/claims.ts'

export class PidFile {
  readonly #path: string
  readonly #fd: number
  /** A device, such as /dev/null, is neither locked nor removed. */
  readonly #isFile: boolean

  /**
   * Checks that the file can be written, without changing it.
   * @throws OperatorError `no-pid-file`, `already-running`
   */
  constructor(path: string) {
    this.#path = path
    let fd = open(path)
    this.#isFile = fstatSync(fd).isFile()
    // The process that had locked it may have removed it in between.
    while (this.#isFile && lockFile(fd) && !isAt(fd, path)) {
      closeSync(fd)
      fd = open(path)
    }
    if (this.#isFile && !lockFile(fd)) {
      closeSync(fd)
      const owner = readFileSync(path, 'latin1').trim()
      const hint = 'Stop that process first, or use another --pid-file (-P).'
      throw new OperatorError('already-running', `the pid file ${path} belongs to the running process ${owner}`, hint)
    }
    this.#fd = fd
  }

  write(): void {
    if (this.#isFile) ftruncateSync(this.#fd)
    writeSync(this.#fd, `${process.pid}\n`)
  }

  /** Removes the file, unless it names another process, or is another file by now. */
  remove(): void {
    const isOurs = this.#isFile && isAt(this.#fd, this.#path)
    if (isOurs && ['', `${process.pid}\n`].includes(readFileSync(this.#path, 'latin1'))) rmSync(this.#path)
    closeSync(this.#fd)
  }
}

/** Opens a file to append, so that nothing in it changes. */
function open(path: string): number {
  try {
    return openSync(path, 'a')
  } catch (cause) {
    const hint = 'Use a path in an existing directory where this user can write.'
    throw new OperatorError('no-pid-file', `the pid file ${path} cannot be written`, hint, { cause })
  }
}

/** Whether a path still names an open file. */
function isAt(fd: number, path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  const { dev, ino } = fstatSync(fd)
  return found?.dev === dev && found.ino === ino
}
