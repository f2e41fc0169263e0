/**
 * Keeps a session from flooding a target that ends every connection: after two connections in a row that were of no use,
 * the session pauses before the next one.
 */
import { Drop } from '../books/drop.ts'
import { ConnectionUse } from '../gate/connection-use.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** Connections in a row without use before a pause. */
const USELESS_MAX = 2
/** The first pause. Each further one is twice as long. */
const PAUSE_FIRST_MS = 10_000
const PAUSE_MAX_MS = 600_000
/** A connection on which the source answered nothing was of use if it lasted this long: such clients only send. */
const LASTING_MS = 10_000
const EXPONENT_MAX = 6

export class ReconnectPause {
  /** Created when first needed, since many connections never get so far. */
  #use: ConnectionUse | undefined
  /** Connections in a row that were of no use. */
  #useless = 0
  #openedAt = 0
  /** The end of the last pause. */
  until = 0
  /** A connection has ended and is not judged yet. */
  #isUnjudged = false
  /** The target ended it. */
  #isOfTarget = false
  #lastedMs = 0

  /** What the gate reports about the current connection. */
  get use(): ConnectionUse {
    this.#use ??= new ConnectionUse()
    return this.#use
  }

  /** See `Snapshot`. Only while a connection is open. */
  save(snapshot: Snapshot): void {
    this.use.save(snapshot)
    this.#useless = snapshot.short(this.#useless)
    this.#openedAt = snapshot.number(this.#openedAt)
  }

  /** A connection on which something was sent has ended. @param progressAt its last progress */
  ended(progressAt: number, reason: Drop): void {
    this.#isUnjudged = true
    this.#isOfTarget = reason === Drop.TargetReset || reason === Drop.TargetClosed
    this.#lastedMs = progressAt - this.#openedAt
  }

  opened(now: number): void {
    this.#openedAt = now
    this.#use?.begin()
  }

  /**
   * Judges the connection that has ended. To be called when there is something to send on another one.
   * @returns whether a pause begins, which lasts until `until`
   */
  begins(now: number): boolean {
    if (!this.#isUnjudged) return false
    this.#isUnjudged = false
    const { isUseful, hasRead } = this.use
    if (isUseful || (!hasRead && this.#lastedMs >= LASTING_MS)) this.#useless = 0
    else if (this.#isOfTarget) this.#useless = Math.min(this.#useless + 1, USELESS_MAX + EXPONENT_MAX)
    if (this.#useless < USELESS_MAX || !this.#isOfTarget) return false
    this.until = now + Math.min(PAUSE_FIRST_MS * 2 ** (this.#useless - USELESS_MAX), PAUSE_MAX_MS)
    return true
  }
}
