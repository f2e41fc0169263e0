/** Progress messages on stderr. */
const plainIntervalMs = 5000

/** Shows progress: one changing line on a terminal, otherwise a line every few seconds. */
export class Progress {
  readonly #startMs = performance.now()
  #shownMs = 0
  #isLineOpen = false
  #isEnded = false

  /** Starts a step; always shown. */
  step(text: string): void {
    this.#show(text)
  }

  /** Updates the current step. */
  update(text: string): void {
    if (process.stderr.isTTY || performance.now() - this.#shownMs >= plainIntervalMs) this.#show(text)
  }

  /** Clears the terminal's line. Later calls show nothing. */
  end(): void {
    this.#isEnded = true
    if (this.#isLineOpen) process.stderr.write('\r\x1b[K')
    this.#isLineOpen = false
  }

  #show(text: string): void {
    if (this.#isEnded) return
    this.#shownMs = performance.now()
    const seconds = ((this.#shownMs - this.#startMs) / 1000).toFixed(1).padStart(5)
    if (!process.stderr.isTTY) {
      process.stderr.write(`${seconds} s  ${text}\n`)
      return
    }
    process.stderr.write(`\r\x1b[K${seconds} s  ${text}`)
    this.#isLineOpen = true
  }
}
