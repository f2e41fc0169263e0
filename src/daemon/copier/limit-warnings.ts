/** Warns when a limit of memory costs something: once while it does, and again after a minute without. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import type { Notices } from '../notices/notices.ts'

/** The cause is over after this time without another occurrence. */
const OVER_AFTER_MS = 60_000

interface Limit {
  readonly message: string
  count(counters: Counters): number
}

const LIMITS: readonly Limit[] = [
  {
    message: 'connections give up what they hold, because -m is full: raise it, or copy less (-r)',
    count: (counters) => counters.get(Counter.sessionsEvicted)
  },
  {
    message: 'connections are not copied, because --sessions is reached: raise it, or lower -k',
    count: (counters) => counters.droppedPackets(Drop.TableFull)
  },
  {
    message: 'connections that are not copied are forgotten early, because --sessions is reached: raise it',
    count: (counters) => counters.get(Counter.flowsForgotten)
  }
]

class WatchedLimit {
  readonly #limit: Limit
  #seen = 0
  #seenAt = Number.NEGATIVE_INFINITY

  constructor(limit: Limit) {
    this.#limit = limit
  }

  check(counters: Counters, notices: Notices, now: number): void {
    const count = this.#limit.count(counters)
    if (count === this.#seen) return
    if (now - this.#seenAt >= OVER_AFTER_MS) notices.add('warn', this.#limit.message, { count: count - this.#seen })
    this.#seen = count
    this.#seenAt = now
  }
}

export class LimitWarnings {
  readonly #watched = LIMITS.map((limit) => new WatchedLimit(limit))
  readonly #counters: Counters
  readonly #notices: Notices

  constructor(counters: Counters, notices: Notices) {
    this.#counters = counters
    this.#notices = notices
  }

  /** To be called once a second. */
  onTimer(now: number): void {
    for (const watched of this.#watched) watched.check(this.#counters, this.#notices, now)
  }
}
