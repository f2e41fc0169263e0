/**
 * The snapshot saves the numbers of a session in a row of typed arrays, and restores them. Each part passes all its
 * numbers to the snapshot, always in the same order, and assigns the results: when writing, the results are the same
 * numbers; when reading, the saved ones. `measure` finds the width of a row.
 */
import { float64At, int32At, uint16At } from '../../wire/bytes.ts'
import { type Seq, seq } from '../../wire/seq.ts'

/** How many numbers of each kind a row holds: int32 (the first one holds flags), uint16 and float64. */
export interface Widths {
  readonly words: number
  readonly shorts: number
  readonly reals: number
}

const NO_WIDTHS: Widths = { words: 0, shorts: 0, reals: 0 }
/** Flag of a row that is in use. */
const IS_TAKEN = 1
/** Limit of other flags, which share one word with `IS_TAKEN`. */
const FLAGS_MAX = 31

/** Rows of numbers, free at first. */
export class Rows {
  readonly widths: Widths
  readonly words: Int32Array
  readonly shorts: Uint16Array
  readonly reals: Float64Array

  constructor(count: number, widths: Widths) {
    this.widths = widths
    this.words = new Int32Array(count * widths.words)
    this.shorts = new Uint16Array(count * widths.shorts)
    this.reals = new Float64Array(count * widths.reals)
  }

  isTaken(row: number): boolean {
    return int32At(this.words, row * this.widths.words) !== 0
  }

  clear(row: number): void {
    this.words[row * this.widths.words] = 0
  }
}

const Mode = { Measuring: 0, Writing: 1, Reading: 2 } as const
type Mode = (typeof Mode)[keyof typeof Mode]

export class Snapshot {
  widths: Widths = NO_WIDTHS
  #rows = new Rows(0, NO_WIDTHS)
  #row = 0
  #mode: Mode = Mode.Measuring
  #flagsAt = 0
  #flag = 0
  #flagCount = 0
  #wordAt = 0
  #shortAt = 0
  #realAt = 0

  get isMeasured(): boolean {
    return this.widths.words > 0
  }

  /** Measures the width of a row. @param save passes all the numbers of one session */
  measure(save: () => void): void {
    this.#begin(new Rows(0, NO_WIDTHS), 0, Mode.Measuring)
    save()
    if (this.#flagCount > FLAGS_MAX) throw new RangeError(`${this.#flagCount} flags, room for ${FLAGS_MAX}`)
    this.widths = { words: this.#wordAt, shorts: this.#shortAt, reals: this.#realAt }
  }

  /** Starts to write a row, which is in use from now on. */
  beginWriting(rows: Rows, row: number): void {
    this.#begin(rows, row, Mode.Writing)
    rows.words[this.#flagsAt] = IS_TAKEN
  }

  /** Starts to read a row. */
  beginReading(rows: Rows, row: number): void {
    this.#begin(rows, row, Mode.Reading)
  }

  #begin(rows: Rows, row: number, mode: Mode): void {
    const { words, shorts, reals } = rows.widths
    this.#rows = rows
    this.#row = row
    this.#mode = mode
    this.#flagsAt = row * words
    this.#flag = IS_TAKEN
    this.#flagCount = 0
    this.#wordAt = this.#flagsAt + 1
    this.#shortAt = row * shorts
    this.#realAt = row * reals
  }

  /** @throws Error if the numbers do not fill the row exactly, because more of them would reach into the next row */
  end(): void {
    const { widths } = this.#rows
    const words = this.#wordAt - this.#row * widths.words
    const shorts = this.#shortAt - this.#row * widths.shorts
    const reals = this.#realAt - this.#row * widths.reals
    if (words === widths.words && shorts === widths.shorts && reals === widths.reals) return
    throw new Error(`a row has ${words} words, ${shorts} shorts and ${reals} reals`)
  }

  number(value: number): number {
    const { reals } = this.#rows
    const at = this.#realAt++
    if (this.#mode === Mode.Reading) return float64At(reals, at)
    reals[at] = value
    return value
  }

  /** A number that is an int32. */
  whole(value: number): number {
    const { words } = this.#rows
    const at = this.#wordAt++
    if (this.#mode === Mode.Reading) return int32At(words, at)
    words[at] = value
    return value
  }

  /** A number from 0 to 65535. */
  short(value: number): number {
    const { shorts } = this.#rows
    const at = this.#shortAt++
    if (this.#mode === Mode.Reading) return uint16At(shorts, at)
    shorts[at] = value
    return value
  }

  seq(value: Seq): Seq {
    return seq(this.whole(value))
  }

  flag(value: boolean): boolean {
    const { words } = this.#rows
    this.#flag <<= 1
    this.#flagCount += 1
    if (this.#mode === Mode.Reading) return (int32At(words, this.#flagsAt) & this.#flag) !== 0
    if (value && this.#mode === Mode.Writing) words[this.#flagsAt] = int32At(words, this.#flagsAt) | this.#flag
    return value
  }
}
