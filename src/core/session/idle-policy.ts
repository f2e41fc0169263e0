/**
 * How long sessions with nothing to do stay awake: a while, so that few lie down in vain; hardly, while very many are
 * awake. So the memory of all that are awake is bounded, as long as they have nothing to do.
 */

/** To wake a session, and to lay it down once more, takes as long as two or three requests of it. */
export const HIBERNATE_AFTER_MS = 10_000
/** While more than so many are awake, some 6 MB… */
const AWAKE_ENOUGH = 2048
/** …they lie down after so long: more than a connection's own pauses, such as the 40 ms of an acknowledgment. */
const HIBERNATE_SOON_MS = 100

export class IdlePolicy {
  /** Sessions that are awake. */
  count = 0
  readonly #hibernateAfterMs: number
  readonly #hibernateSoonMs: number

  /** @param hibernateAfterMs while few are awake; Infinity: they stay awake, however many */
  constructor(hibernateAfterMs: number) {
    this.#hibernateAfterMs = hibernateAfterMs
    this.#hibernateSoonMs =
      hibernateAfterMs === Number.POSITIVE_INFINITY ? hibernateAfterMs : Math.min(hibernateAfterMs, HIBERNATE_SOON_MS)
  }

  /** From a session's last progress on. */
  get hibernateAfterMs(): number {
    return this.count > AWAKE_ENOUGH ? this.#hibernateSoonMs : this.#hibernateAfterMs
  }
}
