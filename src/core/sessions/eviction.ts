/**
 * Eviction frees space when the send pool runs short: the sessions with the oldest bytes give up what they hold.
 * Otherwise one target that stands still, or one client that is faster than its copy, would cost all others their
 * requests.
 */
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { NONE, type SendPool } from '../memory/send-pool.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import type { Lifecycle } from './lifecycle.ts'

/** Share of the pool from which it is short. The rest is for what one turn captures. */
const SHORT_FROM = 15 / 16
/** Share of the pool that eviction frees. */
const RELIEF = 1 / 16

/**
 * If the pool is short, evicts sessions, those with the oldest bytes first, until `RELIEF` is freed. Each reconnects.
 */
export function relieve(
  sessions: readonly (Session | undefined)[],
  { pool, counters }: SessionContext<never>,
  lifecycle: Lifecycle,
  now: number
): void {
  if (pool.fill < SHORT_FROM && !pool.hasRefused) return
  pool.hasRefused = false
  const relievedAt = Math.max(0, pool.fill - RELIEF)
  const holders = sessions.filter(
    (session): session is Session => session !== undefined && session.client.stream.first !== NONE
  )
  holders.sort((a, b) => oldestOf(a, pool) - oldestOf(b, pool))
  for (const session of holders) {
    if (pool.fill <= relievedAt) return
    if (session.hasEnded) continue
    counters.add(Counter.sessionsEvicted, 1)
    lifecycle.abort(session, Drop.Evicted, now)
  }
}

/** When the first bytes that a session holds were captured. */
function oldestOf(session: Session, pool: SendPool): number {
  return pool.capturedAt(session.client.stream.first)
}
