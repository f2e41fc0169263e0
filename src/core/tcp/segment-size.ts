/**
 * Chooses the segment size towards a target. If the path does not take packets of this size, the ICMP message goes to
 * the client's address, never to us, and all we see is that large segments time out (RFC 2923 §2.1). Then the size is
 * halved; after some time the full size is tried again (RFC 8899 §5.2).
 */
import type { Snapshot } from '../memory/snapshot.ts'

/** Timeouts of a large segment in a row after which the size is halved. */
const TIMEOUTS_FOR_HALVING = 2
/** Time until the full size is tried again. It doubles after each failed try. */
const RAISE_FIRST_MS = 10_000
const RAISE_MAX_MS = 600_000
const NEVER = Number.POSITIVE_INFINITY

export class SegmentSize {
  /** Largest payload of a segment, in bytes. */
  max: number
  /** The size that both sides allow. */
  #full: number
  #least: number
  #timeouts = 0
  /** While the full size is tried: the size to return to at the first timeout; otherwise 0. */
  #proven = 0
  /** The size was reduced and nothing was acknowledged since. */
  #isHalvedJustNow = false
  #raiseAt = NEVER
  #raiseAfterMs = RAISE_FIRST_MS

  /** @param full size that both sides allow, in bytes; @param least size below which it is not halved */
  constructor(full: number, least: number) {
    this.max = full
    this.#full = full
    this.#least = Math.min(least, full)
  }

  /** See `Snapshot`. Only if bytes were acknowledged after the last timeout. */
  save(snapshot: Snapshot): void {
    this.max = snapshot.short(this.max)
    this.#full = snapshot.short(this.#full)
    this.#least = snapshot.short(this.#least)
    this.#proven = snapshot.short(this.#proven)
    this.#raiseAt = snapshot.number(this.#raiseAt)
    this.#raiseAfterMs = snapshot.whole(this.#raiseAfterMs)
  }

  /** @param length bytes of the segment that timed out @returns true if segments are smaller from now on */
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

  /**
   * @param byteCount newly acknowledged bytes
   * @param isBeyondSent more is acknowledged than was sent since the last timeout, so the large segments had arrived
   *   and only their acknowledgments were missing
   */
  acknowledged(byteCount: number, isBeyondSent: boolean): void {
    this.#timeouts = 0
    if (this.#isHalvedJustNow && isBeyondSent) this.max = this.#full
    this.#isHalvedJustNow = false
    if (this.max < this.#full) return
    if (byteCount > this.#proven) this.#proven = 0
    this.#raiseAt = NEVER
  }

  /** Tries the full size again when it is time. */
  raise(now: number): void {
    if (now < this.#raiseAt) return
    this.#raiseAt = NEVER
    this.#proven = this.max
    this.max = this.#full
  }
}
