import type { Session } from '../session/session.ts'

/** So many places of those taken are given up at once. */
const TAKEN_MOST = 1024

/** Sessions that took packets, each once, in order. Its store is kept: making one anew costs garbage. */
export class ReadyList {
  readonly #sessions: (Session | undefined)[] = []
  #count = 0
  #taken = 0

  add(session: Session): void {
    if (session.isReady || session.hasEnded) return
    session.isReady = true
    this.#sessions[this.#count++] = session
  }

  /** Places of the store. */
  get storeLength(): number {
    return this.#sessions.length
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
    if (this.#taken >= TAKEN_MOST && this.#taken * 2 >= this.#count) this.#moveUp()
    return session
  }

  /** Lets those that wait begin the store again: under lasting load the list is never empty. */
  #moveUp(): void {
    this.#sessions.copyWithin(0, this.#taken, this.#count)
    this.#sessions.fill(undefined, this.#count - this.#taken, this.#count)
    this.#count -= this.#taken
    this.#taken = 0
  }
}
