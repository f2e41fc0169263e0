/**
 * The way of a session's numbers into a row of typed arrays, and back. Each part of a session passes all its numbers
 * through, always in the same order: laid down they are written, and come back as they are; taken up they come back as
 * they were.
 */
import { float64At, int32At, uint16At } from '../../wire/bytes.ts'
import { type Seq, seq } from '../../wire/seq.ts'

/** What a row holds: int32s, the first of them for flags, uint16s and float64s. */
const WORDS = 33
const SHORTS = 17
const REALS = 25
/** Of the flags: the row holds something. */
const IS_TAKEN = 1

/** Rows of numbers, one behind the other; empty at first. */
export class Rows {
  readonly words: Int32Array
  readonly shorts: Uint16Array
  readonly reals: Float64Array

  constructor(count: number) {
    this.words = new Int32Array(count * WORDS)
    this.shorts = new Uint16Array(count * SHORTS)
    this.reals = new Float64Array(count * REALS)
  }

  isTaken(row: number): boolean {
    return int32At(this.words, row * WORDS) !== 0
  }

  clear(row: number): void {
    this.words[row * WORDS] = 0
  }
}

export class Snapshot {
  #rows = new Rows(0)
  #isWriting = false
  #flagsAt = 0
  #flag = 0
  #wordAt = 0
  #shortAt = 0
  #realAt = 0

  /** Writes a row from now on. */
  beginWriting(rows: Rows, row: number): void {
    this.#begin(rows, row)
    this.#isWriting = true
    rows.words[this.#flagsAt] = IS_TAKEN
  }

  /** Reads a row from now on. */
  beginReading(rows: Rows, row: number): void {
    this.#begin(rows, row)
    this.#isWriting = false
  }

  #begin(rows: Rows, row: number): void {
    this.#rows = rows
    this.#flagsAt = row * WORDS
    this.#flag = IS_TAKEN
    this.#wordAt = this.#flagsAt + 1
    this.#shortAt = row * SHORTS
    this.#realAt = row * REALS
  }

  /** @throws Error if what has passed does not fill the row: it would reach into the next one */
  end(): void {
    const row = this.#flagsAt / WORDS
    const words = this.#wordAt - row * WORDS
    const shorts = this.#shortAt - row * SHORTS
    const reals = this.#realAt - row * REALS
    if (words === WORDS && shorts === SHORTS && reals === REALS) return
    throw new Error(`a session is ${words} words, ${shorts} shorts and ${reals} reals`)
  }

  number(value: number): number {
    const { reals } = this.#rows
    const at = this.#realAt++
    if (!this.#isWriting) return float64At(reals, at)
    reals[at] = value
    return value
  }

  /** A number that is an int32. */
  whole(value: number): number {
    const { words } = this.#rows
    const at = this.#wordAt++
    if (!this.#isWriting) return int32At(words, at)
    words[at] = value
    return value
  }

  /** A number from 0 to 65535. */
  short(value: number): number {
    const { shorts } = this.#rows
    const at = this.#shortAt++
    if (!this.#isWriting) return uint16At(shorts, at)
    shorts[at] = value
    return value
  }

  seq(value: Seq): Seq {
    return seq(this.whole(value))
  }

  flag(value: boolean): boolean {
    const { words } = this.#rows
    this.#flag <<= 1
    const flags = int32At(words, this.#flagsAt)
    if (!this.#isWriting) return (flags & this.#flag) !== 0
    if (value) words[this.#flagsAt] = flags | this.#flag
    return value
  }
}
