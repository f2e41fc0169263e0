/**
 * The octets of an input that have come and are not used up yet, in one piece. What is appended is copied, so its owner
 * may use it again; the window grows to what a reader asks for at once, plus what was appended last.
 */
export class ByteWindow {
  bytes: Uint8Array = new Uint8Array(0)
  /** Where in `bytes` the octets begin that are not used up. */
  at = 0
  end = 0
  /** True once `finish` was called: nothing will be appended. */
  isFinished = false
  /** Octets of the input before `bytes[0]`. */
  #before = 0
  /** Octets to pass over that have not come yet. */
  #skipCount = 0

  /** Where in the input the next octet stands. */
  get offset(): number {
    return this.#before + this.at
  }

  /** True if `skip` went beyond what has come. */
  get isSkipping(): boolean {
    return this.#skipCount > 0
  }

  /** Moves what is left to the front: what was read before is gone. */
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

  /** Passes over octets, also such that have not come yet. */
  skip(count: number): void {
    const present = Math.min(count, this.end - this.at)
    this.at += present
    this.#skipCount += count - present
  }
}
