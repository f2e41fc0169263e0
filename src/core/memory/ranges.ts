/**
 * A few sorted, disjoint ranges of sequence numbers: bytes that arrived out of order, here or at the target. With too
 * many ranges the last one is forgotten, which only means that its bytes are sent again.
 */
import { int32At } from '../../wire/bytes.ts'
import { isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'

const RANGES_MAX = 16

export class Ranges {
  count = 0
  /** Left edge (first byte) and right edge (after the last byte) of each range. */
  readonly #edges = new Int32Array(RANGES_MAX * 2)
  /** The left edge of the latest addition; its range is reported first (RFC 2018 §4). */
  #latest: Seq = seq(0)

  left(index: number): Seq {
    return seq(int32At(this.#edges, index * 2))
  }
  right(index: number): Seq {
    return seq(int32At(this.#edges, index * 2 + 1))
  }

  /** The index of the range that `add` changed last. */
  get latest(): number {
    for (let index = 0; index < this.count; index++) {
      if (!isAfter(this.left(index), this.#latest) && isAfter(this.right(index), this.#latest)) return index
    }
    return 0
  }

  clear(): void {
    this.count = 0
  }

  /** Adds bytes [left, right). @returns false if all of them were there already */
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

  /** Removes bytes before `edge`. */
  dropBefore(edge: Seq): void {
    let gone = 0
    while (gone < this.count && !isAfter(this.right(gone), edge)) gone++
    if (gone > 0) {
      this.#edges.copyWithin(0, gone * 2, this.count * 2)
      this.count -= gone
    }
    if (this.count > 0 && isBefore(this.left(0), edge)) this.#edges[0] = edge
  }

  /** @returns the right edge of the range that contains `at`, or `at` itself if there is none */
  endOf(at: Seq): Seq {
    for (let index = 0; index < this.count; index++) {
      if (!isAfter(this.left(index), at) && isAfter(this.right(index), at)) return this.right(index)
    }
    return at
  }

  /** Replaces ranges [first, end) by one range. */
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
