/**
 * The byte window holds the bytes of an input that were appended and not yet read, contiguously. `append` copies, so
 * its caller may reuse the chunk. The buffer grows to the unread bytes plus one chunk.
 */
export class ByteWindow {
  bytes: Uint8Array = new Uint8Array(0)
  /** Where in `bytes` the unread bytes begin. */
  at = 0
  end = 0
  /** True after `finish`: nothing more will be appended. */
  isFinished = false
  /** Bytes of the input before `bytes[0]`. */
  #before = 0
  /** Bytes to skip that were not appended yet. */
  #skipCount = 0

  /** Offset in the input of the next unread byte. */
  get offset(): number {
    return this.#before + this.at
  }

  /** True while bytes to skip have not been appended yet. */
  get isSkipping(): boolean {
    return this.#skipCount > 0
  }

  /** Moves the unread bytes to the front, so bytes that were read before are overwritten. */
  append(chunk: Uint8Array): void {
    const skipped = Math.min(this.#skipCount, chunk.length)
    this.#skipCount -= skipped
    const left = this.end - this.at
    const length = left + chunk.length - skipped
    this.#before += this.at + skipped
    if (length > this.bytes.length) {
      const larger = new Uint8Array(length)
      larger.set(this.bytes.subarray(this.at, this.end))
      this.bytes = larger
    } else if (left > 0) this.bytes.copyWithin(0, this.at, this.end)
    this.bytes.set(skipped === 0 ? chunk : chunk.subarray(skipped), left)
    this.at = 0
    this.end = length
  }

  finish(): void {
    this.isFinished = true
  }

  has(count: number): boolean {
    return this.end - this.at >= count
  }

  /** Skips bytes, including ones that are appended later. */
  skip(count: number): void {
    const present = Math.min(count, this.end - this.at)
    this.at += present
    this.#skipCount += count - present
  }
}
