/** What all sessions of a worker share. */
import type { Segment } from '../../wire/segment.ts'
import type { Counters } from '../books/counters.ts'
import type { Drop } from '../books/drop.ts'
import type { Latency } from '../books/latency.ts'
import type { SendPool } from '../memory/send-pool.ts'
import type { RateLimit } from '../packets/rate-limit.ts'
import type { TargetHub } from '../target/target-hub.ts'
import type { CapturedClient } from '../tcp/control-block.ts'
import type { IdlePolicy } from './idle-policy.ts'
import type { LeastRoundTrips } from './least-round-trips.ts'
import type { SessionState } from './session-state.ts'
import type { SessionSettings } from './settings.ts'

export interface SessionContext<Answer> {
  readonly settings: SessionSettings
  readonly pool: SendPool
  readonly counters: Counters
  readonly latency: Latency
  /** `--max-rate`. */
  readonly rate: RateLimit
  /** When a session that has nothing to do hibernates. */
  readonly idlePolicy: IdlePolicy
  /** `--acks drop`: tells clients' round trips, since their acknowledgments are not captured. */
  readonly roundTrips: LeastRoundTrips | undefined
  readonly hub: TargetHub<Answer>
  /** With `--trace` only. */
  readonly trace?: SessionTrace | undefined
}

/** Sees what happens to sessions, for `--trace`. */
export interface SessionTrace {
  /** @param client of the session that the segment is for; undefined: there is none */
  captured(segment: Segment, state: SessionState | undefined): void
  /** What came last of this client, or for it, goes no further. Both as captured. */
  refused(address: number, port: number, drop: Drop): void
  /** Nothing more can be sent now, although bytes are there. */
  waits(client: CapturedClient, why: string): void
  ended(client: CapturedClient, reason: Drop): void
}
