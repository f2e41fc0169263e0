/** Writes a recording to one file, or to numbered files. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { OperatorError } from '../../errors.ts'

export class RecordFiles {
  readonly #path: string
  readonly #isRotating: boolean
  #fd = -1
  #count = 0

  /** @param isRotating number the files: `requests-00001.pcapng` */
  constructor(path: string, isRotating: boolean) {
    this.#path = path
    this.#isRotating = isRotating
  }

  /** Path of the current file. */
  get path(): string {
    const [, stem = this.#path, ending = ''] = /^(.*?)(\.[^./]*)?$/s.exec(this.#path) ?? []
    return this.#isRotating ? `${stem}-${String(this.#count).padStart(5, '0')}${ending}` : this.#path
  }

  /** Closes the current file and opens the next. @throws OperatorError `no-output` */
  next(): void {
    this.close()
    this.#count += 1
    try {
      this.#fd = openSync(this.path, 'w')
    } catch (cause) {
      throw this.#failure('opened', cause)
    }
  }

  /** @throws OperatorError `no-output`, for example if the disk is full */
  write(bytes: Uint8Array, length: number): void {
    try {
      for (let at = 0; at < length; ) at += writeSync(this.#fd, bytes, at, length - at)
    } catch (cause) {
      throw this.#failure('written', cause)
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }

  #failure(what: string, cause: unknown): OperatorError {
    const why = cause instanceof Error ? cause.message : String(cause)
    const hint =
      'Use a path in a writable directory on a disk with free space. What was written so far can be replayed.'
    return new OperatorError('no-output', `the file ${this.path} cannot be ${what}: ${why}`, hint, { cause })
  }
}
