/**
 * A state of affairs that the operator should know of: warned of when it is noticed, again while it lasts, and followed
 * by a message when it is over. All warnings about something that lasts go through this class.
 */
import type { LogFields } from '../../ports.ts'
import type { Notices } from './notices.ts'

/** The first repetition follows after this time, and no warning comes sooner after the last one. */
const REPEAT_FIRST_MS = 60_000
/** Further repetitions. */
const REPEAT_MS = 600_000

export interface ConditionTexts {
  readonly message: string
  /** Information when it is over; undefined: it ends without a word. */
  readonly overMessage?: string | undefined
  /** How long it must last before the first warning. Default: 0. */
  readonly afterMs?: number
  /** It is over when it was not seen for this time. Default: when it is first seen not to hold. */
  readonly overAfterMs?: number
}

export class Condition {
  readonly #notices: Notices
  readonly #texts: ConditionTexts
  /** When it began; NaN: it does not hold. */
  #since = Number.NaN
  #seenAt = Number.NaN
  /** When it was last warned of, and how often since it began. */
  #saidAt = Number.NEGATIVE_INFINITY
  #saidCount = 0

  constructor(notices: Notices, texts: ConditionTexts) {
    this.#notices = notices
    this.#texts = texts
  }

  get holds(): boolean {
    return !Number.isNaN(this.#since)
  }

  /**
   * Call it about once a second, or whenever there is news.
   * @param isSeen whether it holds now; undefined: nothing shows
   * @param fields for the message; called only if there is one
   * @param message in place of the usual one, if the same state has several forms
   * @returns whether it was warned of in this call
   */
  update(
    isSeen: boolean | undefined,
    now: number,
    fields: () => LogFields,
    message: string = this.#texts.message
  ): boolean {
    if (isSeen === true) {
      if (!this.holds) this.#begin(now)
      this.#seenAt = now
    } else if (this.holds && this.#isOver(isSeen, now)) {
      this.#end(now, fields)
      return false
    }
    if (!this.holds || !this.#isDue(now)) return false
    this.#saidAt = now
    this.#saidCount += 1
    this.#notices.add('warn', message, { ...fields(), ...this.#lasting(now) })
    return true
  }

  /** Whether `update` would warn if it were seen to hold: to gather what is costly to know only then. */
  wouldWarn(now: number): boolean {
    if (this.holds) return this.#isDue(now, true)
    return now - this.#saidAt >= REPEAT_FIRST_MS && (this.#texts.afterMs ?? 0) === 0
  }

  #begin(now: number): void {
    this.#since = now
    this.#saidCount = 0
  }

  #isOver(isSeen: boolean | undefined, now: number): boolean {
    const { overAfterMs } = this.#texts
    return overAfterMs === undefined ? isSeen === false : now - this.#seenAt >= overAfterMs
  }

  /** @param isNews something was seen since the last warning */
  #isDue(now: number, isNews = this.#seenAt > this.#saidAt): boolean {
    if (now - this.#saidAt < REPEAT_FIRST_MS) return false
    if (this.#saidCount === 0) return now - this.#since >= (this.#texts.afterMs ?? 0)
    // Nothing is repeated of which nothing was seen since.
    return isNews && (this.#saidCount === 1 || now - this.#saidAt >= REPEAT_MS)
  }

  #end(now: number, fields: () => LogFields): void {
    const { overMessage } = this.#texts
    if (this.#saidCount > 0 && overMessage !== undefined)
      this.#notices.add('info', overMessage, { ...fields(), lastedSeconds: seconds(now - this.#since) })
    this.#since = Number.NaN
  }

  /** Repetitions say how long it has lasted. */
  #lasting(now: number): LogFields {
    return this.#saidCount > 1 ? { lastsSeconds: seconds(now - this.#since) } : {}
  }
}

function seconds(ms: number): number {
  return Math.round(ms / 1000)
}
