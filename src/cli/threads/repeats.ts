/** Several workers may warn of the same state at the same `-x`. The log gets the warnings of one of them. */

/** A message of one state: `over` says that it has ended. */
export interface Shared {
  readonly messages: readonly string[]
  readonly over: string
}

export class Repeats {
  readonly #shared: readonly Shared[]
  /** Workers that have warned and not said that it is over, in their order, by state and `-x`. */
  readonly #warned = new Map<string, number[]>()

  /** @param shared states that workers notice at one `-x` */
  constructor(shared: readonly Shared[]) {
    this.#shared = shared
  }

  /** Whether another worker has said, or will say, the same. */
  isRepeat(message: string, fields: Readonly<Record<string, unknown>>, worker: number): boolean {
    const index = this.#shared.findIndex(({ messages, over }) => messages.includes(message) || message === over)
    const shared = this.#shared[index]
    if (shared === undefined) return false
    const key = `${index} ${String(fields.source)} ${String(fields.target)}`
    const workers = this.#warned.get(key) ?? []
    this.#warned.set(key, workers)
    if (message !== shared.over) {
      if (!workers.includes(worker)) workers.push(worker)
      return workers[0] !== worker
    }
    const at = workers.indexOf(worker)
    if (at >= 0) workers.splice(at, 1)
    return workers.length > 0
  }
}
