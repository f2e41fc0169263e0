/**
 * The FINs that were captured ahead of a client's stream. One takes effect when the stream reaches it, and never if bytes
 * pass it. There may be several, because a stranger's must not displace the client's.
 */
import { isBefore, type Seq } from '../../wire/seq.ts'

const FINS_MAX = 4
const NONE: readonly Seq[] = []

export class PendingFins {
  #offsets = NONE
  /** A field, since it is read on the way of every packet. */
  isEmpty = true
  /** The client went on in order after the last of them, but reached none: they may be forged, so nothing waits. */
  isDoubtful = false

  add(at: Seq): void {
    this.isDoubtful = false
    if (!this.#offsets.includes(at)) this.#offsets = [...this.#offsets, at].slice(-FINS_MAX)
    this.isEmpty = false
  }

  /** Whether one of them is at an offset. */
  has(at: Seq): boolean {
    return this.#offsets.includes(at)
  }

  /** Bytes were captured up to `farthest`: forgets the FINs before it. */
  passed(farthest: Seq): void {
    if (this.#offsets.some((at) => isBefore(at, farthest))) {
      this.#offsets = this.#offsets.filter((at) => !isBefore(at, farthest))
      this.isEmpty = this.#offsets.length === 0
    }
  }

  clear(): void {
    this.#offsets = NONE
    this.isEmpty = true
  }
}
