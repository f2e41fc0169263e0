/** The retransmission timeout of one connection (RFC 6298), from segments timed one at a time. */
import { isBefore, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from '../memory/snapshot.ts'

const RTO_INITIAL_MS = 1000
const RTO_MIN_MS = 200
const RTO_MAX_MS = 60_000
/** More doublings than RTO_MAX_MS allows. `rtoMs` shifts, because `**` is a call into C++ of 20 ns. */
const DOUBLINGS_MAX = 16
/** The clock granularity G: timers fire on whole milliseconds. */
const GRANULARITY_MS = 1

export class RoundTrip {
  /** SRTT; 0 before the first measurement. */
  smoothedMs = 0
  #variationMs = 0
  #rtoMs = RTO_INITIAL_MS
  /** Timeouts in a row. */
  backoff = 0
  #timedEnd: Seq = seq(0)
  #timedSince = Number.NaN

  /** See `Snapshot`. Only while no segment is timed. */
  save(snapshot: Snapshot): void {
    this.smoothedMs = snapshot.number(this.smoothedMs)
    this.#variationMs = snapshot.number(this.#variationMs)
    this.#rtoMs = snapshot.number(this.#rtoMs)
    this.backoff = snapshot.short(this.backoff)
  }

  /** The current timeout, with the backoff of repeated timeouts (§5.5). */
  get rtoMs(): number {
    return Math.min(this.#rtoMs * (1 << Math.min(this.backoff, DOUBLINGS_MAX)), RTO_MAX_MS)
  }

  /** Times the segment that ends at `end`, unless one is being timed. */
  start(end: Seq, now: number): void {
    if (!Number.isNaN(this.#timedSince)) return
    this.#timedEnd = end
    this.#timedSince = now
  }

  /** Stops timing. Karn's rule (§3): a segment that was sent twice is not measured. */
  cancel(): void {
    this.#timedSince = Number.NaN
  }

  /** Takes an acknowledgment of new bytes up to `una`. */
  acknowledged(una: Seq, now: number): void {
    this.backoff = 0
    if (Number.isNaN(this.#timedSince) || isBefore(una, this.#timedEnd)) return
    this.#measure(now - this.#timedSince)
    this.#timedSince = Number.NaN
  }

  timedOut(): void {
    this.backoff += 1
    this.cancel()
  }

  #measure(sampleMs: number): void {
    if (this.smoothedMs === 0) {
      this.smoothedMs = sampleMs
      this.#variationMs = sampleMs / 2
    } else {
      this.#variationMs += (Math.abs(this.smoothedMs - sampleMs) - this.#variationMs) / 4
      this.smoothedMs += (sampleMs - this.smoothedMs) / 8
    }
    this.#rtoMs = Math.max(RTO_MIN_MS, this.smoothedMs + Math.max(GRANULARITY_MS, 4 * this.#variationMs))
  }
}
