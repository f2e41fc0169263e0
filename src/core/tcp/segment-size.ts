/**
 * How large the segments to a target are. A path that takes no packets of that size says so by ICMP to the client's
 * address, never to us (RFC 2923 §2.1): what we see is that large segments time out. Then their size is halved; when the
 * path has had time to change the full size is tried again (RFC 8899 §5.2).
 */
import type { Snapshot } from '../memory/snapshot.ts'

/** Time-outs of a large segment in a row that are taken for such a path. */
const TIMEOUTS_FOR_HALVING = 2
/** After so long the full size is tried again; twice as long after each try that fails. */
const RAISE_FIRST_MS = 10_000
const RAISE_MAX_MS = 600_000
const NEVER = Number.POSITIVE_INFINITY

export class SegmentSize {
  /** Most octets of payload in a segment. */
  max: number
  /** What both sides allow. */
  #full: number
  #least: number
  #timeouts = 0
  /** While the full size is tried: where to go back to, at the first time-out; else 0. */
  #proven = 0
  /** Halved, and nothing acknowledged since. */
  #isHalvedJustNow = false
  #raiseAt = NEVER
  #raiseAfterMs = RAISE_FIRST_MS

  /** @param least octets below which segments are not made smaller */
  constructor(full: number, least: number) {
    this.max = full
    this.#full = full
    this.#least = Math.min(least, full)
  }

  /** See `Snapshot`. Only when octets were acknowledged after the last time-out. */
  save(snapshot: Snapshot): void {
    this.max = snapshot.short(this.max)
    this.#full = snapshot.short(this.#full)
    this.#least = snapshot.short(this.#least)
    this.#proven = snapshot.short(this.#proven)
    this.#raiseAt = snapshot.number(this.#raiseAt)
    this.#raiseAfterMs = snapshot.whole(this.#raiseAfterMs)
  }

  /** @param length octets of the segment that was not acknowledged in time. @returns true: segments are smaller now */
  timedOut(length: number, now: number): boolean {
    const smaller = this.#proven > 0 ? this.#proven : Math.max(this.#least, this.max >> 1)
    this.#timeouts = length > smaller ? this.#timeouts + 1 : 0
    if (this.#timeouts < (this.#proven > 0 ? 1 : TIMEOUTS_FOR_HALVING)) return false
    this.max = smaller
    this.#timeouts = 0
    this.#proven = 0
    this.#isHalvedJustNow = true
    this.#raiseAt = now + this.#raiseAfterMs
    this.#raiseAfterMs = Math.min(this.#raiseAfterMs * 2, RAISE_MAX_MS)
    return true
  }

  /** @param isBeyondSent more than was sent since the last time-out: the large ones had arrived, their answers had not */
  acknowledged(octets: number, isBeyondSent: boolean): void {
    this.#timeouts = 0
    if (this.#isHalvedJustNow && isBeyondSent) this.max = this.#full
    this.#isHalvedJustNow = false
    if (this.max < this.#full) return
    if (octets > this.#proven) this.#proven = 0
    this.#raiseAt = NEVER
  }

  /** Tries the full size again if it is time. */
  raise(now: number): void {
    if (now < this.#raiseAt) return
    this.#raiseAt = NEVER
    this.#proven = this.max
    this.max = this.#full
  }
}
