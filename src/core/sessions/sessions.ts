/**
 * All sessions of one worker: finds the session that a packet belongs to, begins and buries them, and steps those
 * whose time has come. Every captured packet ends here in a session or in a named drop.
 */
import { FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { ReadyList } from '../memory/ready-list.ts'
import type { Mapping } from '../selection/mapping.ts'
import { PortsPool } from '../selection/ports-pool.ts'
import { Sampling, type Selection, WHOLE } from '../selection/sampling.ts'
import type { WorkerShare } from '../selection/worker-share.ts'
import { IdlePolicy } from '../session/idle-policy.ts'
import { restartDelay } from '../session/reconnect.ts'
import { Session } from '../session/session.ts'
import { type PacketTrace, type SessionContext, type SessionStart, State } from '../session/session-context.ts'
import { isNewConnection, nextIdentity } from '../target/copied-identity.ts'
import { TimeWait } from '../target/time-wait.ts'
import { Admission } from './admission.ts'
import { ClosedFlows, mayJoinAgain } from './closed-flows.ts'
import type { CopyGroup } from './copy-group.ts'
import { relieve } from './eviction.ts'
import { IgnoredFlows } from './ignored-flows.ts'
import { PendingSyns } from './pending-syns.ts'
import type { Speaker } from './session-slots.ts'
import { SessionTables } from './session-tables.ts'
import { replaceInQueue } from './successors.ts'

/** ExpiryQueue buried at most in one turn, so that a turn stays short. */
const BURIALS_MAX = 256

export interface SessionsOptions {
  readonly sessionsMax: number
  readonly mapping: Mapping
  /** Which new flows are copied. */
  readonly selection: Selection
  /** `-f` */
  readonly portShift: number
  /** Undefined: there is one worker. */
  readonly share?: WorkerShare
}

export class Sessions {
  readonly #context: SessionContext
  readonly #options: SessionsOptions
  readonly #trace: PacketTrace | undefined
  readonly #tables: SessionTables
  readonly #admission: Admission
  readonly #closedFlows: ClosedFlows
  readonly #ignoredFlows: IgnoredFlows
  readonly #pendingSyns = new PendingSyns()
  readonly #sampling: Sampling
  readonly #timeWait = new TimeWait()
  readonly ready = new ReadyList()

  /** @param context its `onEnd` is to call `ended` */
  constructor(context: SessionContext, options: SessionsOptions, now: number, trace?: PacketTrace) {
    // Copies of one connection know each other, and stay awake.
    const isCopiedOften = options.selection.copies > WHOLE || options.mapping.isFanOut
    this.#context = isCopiedOften ? { ...context, idlePolicy: new IdlePolicy(Number.POSITIVE_INFINITY) } : context
    this.#tables = new SessionTables(this.#context, new PortsPool(options.portShift, options.share), now)
    this.#options = options
    this.#trace = trace
    this.#closedFlows = new ClosedFlows(this.#tables.bySource, context.timeoutMs)
    this.#ignoredFlows = new IgnoredFlows(this.#tables.bySource, context.timeoutMs)
    this.#sampling = new Sampling(options.selection, now, options.share?.sampling)
    const { mapping, sessionsMax } = options
    this.#admission = new Admission(this.#context, this.#tables, mapping, this.#sampling, sessionsMax)
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.#tables.slots.count
  }

  /** Entries of the tables: flows with a session, a tombstone or an ignored flow, and ports that are taken. */
  get entryCount(): number {
    return this.#tables.bySource.size + this.#tables.ports.size
  }

  /** Every address that something here has. */
  eachAddress(take: (address: number) => void): void {
    this.#tables.bySource.eachAddress(take)
    this.#tables.ports.eachAddress(take)
    this.#pendingSyns.eachAddress(take)
    this.#timeWait.eachAddress(take)
    this.#context.roundTrips?.eachAddress(take)
  }

  /** The instant by which `onTimer` has to be called. */
  get deadline(): number {
    return Math.min(this.#tables.deadlines.deadline, this.#context.frames.rate.nextAt)
  }

  /** Takes a checked segment that a client sent to a source; `settle` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    const { counters, pool } = this.#context
    pool.now = now
    counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    if (segment.flags & SYN && segment.flags & (FIN | RST)) {
      counters.drop(Drop.BadFlags, 1, segment.payloadLength)
      return Drop.BadFlags
    }
    if (this.#pendingSyns.size > 0) this.#beginHeld(segment, now)
    const found = this.#tables.find(segment)
    const session = this.#tables.sessionAt(found, now)
    this.#trace?.captured(segment, session)
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
    if (drop !== Drop.None) this.#trace?.refused(segment.fromAddress, segment.fromPort, drop)
    return drop
  }

  /** A SYN came for a connection that may live. */
  #hold(segment: Segment, session: Session, now: number): Drop {
    // It may have been woken for this.
    this.#tables.deadlines.schedule(session)
    return this.#pendingSyns.hold(segment, now) ? Drop.SynHeld : Drop.TableFull
  }

  /** Begins the connection whose SYN was held, if this segment shows that the source took it. */
  #beginHeld(segment: Segment, now: number): void {
    const found = this.#tables.find(segment)
    const session = this.#tables.sessionAt(found, now)
    const syn = this.#pendingSyns.takeFor(segment, session?.stream.end)
    if (syn === undefined) return
    const drop = this.#onOtherFlow(syn, found, session, now)
    if (drop !== Drop.None) this.#context.counters.drop(drop, 1, 0)
  }

  /** Takes a header that the target sent to a copied client; `settle` acts on it. */
  onTarget(segment: Segment, now: number): Drop {
    const slot = this.#tables.ports.holder(segment.toAddress, segment.toPort, segment.fromAddress, segment.fromPort)
    const session = this.#tables.slots.at(slot, now)
    if (this.#trace !== undefined) this.#trace.answered(segment, session)
    let drop: Drop = Drop.AnswerNoSession
    if (session !== undefined) {
      drop = session.onTarget(segment, now)
      this.ready.add(session)
    } else if (this.#timeWait.answer(segment, this.#context.frames)) {
      drop = Drop.None
      this.#context.counters.add(Counter.lateAnswers, 1)
    }
    if (drop === Drop.None) return drop
    this.#context.counters.drop(drop, 1, 0)
    const address = session?.identity.capturedAddress ?? segment.toAddress
    this.#trace?.refused(address, session?.identity.capturedPort ?? segment.toPort, drop)
    return drop
  }

  /** Steps the sessions that took packets, once a batch. @param shouldPause true: the others are left for the next call */
  settle(now: number, shouldPause?: () => boolean): void {
    this.#context.frames.rate.refill(now)
    // A session that starts another's successor adds to the list.
    for (let session = this.ready.take(); session !== undefined; session = this.ready.take()) {
      session.step(now)
      this.#tables.deadlines.schedule(session)
      const trace = this.#context.trace
      if (trace !== undefined && session.waitsFor !== '') trace.waits(session, session.waitsFor)
      if (shouldPause?.()) return
    }
  }

  onTimer(now: number): void {
    relieve(this.#tables.slots.awake, this.#context, now)
    const { rate } = this.#context.frames
    rate.refill(now)
    this.#tables.deadlines.advance(now)
    for (let session = rate.take(); session !== undefined; session = rate.take()) {
      session.step(now)
      this.#tables.deadlines.schedule(session)
    }
    this.#closedFlows.expire(now, BURIALS_MAX)
    this.#ignoredFlows.expire(now, BURIALS_MAX)
    this.#pendingSyns.expire(now, BURIALS_MAX)
    this.#countPool()
  }

  /** Resets every copied connection at its target. */
  shutdown(now: number): void {
    this.#tables.slots.endAll((session) => session.abort(Drop.Shutdown, now), now)
    this.#countPool()
  }

  /** The first session from a slot on whose answers intercept has to know a route for. */
  startedFrom(slot: number): Speaker | undefined {
    return this.#tables.slots.startedFrom(slot)
  }

  /** Another tcpcopy has this address and port at the target: who begins with it here goes on with another port. */
  onPortTaken(clientAddress: number, clientPort: number, target: number, targetPort: number, now: number): void {
    const session = this.#tables.slots.awake[this.#tables.ports.holder(clientAddress, clientPort, target, targetPort)]
    if (session?.state === State.SynSent) session.abort(Drop.PortTaken, now)
  }

  /** For `SessionContext.onEnd`: buries the session, and starts the one that waited for it. */
  ended(session: Session, now: number): void {
    const { id, identity, successor } = session
    const group = this.#tables.groups[id]
    this.#tables.deadlines.forget(session)
    if (session.continuation !== undefined) {
      this.#goOn(session, session.continuation, now)
      return
    }
    this.#tables.slots.free(id)
    this.#tables.groups[id] = undefined
    group?.remove(session, mayJoinAgain(session))
    const { capturedAddress: a, capturedPort, sourceAddress: b, sourcePort } = identity
    if (this.#tables.bySource.get(a, capturedPort, b, sourcePort) === id * 2) {
      const heir = group?.first
      if (heir !== undefined) this.#tables.bySource.set(a, capturedPort, b, sourcePort, heir.id * 2)
      else if (mayJoinAgain(session)) this.#tables.bySource.delete(a, capturedPort, b, sourcePort)
      else this.#closedFlows.add(identity, session.isClientDone, now)
    }
    const speaker = this.#tables.ports.holderOf(identity)
    if (speaker !== id) replaceInQueue(session, successor, this.#tables.slots.awake[speaker])
    else this.#handOn(session, successor, now)
  }

  /** Nobody but a successor needs this session's address and port any more. */
  #handOn(session: Session, successor: Session | undefined, now: number): void {
    if (successor === undefined) {
      this.#tables.ports.release(session.identity)
      // What comes for a port that another tcpcopy has is not ours to answer.
      if (session.endReason !== Drop.PortTaken) this.#timeWait.add(session)
      this.#context.withdraw(session)
      return
    }
    this.#tables.ports.take(session.identity, successor.id)
    successor.allowStart(now, now)
    this.#tables.deadlines.schedule(successor)
  }

  /** Another session takes the place of one that ended before its client: its slot, its flow, its place in the queue. */
  #goOn(session: Session, continuation: SessionStart, now: number): void {
    const identity = nextIdentity(session, this.#tables.ports)
    const isElsewhere = identity.clientPort !== session.clientPort
    const next = new Session(session.id, identity, continuation, this.#context, now)
    if (!isElsewhere) next.successor = session.successor
    this.#tables.slots.set(next)
    this.#tables.groups[session.id]?.replace(session, next)
    this.#context.counters.add(Counter.sessionsStarted, 1)
    this.#context.counters.add(Counter.sessionsContinued, 1)
    const speaker = this.#tables.ports.holderOf(session)
    if (isElsewhere) {
      this.#context.counters.add(Counter.portsMoved, 1)
      this.#tables.ports.take(identity, next.id)
      this.#handOn(session, session.successor, now)
      next.allowStart(now, now)
    } else if (speaker === session.id) next.allowStart(now + restartDelay(continuation), now)
    else replaceInQueue(session, next, this.#tables.slots.awake[speaker])
    this.#tables.deadlines.schedule(next)
  }

  #countPool(): void {
    this.#context.counters.set(Counter.poolUsedBytes, this.#context.pool.usedBytes)
  }

  /** Takes a segment that belongs to no session, or that begins another connection than `previous`. */
  #onOtherFlow(segment: Segment, found: number, previous: Session | undefined, now: number): Drop {
    const isSyn = (segment.flags & SYN) !== 0
    if (found >= 0 && IgnoredFlows.isMarker(found)) {
      const reason = this.#ignoredFlows.onSource(found, segment, now)
      if (reason !== Drop.None) return reason
    } else if (!isSyn && found >= 0) return Drop.AfterEnd
    if (!isSyn && (segment.payloadLength === 0 || segment.flags & RST)) return Drop.NoSession
    const maps = this.#options.mapping.find(segment.toAddress, segment.toPort)
    if (maps.length === 0) return Drop.NotMapped
    let refusal = this.#sampling.refusal(isSyn, now)
    if (refusal === Drop.None) refusal = this.#admission.begin(segment, maps, previous, now)
    else this.#context.counters.add(Counter.flowsLeftOut, 1)
    if (refusal === Drop.None) return refusal
    this.#ignoredFlows.add(segment, refusal, now)
    if (previous !== undefined) this.#admission.supersede(this.#tables.copiesOf(previous), [], now)
    return refusal
  }

  /** Gives a segment that the first of a group has taken to the others. @param isNew it brought something new */
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
    // Only where the stream goes on: what comes beyond a hole, or once more, is no place to begin.
    if (first.stream.end === add(segment.seq, segment.payloadLength)) this.#admission.beginAgain(group, segment, now)
  }
}
