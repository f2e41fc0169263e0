/** Warns while a limit of memory costs something. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { Condition } from '../notices/condition.ts'
import { Growth } from '../notices/growth.ts'
import type { Notices } from '../notices/notices.ts'

/** Without another occurrence for so long, it is over. */
const OVER_MS = 60_000

interface Limit {
  readonly message: string
  readonly overMessage: string
  readonly hint: string
  count(counters: Counters): number
}

const LIMITS: readonly Limit[] = [
  {
    message: 'connections give up what they hold, because -m is full',
    overMessage: 'connections give up nothing any more: -m suffices',
    hint: 'Raise -m, or copy less (-r).',
    count: (counters) => counters.get(Counter.sessionsEvicted)
  },
  {
    message: 'connections are not copied, because --sessions is reached',
    overMessage: 'connections are copied again: --sessions suffices',
    hint: 'Raise --sessions, or lower -k.',
    count: (counters) => counters.droppedPackets(Drop.TableFull)
  },
  {
    message: 'connections that are not copied are forgotten early, because --sessions is reached',
    overMessage: 'no connections are forgotten early any more: --sessions suffices',
    hint: 'Raise --sessions.',
    count: (counters) => counters.get(Counter.flowsForgotten)
  }
]

interface Watched {
  readonly limit: Limit
  readonly condition: Condition
  readonly growth: Growth
}

export class LimitWarnings {
  readonly #watched: readonly Watched[]
  readonly #counters: Counters

  constructor(counters: Counters, notices: Notices) {
    this.#counters = counters
    this.#watched = LIMITS.map((limit) => {
      const { message, overMessage } = limit
      const condition = new Condition(notices, { message, overMessage, overAfterMs: OVER_MS })
      return { limit, condition, growth: new Growth() }
    })
  }

  /** To be called once a second. */
  onTimer(now: number): void {
    for (const { limit, condition, growth } of this.#watched) {
      growth.see(limit.count(this.#counters), condition.holds)
      const fields = () => ({ count: growth.total, hint: limit.hint })
      condition.update(growth.isGrowing ? true : undefined, now, fields)
    }
  }
}
