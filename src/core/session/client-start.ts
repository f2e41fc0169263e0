/** What the beginning of a client's connection shows: its round trip to the source, and how much it sends at once. */
import type { Snapshot } from '../memory/snapshot.ts'
import type { CopiedIdentity, SessionContext, SessionStart } from './session-context.ts'

export class ClientStart {
  /** Of the client to the source; 0: not known. */
  rttMs: number
  /** The client's handshake has ended, as far as is captured. */
  #hasHandshake = false
  #beganAt: number
  #firstFlightEnds = Number.NaN
  readonly #identity: CopiedIdentity
  readonly #context: SessionContext

  constructor(identity: CopiedIdentity, start: SessionStart, context: SessionContext, now: number) {
    this.#identity = identity
    this.#context = context
    this.#beganAt = now
    this.rttMs = start.heritage?.clientRttMs ?? context.roundTrips?.of(identity.capturedAddress, now) ?? 0
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.rttMs = snapshot.number(this.rttMs)
    this.#hasHandshake = snapshot.flag(this.#hasHandshake)
    this.#beganAt = snapshot.number(this.#beganAt)
    this.#firstFlightEnds = snapshot.number(this.#firstFlightEnds)
  }

  /** @returns true for the acknowledgment that ends the client's handshake */
  sawAck(now: number): boolean {
    if (this.#hasHandshake || this.#identity.isJoined) return false
    this.#hasHandshake = true
    const measured = Math.max(now - this.#beganAt, Number.MIN_VALUE)
    this.rttMs = this.#context.roundTrips?.note(this.#identity.capturedAddress, measured, now) ?? measured
    return true
  }

  /**
   * To be asked when payload came. The first flight ends when the client can have heard of it; half a round trip leaves
   * room for what varies.
   */
  isFirstFlight(now: number): boolean {
    if (Number.isNaN(this.#firstFlightEnds)) this.#firstFlightEnds = now + this.rttMs / 2
    return now <= this.#firstFlightEnds && !this.#identity.isJoined
  }
}
