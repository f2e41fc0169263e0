/** The congestion window of one connection (RFC 5681). Section numbers refer to that RFC. */
import type { Snapshot } from '../memory/snapshot.ts'

/** Segments that may be sent before the first acknowledgment (RFC 6928). */
const INITIAL_SEGMENTS = 10
const NO_LOSS_YET = Number.MAX_SAFE_INTEGER

export class Congestion {
  windowBytes: number
  #threshold = NO_LOSS_YET
  #mss: number

  constructor(mss: number) {
    this.#mss = mss
    this.windowBytes = INITIAL_SEGMENTS * mss
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.windowBytes = snapshot.number(this.windowBytes)
    this.#threshold = snapshot.number(this.#threshold)
    this.#mss = snapshot.short(this.#mss)
  }

  /** Raises the window to what the client itself sent before it received an acknowledgment. */
  sawFlight(byteCount: number): void {
    if (this.#threshold === NO_LOSS_YET) this.windowBytes = Math.max(this.windowBytes, byteCount)
  }

  /** §3.1: slow start below the threshold, above it one segment for each round trip. */
  acknowledged(byteCount: number): void {
    if (this.windowBytes < this.#threshold) this.windowBytes += Math.min(byteCount, 2 * this.#mss)
    else this.windowBytes += Math.max(1, (this.#mss * Math.min(byteCount, this.#mss)) / this.windowBytes)
  }

  /** §3.2, steps 2 and 6, without inflation: a segment was lost, but later ones arrived. */
  lost(flightBytes: number): void {
    this.#threshold = Math.max(flightBytes / 2, 2 * this.#mss)
    this.windowBytes = this.#threshold
  }

  /** §3.1, equation 4. @param mss segment size from now on, in bytes */
  timedOut(flightBytes: number, mss: number): void {
    this.#mss = mss
    this.#threshold = Math.max(flightBytes / 2, 2 * this.#mss)
    this.windowBytes = this.#mss
  }
}
