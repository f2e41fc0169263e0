/**
 * What happens when the pool runs short: the sessions whose octets have waited longest give up what they hold, so that
 * one target that stands still, or one client that is faster than its copy, does not cost all others their requests.
 */
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Session } from '../session/session.ts'
import { type SessionContext, State } from '../session/session-context.ts'

/** How full the pool is when sessions have to give up, and how much of it is free then: what one turn captures finds room. */
const SHORT_FROM = 15 / 16
const RELIEF = 1 / 16

/** Where the pool is short, evicts sessions, those with the oldest octets first, until it is less. Each goes on afterwards. */
export function relieve(sessions: readonly (Session | undefined)[], context: SessionContext, now: number): void {
  const { pool, counters } = context
  if (pool.fill < SHORT_FROM && !pool.hasRefused) return
  pool.hasRefused = false
  const relievedAt = Math.max(0, pool.fill - RELIEF)
  const holders = sessions.filter(
    (session): session is Session => session !== undefined && session.stream.head !== NONE
  )
  holders.sort((a, b) => pool.capturedAt(a.stream.head) - pool.capturedAt(b.stream.head))
  for (const session of holders) {
    if (pool.fill <= relievedAt) return
    if (session.state === State.Closed) continue
    counters.add(Counter.sessionsEvicted, 1)
    session.abort(Drop.Evicted, now)
  }
}
