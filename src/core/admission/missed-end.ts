/**
 * A connection that the source's kernel does not have although its client's end was not captured. The end may still wait
 * in the capture, so the kernel is asked again after a while.
 */
import type { Source } from '../selection/source.ts'
import { type CapturedFlow, SourceState } from '../selection/source-sockets.ts'

/** How long the end of a connection may wait in the capture. */
const OVER_MS = 3000

export class MissedEnd {
  /** When to ask again. */
  readonly askAt: number
  readonly #mark: string

  /** @param mark what is known of the client; it changes with every packet that tells anything */
  constructor(mark: string, now: number) {
    this.#mark = mark
    this.askAt = now + OVER_MS
  }

  /** Whether the connection is over: the source still does not have it, and nothing was captured since. */
  isOver(source: Source, captured: CapturedFlow, mark: string, now: number): boolean {
    return mark === this.#mark && source.stateOf(captured, now) === SourceState.None
  }
}
