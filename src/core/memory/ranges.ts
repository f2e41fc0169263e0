/**
 * A few ranges of sequence numbers, sorted, apart from each other: what came out of order, or what the peer says came
 * so. When there are too many the last is given up, which only means that its octets are sent once more.
 */
import { int32At } from '../../wire/bytes.ts'
import { isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'

const RANGES_MAX = 16

export class Ranges {
  count = 0
  /** Left edge (the first octet) and right edge (one beyond the last) of each range. */
  readonly #edges = new Int32Array(RANGES_MAX * 2)
  /** The left edge of the range that grew last (RFC 2018 §4: it is told first). */
  #latest: Seq = seq(0)

  left(index: number): Seq {
    return seq(int32At(this.#edges, index * 2))
  }
  right(index: number): Seq {
    return seq(int32At(this.#edges, index * 2 + 1))
  }

  /** The index of the range that `add` touched last. */
  get latest(): number {
    for (let index = 0; index < this.count; index++) {
      if (!isAfter(this.left(index), this.#latest) && isAfter(this.right(index), this.#latest)) return index
    }
    return 0
  }

  clear(): void {
    this.count = 0
  }

  /** Adds octets [left, right). @returns false if all of them were there */
  add(left: Seq, right: Seq): boolean {
    if (!isAfter(right, left)) return false
    let first = 0
    while (first < this.count && isBefore(this.right(first), left)) first++
    let end = first
    let from = left
    let to = right
    while (end < this.count && !isAfter(this.left(end), right)) {
      if (!isAfter(this.left(end), left) && !isBefore(this.right(end), right)) return false
      if (isBefore(this.left(end), from)) from = this.left(end)
      to = later(to, this.right(end))
      end++
    }
    this.#replace(first, end, from, to)
    this.#latest = left
    return true
  }

  /** Removes what lies before `edge`. */
  dropBefore(edge: Seq): void {
    let gone = 0
    while (gone < this.count && !isAfter(this.right(gone), edge)) gone++
    if (gone > 0) {
      this.#edges.copyWithin(0, gone * 2, this.count * 2)
      this.count -= gone
    }
    if (this.count > 0 && isBefore(this.left(0), edge)) this.#edges[0] = edge
  }

  /** @returns the end of the range that holds `at`, or `at` itself if none does */
  endOf(at: Seq): Seq {
    for (let index = 0; index < this.count; index++) {
      if (!isAfter(this.left(index), at) && isAfter(this.right(index), at)) return this.right(index)
    }
    return at
  }

  /** Replaces ranges [first, end) by one. */
  #replace(first: number, end: number, left: Seq, right: Seq): void {
    if (first === end && this.count === RANGES_MAX) {
      if (first === RANGES_MAX) return
      this.count -= 1
    }
    const count = Math.min(this.count, RANGES_MAX)
    this.#edges.copyWithin((first + 1) * 2, end * 2, count * 2)
    this.count = count - (end - first) + 1
    this.#edges[first * 2] = left
    this.#edges[first * 2 + 1] = right
  }
}
