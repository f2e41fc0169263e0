/** What all sessions of a worker share. */
import type { Segment } from '../../wire/segment.ts'
import type { FirstSpeaker } from '../admission/first-speaker.ts'
import type { HalfOpen } from '../admission/half-open.ts'
import type { BeliefContext } from '../belief/belief-context.ts'
import type { Counters } from '../books/counters.ts'
import type { Drop } from '../books/drop.ts'
import type { Latency } from '../books/latency.ts'
import type { MapCounts } from '../books/map-counts.ts'
import type { SendPool } from '../memory/send-pool.ts'
import type { RateLimit } from '../packets/rate-limit.ts'
import type { LoopGuard } from '../selection/loop-guard.ts'
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
  readonly mapCounts: MapCounts
  readonly latency: Latency
  /** `--max-rate`. */
  readonly rate: RateLimit
  /** When a session that has nothing to do hibernates. */
  readonly idlePolicy: IdlePolicy
  /** `--acks drop`: estimates clients' round trips, because their acknowledgments are not captured. */
  readonly roundTrips: LeastRoundTrips | undefined
  readonly hub: TargetHub<Answer>
  /** Counts the copies of connections that are half-open at the source. */
  readonly halfOpen: HalfOpen
  readonly firstSpeaker: FirstSpeaker
  readonly belief: BeliefContext
  /** Undefined: what is sent cannot be captured, because the capture is a file. */
  readonly loops: LoopGuard | undefined
  /** With `--trace` only. */
  readonly trace?: SessionTrace | undefined
}

/** Receives what happens to sessions, for `--trace`. */
export interface SessionTrace {
  /** A segment was captured. @param state that of its session; undefined: there is none */
  captured(segment: Segment, state: SessionState | undefined): void
  /** The last packet from or for this client was dropped. Address and port are as captured. */
  refused(address: number, port: number, drop: Drop): void
  /** Bytes are there, but none can be sent now. */
  waits(client: CapturedClient, why: string): void
  ended(client: CapturedClient, reason: Drop): void
}
