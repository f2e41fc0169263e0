/** Bytes that wait until a stream accepts them, bounded so that a peer that stops reading cannot use up memory. */
import type { Stream } from '../../ports.ts'
import { copyBytes } from '../../wire/bytes.ts'

const INITIAL = 4096

export class Backlog {
  bytes = new Uint8Array(INITIAL)
  length = 0
  readonly #lengthMax: number

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax
  }

  /** Adds `length` bytes, which the caller writes. @returns their offset; −1: they do not fit */
  reserve(length: number): number {
    const at = this.length
    if (at + length > this.#lengthMax) return -1
    if (at + length > this.bytes.length) {
      const larger = new Uint8Array(Math.min(this.#lengthMax, Math.max(this.bytes.length * 2, at + length)))
      larger.set(this.bytes)
      this.bytes = larger
    }
    this.length += length
    return at
  }

  clear(): void {
    this.length = 0
  }

  /** Writes as much as the stream accepts, and asks to be woken for the rest. @returns false if the stream has ended */
  flush(stream: Stream): boolean {
    let done = 0
    while (done < this.length) {
      const taken = stream.write(this.bytes, done, this.length - done)
      if (taken < 0) return false
      if (taken === 0) break
      done += taken
    }
    if (done > 0) {
      copyBytes(this.bytes, done, this.bytes, 0, this.length - done)
      this.length -= done
    }
    stream.awaitWritable(this.length > 0)
    return true
  }
}

/** Removes the first `length` bytes of a stream's input. */
export function consume(stream: Stream, length: number): void {
  copyBytes(stream.input, length, stream.input, 0, stream.inputLength - length)
  stream.inputLength -= length
}
