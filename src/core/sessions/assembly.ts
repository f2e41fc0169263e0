/**
 * Assembles the parts that copy connections in one worker, from settings and from what the worker provides: memory, a
 * way to send, counters. Copier, simulation and benchmarks all start here.
 */
import type { Segment } from '../../wire/segment.ts'
import { FirstSpeaker } from '../admission/first-speaker.ts'
import { HALF_OPEN_DEFAULT, HalfOpen } from '../admission/half-open.ts'
import { BeliefContext } from '../belief/belief-context.ts'
import type { Counters } from '../books/counters.ts'
import { Latency } from '../books/latency.ts'
import { MapCounts } from '../books/map-counts.ts'
import { type CopyBytes, POOL_PAGE, SendPool } from '../memory/send-pool.ts'
import { Frames } from '../packets/frames.ts'
import { Outbox } from '../packets/outbox.ts'
import { RateLimit } from '../packets/rate-limit.ts'
import type { LoopGuard } from '../selection/loop-guard.ts'
import type { OwnAddresses } from '../selection/own-addresses.ts'
import { PortsPool } from '../selection/ports-pool.ts'
import { Sampling } from '../selection/sampling.ts'
import { hasCopies, loopGuardOf, mappingOf, type SelectionSettings } from '../selection/settings.ts'
import { QUESTIONS_MAX, Source } from '../selection/source.ts'
import type { SourceSockets } from '../selection/source-sockets.ts'
import type { WorkerShare } from '../selection/worker-share.ts'
import { IdlePolicy } from '../session/idle-policy.ts'
import { LeastRoundTrips } from '../session/least-round-trips.ts'
import type { SessionTrace } from '../session/session-context.ts'
import type { SessionSettings } from '../session/settings.ts'
import { type AnswerTrace, RawHub } from '../target/raw/raw-hub.ts'
import { Reach } from '../target/raw/reach.ts'
import { RouteEvents } from '../target/raw/route-events.ts'
import type { TargetHub } from '../target/target-hub.ts'
import { Sessions } from './sessions.ts'

/** Limits of what a worker holds and sends. */
export interface LimitSettings {
  /** `-m`: size of the send pool. */
  readonly poolBytes: number
  /** `--sessions`: most sessions; as many closed flows, and as many ignored ones. */
  readonly sessionsMax: number
  /** `--half-open`: most copies whose clients have not completed the handshake. */
  readonly halfOpenMax: number
  /** `--max-rate`; Infinity: no limit. */
  readonly bytesPerSecondMax: number
  /** Most frames in the outbox. */
  readonly framesMax: number
}

/** The defaults. */
export const LIMIT_DEFAULTS: LimitSettings = {
  poolBytes: 256 << 20,
  sessionsMax: 1 << 18,
  halfOpenMax: HALF_OPEN_DEFAULT,
  bytesPerSecondMax: Number.POSITIVE_INFINITY,
  framesMax: 1024
}

/** All settings of copying, by the part that they belong to. */
export interface CopySettings {
  readonly selection: SelectionSettings
  readonly session: SessionSettings
  readonly limits: LimitSettings
}

/** What `--trace` receives. */
export interface CopyTrace extends AnswerTrace, SessionTrace {}

/** What a worker provides. */
export interface CopyMeans {
  /** Memory of `copyMemoryLength` bytes, which the packet sender can read. */
  readonly memory: Uint8Array
  readonly counters: Counters
  /** Copies longer payloads. Default: a loop. */
  readonly copy?: CopyBytes | undefined
  /** Undefined: there is one worker. */
  readonly share?: WorkerShare | undefined
  /** Undefined: the source is not this host, so its kernel cannot be asked. */
  readonly source?: SourceSockets | undefined
  /** The addresses of this host; undefined: unknown. */
  readonly own?: OwnAddresses | undefined
  readonly trace?: CopyTrace | undefined
  /** Sends and empties the outbox. Called when it is full. */
  flush(): void
  /** Whether super-packets may be sent to this address. */
  canSegment(targetAddress: number): boolean
  /** Largest IP packet to this target, in bytes. */
  mtu(targetAddress: number): number
}

/** The parts that the owner of the loop uses. */
export interface Copy<Answer> {
  readonly sessions: Sessions<Answer>
  readonly outbox: Outbox
  readonly pool: SendPool
  readonly latency: Latency
  readonly mapCounts: MapCounts
  /** Its `count` is the number of sessions that are awake. */
  readonly idlePolicy: IdlePolicy
  /** To be drained into the channel before packets are sent. */
  readonly routes: RouteEvents
  readonly reach: Reach
  /** Undefined: there can be no loop. */
  readonly loops: LoopGuard | undefined
}

/**
 * Creates the hub of a worker.
 * @param frames writes packets; @param ports knows which slot holds which address and port
 */
export type MakeHub<Answer> = (
  frames: Frames,
  pool: SendPool,
  ports: PortsPool,
  loops: LoopGuard | undefined
) => TargetHub<Answer>

function pagesOf({ poolBytes }: LimitSettings): number {
  return Math.max(1, Math.floor(poolBytes / POOL_PAGE))
}

/** Bytes of memory for these limits. Pages that are never used cost nothing. */
export function copyMemoryLength(limits: LimitSettings): number {
  return limits.framesMax * Outbox.headerStride + pagesOf(limits) * POOL_PAGE
}

/** Assembles a copy with raw target sides, which send packets of our own. */
export function assembleCopy(settings: CopySettings, means: CopyMeans, now: number): Copy<Segment> {
  const { roundTripMs, isWithoutAcks } = settings.session
  const { counters, trace } = means
  const routes = new RouteEvents()
  const reach = new Reach(settings.selection.maps.length, means.own)
  const mtu = (target: number): number => means.mtu(target)
  const makeHub: MakeHub<Segment> = (frames, pool, ports, loops) =>
    new RawHub({ pool, frames, counters, roundTripMs, isWithoutAcks, mtu, trace, routes, reach, loops }, ports, trace)
  return { ...assembleSessions(settings, means, makeHub, now), routes, reach }
}

/** Assembles a copy with any other kind of target side. */
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
  const mapping = mappingOf(selection, means.own)
  const loops = loopGuardOf(selection, means.own, share?.loops)
  const ports = new PortsPool(selection.portShift, share)
  // Copies of one connection refer to each other, so they stay awake.
  const hibernateAfterMs = hasCopies(selection, mapping) ? Number.POSITIVE_INFINITY : session.hibernateAfterMs
  const idlePolicy = new IdlePolicy(hibernateAfterMs)
  const mapCounts = new MapCounts(selection.maps.length)
  if (counters.requests.maps < selection.maps.length)
    throw new RangeError('the counters have too few books of requests')
  const source = new Source(means.source, counters, QUESTIONS_MAX / (share?.workers ?? 1))
  const context = {
    settings: session,
    pool,
    counters,
    mapCounts,
    latency,
    rate,
    idlePolicy,
    roundTrips: session.isWithoutAcks ? new LeastRoundTrips() : undefined,
    hub: makeHub(frames, pool, ports, loops),
    halfOpen: new HalfOpen(limits.halfOpenMax, source),
    firstSpeaker: new FirstSpeaker(selection.maps.length),
    belief: new BeliefContext(counters, source, session.isWithoutAcks),
    loops,
    trace
  }
  const sampling = new Sampling(selection.sampling, now, share?.sampling)
  const sessions = new Sessions(
    context,
    { mapping, sampling, ports, joinAt: selection.joinAt, sessionsMax: limits.sessionsMax },
    now
  )
  return { sessions, outbox, pool, latency, mapCounts, idlePolicy, loops }
}
