/** What the beginning of a client's connection shows: its round trip to the source, and how much it sends at once. */
import type { Passage } from './passage.ts'
import type { Beginning, Origin, SessionContext } from './session-context.ts'

export class ClientStart {
  /** Of the client to the source; 0: not known. */
  rttMs: number
  /** The client's handshake has ended, as far as is captured. */
  #hasHandshake = false
  #beganAt: number
  #firstFlightEnds = Number.NaN
  readonly #origin: Origin
  readonly #context: SessionContext

  constructor(origin: Origin, beginning: Beginning, context: SessionContext, now: number) {
    this.#origin = origin
    this.#context = context
    this.#beganAt = now
    this.rttMs = beginning.heritage?.clientRttMs ?? context.roundTrips?.of(origin.capturedAddress, now) ?? 0
  }

  /** See `Passage`. */
  pass(through: Passage): void {
    this.rttMs = through.number(this.rttMs)
    this.#hasHandshake = through.flag(this.#hasHandshake)
    this.#beganAt = through.number(this.#beganAt)
    this.#firstFlightEnds = through.number(this.#firstFlightEnds)
  }

  /** @returns true for the acknowledgment that ends the client's handshake */
  sawAck(now: number): boolean {
    if (this.#hasHandshake || this.#origin.isJoined) return false
    this.#hasHandshake = true
    const measured = Math.max(now - this.#beganAt, Number.MIN_VALUE)
    this.rttMs = this.#context.roundTrips?.note(this.#origin.capturedAddress, measured, now) ?? measured
    return true
  }

  /**
   * To be asked when payload came. The first flight ends when the client can have heard of it; half a round trip leaves
   * room for what varies.
   */
  isFirstFlight(now: number): boolean {
    if (Number.isNaN(this.#firstFlightEnds)) this.#firstFlightEnds = now + this.rttMs / 2
    return now <= this.#firstFlightEnds && !this.#origin.isJoined
  }
}
