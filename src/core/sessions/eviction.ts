/**
 * Eviction frees space when the send pool runs short: the sessions with the oldest bytes give up what they hold.
 * Otherwise one target that stands still, or one client that is faster than its copy, would cost all others their
 * requests. A session that alone holds most of the pool, and whose bytes the target still takes, is not evicted: what
 * it holds is delivered, and what its client sends meanwhile is given up instead.
 */
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { NONE, type SendPool } from '../memory/send-pool.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { TargetState } from '../target/target-side.ts'
import type { Lifecycle } from './lifecycle.ts'

/** Share of the pool from which it is short. The rest is for what one turn captures. */
const SHORT_FROM = 15 / 16
/** From here on even a large session does not keep others from being evicted. */
const FULL_FROM = 63 / 64
/** Share of the pool that eviction frees. */
const RELIEF = 1 / 16
/** Share of the pool from which a session is large, and below which it takes bytes again. */
const LARGE = 1 / 2
/** A target that has acknowledged nothing for so long stands still. */
const STANDSTILL_MS = 3000

export class Eviction {
  readonly #context: SessionContext<never>
  readonly #lifecycle: Lifecycle
  /** The large session that takes no more bytes. */
  #large: Session | undefined

  constructor(context: SessionContext<never>, lifecycle: Lifecycle) {
    this.#context = context
    this.#lifecycle = lifecycle
  }

  /** If the pool is short, frees `RELIEF` of it, or stops a large session from taking more. */
  relieve(sessions: readonly (Session | undefined)[], now: number): void {
    const { pool, counters } = this.#context
    if (this.#large !== undefined && (this.#large.hasEnded || pool.fill < LARGE)) this.#resume(this.#large)
    if (pool.fill < SHORT_FROM && !pool.hasRefused) return
    pool.hasRefused = false
    const relievedAt = Math.max(0, pool.fill - RELIEF)
    const holders = sessions.filter(
      (session): session is Session => session !== undefined && session.client.stream.first !== NONE
    )
    const large = holders.find((session) => this.#isLarge(session, pool) && isDelivering(session, now))
    if (large !== undefined) {
      this.#stop(large)
      if (pool.fill < FULL_FROM) return
    }
    holders.sort((a, b) => oldestOf(a, pool) - oldestOf(b, pool))
    for (const session of holders) {
      if (pool.fill <= relievedAt) return
      if (session.hasEnded || session === large) continue
      counters.add(Counter.sessionsEvicted, 1)
      this.#lifecycle.abort(session, Drop.Evicted, now)
    }
  }

  #isLarge({ client }: Session, pool: SendPool): boolean {
    return client.stream.heldBytes > LARGE * pool.capacity
  }

  #stop(session: Session): void {
    if (session === this.#large) return
    if (this.#large !== undefined) this.#resume(this.#large)
    session.client.stream.isRefusing = true
    this.#large = session
  }

  #resume(session: Session): void {
    session.client.stream.isRefusing = false
    this.#large = undefined
  }
}

/** Whether the target takes what the session holds. */
function isDelivering({ target }: Session, now: number): boolean {
  const { state, acknowledgedEnd, start, progressAt } = target
  return state === TargetState.Open && acknowledgedEnd !== start && now - progressAt < STANDSTILL_MS
}

/** When the first bytes that a session holds were captured. */
function oldestOf(session: Session, pool: SendPool): number {
  return pool.capturedAt(session.client.stream.first)
}
