/** The ready list holds the sessions that took packets and must be stepped, each once, in order. */
import type { Session } from '../session/session.ts'

/** After this many taken sessions their places are reused. */
const TAKEN_MOST = 1024

/** Keeps its array, because a new one for each batch would be garbage. */
export class ReadyList {
  readonly #sessions: (Session | undefined)[] = []
  #count = 0
  #taken = 0

  add(session: Session): void {
    if (session.isReady || session.hasEnded) return
    session.isReady = true
    this.#sessions[this.#count++] = session
  }

  /** Length of the array. */
  get storeLength(): number {
    return this.#sessions.length
  }

  get isEmpty(): boolean {
    return this.#taken === this.#count
  }

  /** Removes the first session. @returns undefined if the list is empty */
  take(): Session | undefined {
    const session = this.#sessions[this.#taken]
    if (session === undefined) {
      this.#count = 0
      this.#taken = 0
      return undefined
    }
    this.#sessions[this.#taken++] = undefined
    session.isReady = false
    if (this.#taken >= TAKEN_MOST && this.#taken * 2 >= this.#count) this.#moveUp()
    return session
  }

  /** Moves the waiting sessions to the front of the array. Under constant load the list is never empty. */
  #moveUp(): void {
    this.#sessions.copyWithin(0, this.#taken, this.#count)
    this.#sessions.fill(undefined, this.#count - this.#taken, this.#count)
    this.#count -= this.#taken
    this.#taken = 0
  }
}
