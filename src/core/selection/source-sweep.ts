/**
 * Asks the source's kernel about connections that have been silent for a while, one after the other, and reports those
 * that it does not have: their end was not captured. Without that, the target would hold their copies until `-k`.
 */
import type { Source } from './source.ts'
import { type CapturedFlow, SourceState } from './source-sockets.ts'

/** How long a connection must be silent. */
const SILENT_MS = 5000
/** Least time between two questions about a connection. */
const ROUND_MS = 10_000
const STEP_MS = 100
/** Most questions, and most slots looked at, in one step. */
const QUESTIONS_MAX = 64
const SLOTS_MAX = 4096
const NEVER = Number.POSITIVE_INFINITY

/** The connections, by slot. */
export interface SweptSlots {
  /** All slots in use are below. */
  readonly length: number
  /** The connection of a slot if it has been silent since then; wakes no session. */
  silentSince(slot: number, since: number): CapturedFlow | undefined
}

export class SourceSweep {
  /** When `step` must be called; Infinity: never, since the source cannot be asked. */
  nextAt: number
  readonly #source: Source
  readonly #slots: SweptSlots
  #cursor = 0
  #roundBeganAt: number

  constructor(source: Source, slots: SweptSlots, now: number) {
    this.#source = source
    this.#slots = slots
    this.#roundBeganAt = now
    this.nextAt = source.canBeAsked ? now + SILENT_MS : NEVER
  }

  /** @param gone is told the slots of connections that the source does not have */
  step(now: number, gone: (slot: number) => void): void {
    if (now < this.nextAt) return
    const slots = this.#slots
    let questions = 0
    for (let looked = 0; looked < SLOTS_MAX && questions < QUESTIONS_MAX; looked++) {
      if (this.#cursor >= slots.length) {
        this.#cursor = 0
        this.nextAt = Math.max(this.#roundBeganAt + ROUND_MS, now + STEP_MS)
        this.#roundBeganAt = this.nextAt
        return
      }
      const captured = slots.silentSince(this.#cursor, now - SILENT_MS)
      if (captured !== undefined) {
        if (!this.#source.hasTime(now)) break
        questions += 1
        if (this.#source.stateOf(captured, now) === SourceState.None) gone(this.#cursor)
      }
      this.#cursor += 1
    }
    this.nextAt = now + STEP_MS
  }
}
