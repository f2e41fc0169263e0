/** Several workers may warn of the same cause at the same `-x`. The log gets the first of these warnings. */

/** Workers that notice a cause later than this do not repeat the first warning, but say that it still lasts. */
const SAME_MS = 600_000

export class Repeats {
  readonly #messages: ReadonlySet<string>
  /** When a message about a target was last logged, and by which worker. */
  readonly #logged = new Map<string, { readonly worker: number; readonly at: number }>()

  /** @param messages those that say what happens at one `-x` */
  constructor(messages: readonly string[]) {
    this.#messages = new Set(messages)
  }

  /** Whether another worker has just logged the same. */
  isRepeat(message: string, fields: Readonly<Record<string, unknown>>, worker: number, now: number): boolean {
    if (!this.#messages.has(message)) return false
    const key = `${message} ${String(fields.source)} ${String(fields.target)}`
    const before = this.#logged.get(key)
    if (before !== undefined && before.worker !== worker && now - before.at < SAME_MS) return true
    this.#logged.set(key, { worker, at: now })
    return false
  }
}
