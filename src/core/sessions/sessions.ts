/**
 * Manages all sessions of one worker: passes each packet to its session, starts and removes sessions, and steps those
 * that are due. Every captured packet ends here in a session or in a named drop.
 */
import type { Flow } from '../../wire/flow.ts'
import { FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add } from '../../wire/seq.ts'
import { JoinRule } from '../admission/join-rule.ts'
import { UncopiedRequests } from '../admission/uncopied-requests.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { JoinAt } from '../selection/join-at.ts'
import type { Mapping } from '../selection/mapping.ts'
import type { PortsPool } from '../selection/ports-pool.ts'
import type { Sampling } from '../selection/sampling.ts'
import { SourceSweep } from '../selection/source-sweep.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { SessionState } from '../session/session-state.ts'
import { beginsTls } from '../session/tls-start.ts'
import type { Route } from '../target/raw/route-events.ts'
import { Admission } from './admission.ts'
import { Arrivals } from './arrivals.ts'
import { ClosedFlows } from './closed-flows.ts'
import type { CopyGroup } from './copy-group.ts'
import { Eviction } from './eviction.ts'
import { IgnoredFlows } from './ignored-flows.ts'
import { Lifecycle } from './lifecycle.ts'
import { ReadyList } from './ready-list.ts'
import { SessionTables } from './session-tables.ts'

/** Most flows of each kind that expire in one turn, so that a turn stays short. */
const EXPIRIES_MAX = 256
/** Flows of each kind that are remembered even if fewer sessions are allowed. */
const REMEMBERED_LEAST = 1024

/** The parts that choose which connections are copied, and their copied identities. */
export interface Selecting {
  readonly mapping: Mapping
  readonly sampling: Sampling
  readonly ports: PortsPool
  readonly joinAt: JoinAt
  readonly sessionsMax: number
}

/** @typeParam Answer what the hub receives from targets */
export class Sessions<Answer> {
  readonly ready = new ReadyList()
  readonly #context: SessionContext<Answer>
  readonly #tables: SessionTables
  readonly #lifecycle: Lifecycle
  readonly #admission: Admission
  readonly #closedFlows: ClosedFlows
  readonly #ignoredFlows: IgnoredFlows
  readonly #uncopied: UncopiedRequests
  readonly #arrivals: Arrivals
  readonly #eviction: Eviction
  readonly #sweep: SourceSweep
  #now: number
  readonly #onDue = (slot: number): void => this.#step(slot)
  readonly #onGone = (slot: number): void => this.#doubt(slot)

  constructor(
    context: SessionContext<Answer>,
    { mapping, sampling, ports, joinAt, sessionsMax }: Selecting,
    now: number
  ) {
    const { timeoutMs } = context.settings
    const shared: SessionContext<never> = context
    this.#context = context
    this.#now = now
    this.#tables = new SessionTables(shared, ports, now)
    const { counters } = context
    const flowsMax = Math.max(sessionsMax, REMEMBERED_LEAST)
    this.#closedFlows = new ClosedFlows(this.#tables.bySource, timeoutMs, flowsMax, counters)
    this.#uncopied = new UncopiedRequests(counters.requests, mapping)
    this.#ignoredFlows = new IgnoredFlows(this.#tables.bySource, this.#uncopied, timeoutMs, flowsMax, counters)
    const joins = new JoinRule(joinAt)
    this.#lifecycle = new Lifecycle(shared, this.#tables, this.#closedFlows, joins, this.#uncopied)
    const admission = new Admission(shared, this.#tables, mapping, sampling, sessionsMax, this.#lifecycle)
    this.#admission = admission
    const [ignoredFlows, uncopied] = [this.#ignoredFlows, this.#uncopied]
    const parts = { tables: this.#tables, mapping, sampling, admission, ignoredFlows, joins, uncopied }
    this.#arrivals = new Arrivals(shared, parts)
    this.#eviction = new Eviction(shared, this.#lifecycle)
    this.#sweep = new SourceSweep(context.halfOpen.source, this.#tables.slots, now)
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.#tables.slots.count
  }

  /** Entries of the tables: captured flows (copied, closed and ignored) and ports in use. */
  get entryCount(): number {
    return this.#tables.bySource.size + this.#tables.ports.size
  }

  /** Passes every address that is in use to `take`; also 0 for none. */
  eachAddress(take: (address: number) => void): void {
    this.#tables.bySource.eachAddress(take)
    this.#tables.ports.eachAddress(take)
    this.#arrivals.eachAddress(take)
    this.#uncopied.eachAddress(take)
    this.#context.hub.eachAddress(take)
    this.#context.roundTrips?.eachAddress(take)
    this.#context.loops?.eachAddress(take)
  }

  /** When `onTimer` must be called at the latest. */
  get deadline(): number {
    const { deadlines } = this.#tables
    return Math.min(deadlines.next, this.#context.rate.nextAt, this.#arrivals.early.deadline, this.#sweep.nextAt)
  }

  /** Takes a valid segment from a client to the source. `settle` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    this.#context.pool.now = now
    this.#context.counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    return this.#take(segment, false, now)
  }

  /** @param isLate it was kept for a while in case its SYN was only overtaken */
  #take(segment: Segment, isLate: boolean, now: number): Drop {
    const { counters, trace } = this.#context
    if (segment.flags & SYN && segment.flags & (FIN | RST)) {
      counters.drop(Drop.BadFlags, 1, segment.payloadLength)
      return Drop.BadFlags
    }
    if (this.#arrivals.hasPending) this.#beginPending(segment, now)
    const found = this.#tables.find(segment)
    const session = this.#tables.sessionAt(found, now)
    if (!isLate && session === undefined) {
      if (this.#arrivals.keep(segment, found, now)) return Drop.None
      if ((segment.flags & SYN) === 0 && this.#arrivals.early.has(segment)) {
        for (const early of this.#arrivals.takeKept(segment, now)) this.#take(early, true, now)
        return this.#take(segment, true, now)
      }
    }
    trace?.captured(segment, session?.state)
    let drop: Drop
    let mayBeginRequest = true
    if (session !== undefined && !isNewConnection(session, segment)) {
      if (session.mayTurnToTls && beginsTls(session, segment)) drop = this.#leaveOutTls(session, segment, now)
      else drop = this.#takeFor(session, segment, now)
      mayBeginRequest = session.client.beginsWrite
    } else {
      const isDoubtful = session !== undefined && !session.isClientDone
      drop = isDoubtful ? this.#hold(segment, session, now) : this.#arrivals.take(segment, found, session, now)
      if (drop !== Drop.None) counters.drop(drop, 1, segment.payloadLength)
      const isUncopied = drop === Drop.NotJoined || drop === Drop.AfterEnd
      if (isUncopied && segment.payloadLength > 0) this.#uncopied.take(segment, drop, now)
      if (segment.flags & SYN && this.#arrivals.early.has(segment)) {
        for (const early of this.#arrivals.takeOvertaken(segment)) this.#take(early, true, now)
      }
    }
    if (drop !== Drop.None) trace?.refused(segment.fromAddress, segment.fromPort, drop)
    else if (segment.payloadLength > 0 && mayBeginRequest) this.#context.loops?.sawRequest(segment, now)
    return drop
  }

  /** Passes a segment to its session and the copies beside it. */
  #takeFor(session: Session, segment: Segment, now: number): Drop {
    const group = this.#tables.groups[session.id]
    const mayRestart = group !== undefined && group.absent.length > 0 && session.queue.mayBeginNext(segment.ack)
    const drop = session.onSource(segment, now)
    this.ready.add(session)
    if (drop !== Drop.None) this.#context.counters.drop(drop, 1, 0)
    if (group !== undefined) this.#giveToCopies(group, session, segment, mayRestart && drop === Drop.None, now)
    return drop
  }

  /** Holds a SYN for a connection that may still be alive. */
  #hold(segment: Segment, session: Session, now: number): Drop {
    // The session may have been woken for this, so its deadline must be armed.
    this.#lifecycle.settle(session, now)
    return this.#arrivals.hold(segment, now)
  }

  /** Starts the connection of a pending SYN if this segment shows that the source accepted it. */
  #beginPending(segment: Segment, now: number): void {
    const found = this.#tables.find(segment)
    const session = this.#tables.sessionAt(found, now)
    this.#arrivals.beginPending(segment, found, session, now)
  }

  /** Takes an answer of a target. `settle` acts on it. */
  onTarget(answer: Answer, now: number): Drop {
    const { hub, counters, trace } = this.#context
    const slot = hub.slotOf(answer)
    const session = this.#tables.slots.at(slot, now)
    let drop: Drop = Drop.AnswerNoSession
    if (session !== undefined) {
      drop = hub.take(slot, answer, session.queue, now)
      session.onTarget(now)
      if (session.hasEnded || session.hasReconnected) this.#lifecycle.settle(session, now)
      else this.ready.add(session)
    } else if (hub.takeLate(answer)) {
      drop = Drop.None
      counters.add(Counter.lateAnswers, 1)
    }
    if (drop === Drop.None) return drop
    counters.drop(drop, 1, 0)
    if (trace !== undefined && session !== undefined) {
      trace.refused(session.identity.capturedAddress, session.identity.capturedPort, drop)
    }
    return drop
  }

  /** Steps the sessions that took packets. @param shouldPause if it returns true, the rest is left for the next call */
  settle(now: number, shouldPause?: () => boolean): void {
    const { rate, trace } = this.#context
    rate.refill(now)
    // The list may grow meanwhile, because a session that ends starts its successor.
    for (let session = this.ready.take(); session !== undefined; session = this.ready.take()) {
      session.step(now)
      this.#lifecycle.settle(session, now)
      if (trace !== undefined && !session.hasEnded && session.waitsFor !== '') {
        trace.waits(session.identity, session.waitsFor)
      }
      if (shouldPause?.()) return
    }
  }

  onTimer(now: number): void {
    this.#now = now
    const { rate } = this.#context
    const { slots, deadlines } = this.#tables
    this.#eviction.relieve(slots.awake, now)
    rate.refill(now)
    deadlines.advance(now, this.#onDue)
    this.#expireEarly(now)
    this.#sweep.step(now, this.#onGone)
    for (let slot = rate.take(); slot >= 0; slot = rate.take()) {
      const session = slots.awake[slot]
      if (session === undefined) continue
      session.step(now)
      this.#lifecycle.settle(session, now)
    }
    this.#closedFlows.expire(now, EXPIRIES_MAX)
    this.#ignoredFlows.expire(now, EXPIRIES_MAX)
    this.#arrivals.expire(now, EXPIRIES_MAX)
    this.#countPool()
  }

  /** The wheel has fired for a slot. */
  #step(slot: number): void {
    const session = this.#tables.slots.at(slot, this.#now)
    if (session === undefined) return
    session.armedAt = Number.POSITIVE_INFINITY
    if (session.deadline <= this.#now) session.onTimer(this.#now)
    if (session.hasEnded || session.hasReconnected) this.#lifecycle.settle(session, this.#now)
    else this.#tables.deadlines.hibernateOrSchedule(session, this.#now)
  }

  /** The source's kernel does not have the connection of a slot. */
  #doubt(slot: number): void {
    const session = this.#tables.slots.at(slot, this.#now)
    if (session === undefined) return
    session.sourceHasNone(this.#now)
    this.#lifecycle.settle(session, this.#now)
  }

  /** Takes early packets whose SYN has not come. */
  #expireEarly(now: number): void {
    const { early } = this.#arrivals
    if (now < early.deadline) return
    this.#context.pool.now = now
    for (let batch = this.#arrivals.takeExpired(now); batch.length > 0; batch = this.#arrivals.takeExpired(now)) {
      for (const segment of batch) this.#take(segment, true, now)
    }
    this.settle(now)
  }

  /** Resets every copied connection at its target. */
  shutdown(now: number): void {
    this.#arrivals.dropEarly()
    this.#tables.slots.endAll((session) => this.#lifecycle.abort(session, Drop.Shutdown, now), now)
    this.#countPool()
  }

  /** The first route that intercept must know, from a session's slot on. */
  routeFrom(slot: number): Route | undefined {
    return this.#tables.slots.routeFrom(slot)
  }

  /**
   * Another tcpcopy has this address and port at the target. A session that is opening with it moves to another port.
   */
  onPortTaken(flow: Flow, now: number): void {
    const session = this.#tables.slots.awake[this.#tables.ports.holder(flow)]
    if (session?.state === SessionState.SynSent) this.#lifecycle.abort(session, Drop.PortTaken, now)
  }

  #countPool(): void {
    this.#context.counters.set(Counter.poolUsedBytes, this.#context.pool.usedBytes)
  }

  /** A connection turns out to use TLS: ends its copies and ignores what follows. @returns why */
  #leaveOutTls(session: Session, segment: Segment, now: number): Drop {
    const copies = this.#tables.copiesOf(session)
    for (const copy of copies) if (copy !== undefined) this.#lifecycle.abort(copy, Drop.Tls, now)
    this.#ignoredFlows.add(segment, session.client.iss, Drop.Tls, now)
    this.#context.counters.drop(Drop.Tls, 1, segment.payloadLength)
    return this.#arrivals.refuseTls(segment)
  }

  /**
   * Passes a segment that the first session of a group has taken to the others.
   * @param mayRestart a request certainly begins with it, so absent copies may start with it
   */
  #giveToCopies(group: CopyGroup, first: Session, segment: Segment, mayRestart: boolean, now: number): void {
    const { counters } = this.#context
    for (let place = 0; place < group.members.length; place++) {
      const member = group.members[place]
      if (member === undefined || member === first) continue
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = member.onSource(segment, now)
      this.ready.add(member)
      if (drop !== Drop.None) counters.drop(drop, 1, 0)
    }
    if (!mayRestart || segment.payloadLength === 0 || segment.flags & (SYN | RST)) return
    // Only a segment at the end of the contiguous stream can start a copy, not one beyond a hole or a retransmission.
    if (first.client.endSequence === add(segment.seq, segment.payloadLength)) {
      this.#admission.restartCopies(group, segment, now)
    }
  }
}

/** A SYN with another initial sequence number starts a new connection. */
function isNewConnection(session: Session, segment: Segment): boolean {
  return (segment.flags & SYN) !== 0 && segment.seq !== session.client.iss
}
