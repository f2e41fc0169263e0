import type { Session } from './session.ts'
import { State } from './session-context.ts'

/** Sessions that took packets in this batch, each once, in order. Its store is kept: making one anew costs garbage. */
export class ReadyList {
  readonly #sessions: (Session | undefined)[] = []
  #count = 0
  #taken = 0

  add(session: Session): void {
    if (session.isReady || session.state === State.Closed) return
    session.isReady = true
    this.#sessions[this.#count++] = session
  }

  get isEmpty(): boolean {
    return this.#taken === this.#count
  }

  /** Takes the first; those added meanwhile come after the others. @returns undefined if none is left */
  take(): Session | undefined {
    const session = this.#sessions[this.#taken]
    if (session === undefined) {
      this.#count = 0
      this.#taken = 0
      return undefined
    }
    this.#sessions[this.#taken++] = undefined
    session.isReady = false
    return session
  }
}
