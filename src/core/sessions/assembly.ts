/**
 * Puts together all that copies connections in one worker, from settings and from what the worker has: memory, a way to
 * send, counters. The copier, the simulation and the benchmarks all begin here.
 */
import type { Segment } from '../../wire/segment.ts'
import type { Counters } from '../books/counters.ts'
import { Latency } from '../books/latency.ts'
import { type CopyBytes, POOL_PAGE, SendPool } from '../memory/send-pool.ts'
import { Frames } from '../packets/frames.ts'
import { Outbox } from '../packets/outbox.ts'
import { RateLimit } from '../packets/rate-limit.ts'
import { PortsPool } from '../selection/ports-pool.ts'
import { Sampling } from '../selection/sampling.ts'
import { hasCopies, mappingOf, type SelectionSettings } from '../selection/settings.ts'
import type { WorkerShare } from '../selection/worker-share.ts'
import { IdlePolicy } from '../session/idle-policy.ts'
import { LeastRoundTrips } from '../session/least-round-trips.ts'
import type { SessionTrace } from '../session/session-context.ts'
import type { SessionSettings } from '../session/settings.ts'
import { Reach } from '../target/raw/raw-context.ts'
import { type AnswerTrace, RawHub } from '../target/raw/raw-hub.ts'
import { RouteEvents } from '../target/raw/route-events.ts'
import type { TargetHub } from '../target/target-hub.ts'
import { Sessions } from './sessions.ts'

/** How much a worker may hold and send. */
export interface LimitSettings {
  /** `-m`: captured payload that waits to be delivered. */
  readonly poolBytes: number
  readonly sessionsMax: number
  /** `--max-rate`; Infinity: no limit. */
  readonly bytesPerSecondMax: number
  /** Frames that are sent at once at most. */
  readonly framesMax: number
}

/** What holds where the operator says nothing. */
export const LIMIT_DEFAULTS: LimitSettings = {
  poolBytes: 256 << 20,
  sessionsMax: 1 << 20,
  bytesPerSecondMax: Number.POSITIVE_INFINITY,
  framesMax: 1024
}

/** All that the operator chose for copying, by owner. */
export interface CopySettings {
  readonly selection: SelectionSettings
  readonly session: SessionSettings
  readonly limits: LimitSettings
}

/** What a `--trace` sees. */
export interface CopyTrace extends AnswerTrace, SessionTrace {}

/** What a worker gives. */
export interface CopyMeans {
  /** Of `copyMemoryLength`; the sender can reach it. */
  readonly memory: Uint8Array
  readonly counters: Counters
  /** For longer payloads; default: a loop. */
  readonly copy?: CopyBytes | undefined
  /** Undefined: there is one worker. */
  readonly share?: WorkerShare | undefined
  readonly trace?: CopyTrace | undefined
  /** Sends and empties the outbox, which is full. */
  flush(): void
  /** Whether what is sent to this address may be a super-packet. */
  canSegment(targetAddress: number): boolean
  /** Largest IP packet to this target, in bytes. */
  mtu(targetAddress: number): number
}

/** Sessions, and what is seen and emptied from outside. */
export interface Copy<Answer> {
  readonly sessions: Sessions<Answer>
  readonly outbox: Outbox
  readonly pool: SendPool
  readonly latency: Latency
  /** How many sessions are awake. */
  readonly idlePolicy: IdlePolicy
  /** What intercept has to be told before packets go out. */
  readonly routes: RouteEvents
  readonly reach: Reach
}

/** Makes the hub of a worker. @param frames writes packets; @param ports says which slot speaks as whom */
export type MakeHub<Answer> = (frames: Frames, pool: SendPool, ports: PortsPool) => TargetHub<Answer>

function pagesOf({ poolBytes }: LimitSettings): number {
  return Math.max(1, Math.floor(poolBytes / POOL_PAGE))
}

/** Bytes of memory that copying with these limits takes; pages that are not used cost nothing. */
export function copyMemoryLength(limits: LimitSettings): number {
  return limits.framesMax * Outbox.headerStride + pagesOf(limits) * POOL_PAGE
}

/** Copying with packets of our own, as the clients. */
export function assembleCopy(settings: CopySettings, means: CopyMeans, now: number): Copy<Segment> {
  const { roundTripMs, isWithoutAcks } = settings.session
  const { counters, trace } = means
  const routes = new RouteEvents()
  const reach = new Reach(settings.selection.maps.length)
  const mtu = (target: number): number => means.mtu(target)
  const makeHub: MakeHub<Segment> = (frames, pool, ports) =>
    new RawHub({ pool, frames, counters, roundTripMs, isWithoutAcks, mtu, trace, routes, reach }, ports, trace)
  return { ...assembleSessions(settings, means, makeHub, now), routes, reach }
}

/** The same with any other target side. */
export function assembleSessions<Answer>(
  { selection, session, limits }: CopySettings,
  means: CopyMeans,
  makeHub: MakeHub<Answer>,
  now: number
): Omit<Copy<Answer>, 'routes' | 'reach'> {
  const { memory, counters, share, trace } = means
  const outbox = new Outbox(memory, 0, limits.framesMax)
  const pool = new SendPool(memory, limits.framesMax * Outbox.headerStride, pagesOf(limits), means.copy)
  const latency = new Latency(counters.latency, limits.framesMax)
  const rate = new RateLimit(limits.bytesPerSecondMax)
  const frames = new Frames(outbox, pool, () => means.flush(), means.canSegment, rate)
  const mapping = mappingOf(selection)
  const ports = new PortsPool(selection.portShift, share)
  // Copies of one connection know each other, and stay awake.
  const hibernateAfterMs = hasCopies(selection, mapping) ? Number.POSITIVE_INFINITY : session.hibernateAfterMs
  const idlePolicy = new IdlePolicy(hibernateAfterMs)
  const context = {
    settings: session,
    pool,
    counters,
    latency,
    rate,
    idlePolicy,
    roundTrips: session.isWithoutAcks ? new LeastRoundTrips() : undefined,
    hub: makeHub(frames, pool, ports),
    trace
  }
  const sampling = new Sampling(selection.sampling, now, share?.sampling)
  const sessions = new Sessions(context, { mapping, sampling, ports, sessionsMax: limits.sessionsMax }, now)
  return { sessions, outbox, pool, latency, idlePolicy }
}
