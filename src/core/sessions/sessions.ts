/**
 * Manages all sessions of one worker: passes each packet to its session, starts and removes sessions, and steps those
 * that are due. Every captured packet ends here in a session or in a named drop.
 */
import type { Flow } from '../../wire/flow.ts'
import { FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { Mapping } from '../selection/mapping.ts'
import type { PortsPool } from '../selection/ports-pool.ts'
import type { Sampling } from '../selection/sampling.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { SessionState } from '../session/session-state.ts'
import type { Route } from '../target/raw/route-events.ts'
import { Admission } from './admission.ts'
import { ClosedFlows } from './closed-flows.ts'
import type { CopyGroup } from './copy-group.ts'
import { relieve } from './eviction.ts'
import { ignoredIdOf } from './flow-entries.ts'
import { IgnoredFlows } from './ignored-flows.ts'
import { Lifecycle } from './lifecycle.ts'
import { PendingSyns } from './pending-syns.ts'
import { ReadyList } from './ready-list.ts'
import { SessionTables } from './session-tables.ts'

/** Most flows of each kind that expire in one turn, so that a turn stays short. */
const EXPIRIES_MAX = 256

/** The parts that choose which connections are copied, and their copied identities. */
export interface Selecting {
  readonly mapping: Mapping
  readonly sampling: Sampling
  readonly ports: PortsPool
  readonly sessionsMax: number
}

/** @typeParam Answer what the hub receives from targets */
export class Sessions<Answer> {
  readonly ready = new ReadyList()
  readonly #context: SessionContext<Answer>
  readonly #mapping: Mapping
  readonly #sampling: Sampling
  readonly #tables: SessionTables
  readonly #lifecycle: Lifecycle
  readonly #admission: Admission
  readonly #closedFlows: ClosedFlows
  readonly #ignoredFlows: IgnoredFlows
  readonly #pendingSyns = new PendingSyns()
  #now: number
  readonly #onDue = (slot: number): void => this.#step(slot)

  constructor(context: SessionContext<Answer>, { mapping, sampling, ports, sessionsMax }: Selecting, now: number) {
    const { timeoutMs } = context.settings
    const shared: SessionContext<never> = context
    this.#context = context
    this.#mapping = mapping
    this.#sampling = sampling
    this.#now = now
    this.#tables = new SessionTables(shared, ports, now)
    this.#closedFlows = new ClosedFlows(this.#tables.bySource, timeoutMs)
    this.#ignoredFlows = new IgnoredFlows(this.#tables.bySource, timeoutMs)
    this.#lifecycle = new Lifecycle(shared, this.#tables, this.#closedFlows)
    this.#admission = new Admission(shared, this.#tables, mapping, sampling, sessionsMax, this.#lifecycle)
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
    this.#pendingSyns.eachAddress(take)
    this.#context.hub.eachAddress(take)
    this.#context.roundTrips?.eachAddress(take)
    this.#context.loops?.eachAddress(take)
  }

  /** When `onTimer` must be called at the latest. */
  get deadline(): number {
    return Math.min(this.#tables.deadlines.next, this.#context.rate.nextAt)
  }

  /** Takes a valid segment from a client to the source. `settle` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    const { counters, pool, trace } = this.#context
    pool.now = now
    counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    if (segment.flags & SYN && segment.flags & (FIN | RST)) {
      counters.drop(Drop.BadFlags, 1, segment.payloadLength)
      return Drop.BadFlags
    }
    if (this.#pendingSyns.size > 0) this.#beginPending(segment, now)
    const found = this.#tables.find(segment)
    const session = this.#tables.sessionAt(found, now)
    trace?.captured(segment, session?.state)
    let drop: Drop
    if (session !== undefined && !isNewConnection(session, segment)) {
      drop = session.onSource(segment, now)
      this.ready.add(session)
      if (drop !== Drop.None) counters.drop(drop, 1, 0)
      const group = this.#tables.groups[session.id]
      if (group !== undefined) this.#giveToCopies(group, session, segment, drop === Drop.None, now)
    } else {
      const isDoubtful = session !== undefined && !session.isClientDone
      drop = isDoubtful ? this.#hold(segment, session, now) : this.#onOtherFlow(segment, found, session, now)
      if (drop !== Drop.None) counters.drop(drop, 1, segment.payloadLength)
    }
    if (drop !== Drop.None) trace?.refused(segment.fromAddress, segment.fromPort, drop)
    else if (segment.payloadLength > 0) this.#context.loops?.sawRequest(segment, now)
    return drop
  }

  /** Holds a SYN for a connection that may still be alive. */
  #hold(segment: Segment, session: Session, now: number): Drop {
    // The session may have been woken for this, so its deadline must be armed.
    this.#lifecycle.settle(session, now)
    return this.#pendingSyns.hold(segment, now) ? Drop.SynHeld : Drop.TableFull
  }

  /** Starts the connection of a pending SYN if this segment shows that the source accepted it. */
  #beginPending(segment: Segment, now: number): void {
    const found = this.#tables.find(segment)
    const session = this.#tables.sessionAt(found, now)
    const syn = this.#pendingSyns.takeFor(segment, session?.client.endSequence)
    if (syn === undefined) return
    const drop = this.#onOtherFlow(syn, found, session, now)
    if (drop !== Drop.None) this.#context.counters.drop(drop, 1, 0)
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
    relieve(slots.awake, this.#context, this.#lifecycle, now)
    rate.refill(now)
    deadlines.advance(now, this.#onDue)
    for (let slot = rate.take(); slot >= 0; slot = rate.take()) {
      const session = slots.awake[slot]
      if (session === undefined) continue
      session.step(now)
      this.#lifecycle.settle(session, now)
    }
    this.#closedFlows.expire(now, EXPIRIES_MAX)
    this.#ignoredFlows.expire(now, EXPIRIES_MAX)
    this.#pendingSyns.expire(now, EXPIRIES_MAX)
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

  /** Resets every copied connection at its target. */
  shutdown(now: number): void {
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

  /** Takes a segment without a session, or a SYN that starts a new connection after `previous`. */
  #onOtherFlow(segment: Segment, found: number, previous: Session | undefined, now: number): Drop {
    const isSyn = (segment.flags & SYN) !== 0
    const ignored = ignoredIdOf(found)
    if (ignored >= 0) {
      const reason = this.#ignoredFlows.take(ignored, segment, now)
      if (reason !== Drop.None) return reason
    } else if (!isSyn && found >= 0) return Drop.AfterEnd
    if (!isSyn && (segment.payloadLength === 0 || segment.flags & RST)) return Drop.NoSession
    const maps = this.#mapping.find(segment.toAddress, segment.toPort)
    if (maps.length === 0) return Drop.NotMapped
    let refusal = this.#context.loops?.refusal(segment, now) ?? this.#leavesOut(isSyn, now)
    if (refusal === Drop.None) refusal = this.#admission.begin(segment, maps, previous, now)
    if (refusal === Drop.None) return refusal
    this.#ignoredFlows.add(segment, refusal, now)
    if (previous !== undefined) this.#admission.supersede(this.#tables.copiesOf(previous), [], now)
    return refusal
  }

  #leavesOut(isSyn: boolean, now: number): Drop {
    const refusal = this.#sampling.refusal(isSyn, now)
    if (refusal !== Drop.None) this.#context.counters.add(Counter.flowsLeftOut, 1)
    return refusal
  }

  /**
   * Passes a segment that the first session of a group has taken to the others.
   * @param isNew it contained anything new
   */
  #giveToCopies(group: CopyGroup, first: Session, segment: Segment, isNew: boolean, now: number): void {
    const { counters } = this.#context
    for (let place = 0; place < group.members.length; place++) {
      const member = group.members[place]
      if (member === undefined || member === first) continue
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = member.onSource(segment, now)
      this.ready.add(member)
      if (drop !== Drop.None) counters.drop(drop, 1, 0)
    }
    if (group.absent.length === 0 || !isNew || segment.payloadLength === 0 || segment.flags & (SYN | RST)) return
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
