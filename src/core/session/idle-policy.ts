/**
 * The idle policy says how long a session with nothing to do stays awake: so long that few wake up soon after, but
 * shorter while many sessions are awake, so that the memory of idle sessions stays bounded.
 */

/** Waking a session and hibernating it again costs as much as two or three requests. */
export const HIBERNATE_AFTER_MS = 10_000
/** While more sessions than this are awake (about 6 MB), they hibernate sooner. */
const AWAKE_ENOUGH = 2048
/** Longer than the pauses of a busy connection, such as a delayed acknowledgment of 40 ms. */
const HIBERNATE_SOON_MS = 100

export class IdlePolicy {
  /** Sessions that are awake. `SessionSlots` keeps it up to date. */
  count = 0
  readonly #hibernateAfterMs: number
  readonly #hibernateSoonMs: number

  /** @param hibernateAfterMs while few sessions are awake; Infinity: sessions never hibernate */
  constructor(hibernateAfterMs: number) {
    this.#hibernateAfterMs = hibernateAfterMs
    this.#hibernateSoonMs =
      hibernateAfterMs === Number.POSITIVE_INFINITY ? hibernateAfterMs : Math.min(hibernateAfterMs, HIBERNATE_SOON_MS)
  }

  /** Time from a session's last progress until it hibernates. */
  get hibernateAfterMs(): number {
    return this.count > AWAKE_ENOUGH ? this.#hibernateSoonMs : this.#hibernateAfterMs
  }
}
