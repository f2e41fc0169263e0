/**
 * All sessions of one worker: finds the session that a packet belongs to, begins and buries them, and steps those
 * whose time has come. Every captured packet ends here in a session or in a named drop.
 */
import { FIN, RST, type Segment, SYN } from '../wire/segment.ts'
import { add } from '../wire/seq.ts'
import { Agenda } from './agenda.ts'
import { Bystanders } from './bystanders.ts'
import { CopyGroup } from './copy-group.ts'
import { Counter } from './counters.ts'
import { Drop } from './drop.ts'
import { relieve } from './eviction.ts'
import { Farewells } from './farewells.ts'
import { FlowTable } from './flow-table.ts'
import type { Mapping } from './mapping.ts'
import { beginningOf, chooseOrigin, isNewConnection, originOfNext } from './origin.ts'
import { PortsPool } from './ports-pool.ts'
import { ReadyList } from './ready-list.ts'
import { Sampling, type Selection, WHOLE } from './sampling.ts'
import { Session } from './session.ts'
import { type Beginning, type PacketTrace, restartDelay, type SessionContext, State } from './session-context.ts'
import { SessionSlots, type Speaker } from './session-slots.ts'
import { replaceInQueue } from './successors.ts'
import { FinishedFlows, mayJoinAgain } from './tombstones.ts'

/** Tombstones buried at most in one turn, so that a turn stays short. */
const BURIALS_MAX = 256

export interface SessionsOptions {
  readonly sessionsMax: number
  readonly mapping: Mapping
  /** Which new flows are copied. */
  readonly selection: Selection
  /** `-f` */
  readonly portShift: number
}

export class Sessions {
  readonly #context: SessionContext
  readonly #options: SessionsOptions
  readonly #trace: PacketTrace | undefined
  readonly #slots: SessionSlots
  /** Captured flow → 2 × slot of its newest session, or the marker of a tombstone (4n + 1) or bystander (4n + 3). */
  readonly #bySource = new FlowTable()
  readonly #ports: PortsPool
  /** By slot; undefined where a connection is copied once. */
  readonly #groups: (CopyGroup | undefined)[] = []
  readonly #finished: FinishedFlows
  readonly #bystanders: Bystanders
  readonly #sampling: Sampling
  readonly #agenda: Agenda
  readonly #farewells = new Farewells()
  readonly ready = new ReadyList()

  /** @param context its `onEnd` is to call `ended` */
  constructor(context: SessionContext, options: SessionsOptions, now: number, trace?: PacketTrace) {
    // Copies of one connection know each other, and stay awake.
    const isCopiedOften = options.selection.copies > WHOLE || options.mapping.isFanOut
    this.#context = isCopiedOften ? { ...context, restAfterMs: Number.POSITIVE_INFINITY } : context
    this.#slots = new SessionSlots(this.#context)
    this.#options = options
    this.#trace = trace
    this.#agenda = new Agenda(this.#slots, context.keepAliveMs, now)
    this.#finished = new FinishedFlows(this.#bySource, context.timeoutMs)
    this.#bystanders = new Bystanders(this.#bySource, context.timeoutMs)
    this.#ports = new PortsPool(options.portShift)
    this.#sampling = new Sampling(options.selection, now)
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.#slots.count
  }

  /** Entries of the tables: flows with a session, a tombstone or a bystander, and ports that are taken. */
  get entryCount(): number {
    return this.#bySource.size + this.#ports.size
  }

  /** Every address that something here has. */
  eachAddress(take: (address: number) => void): void {
    this.#bySource.eachAddress(take)
    this.#ports.eachAddress(take)
    this.#farewells.eachAddress(take)
    this.#context.roundTrips?.eachAddress(take)
  }

  /** The instant by which `onTimer` has to be called. */
  get deadline(): number {
    return Math.min(this.#agenda.deadline, this.#context.frames.rate.nextAt)
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
    const found = this.#bySource.get(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort)
    const session = found >= 0 && found % 2 === 0 ? this.#slots.at(found / 2, now) : undefined
    this.#trace?.captured(segment, session)
    let drop: Drop
    if (session !== undefined && !isNewConnection(session, segment)) {
      drop = session.onSource(segment, now)
      this.ready.add(session)
      if (drop !== Drop.None) counters.drop(drop, 1, 0)
      const group = this.#groups[session.id]
      if (group !== undefined) this.#giveToCopies(group, session, segment, drop === Drop.None, now)
    } else {
      drop = this.#onOtherFlow(segment, found, session, now)
      if (drop !== Drop.None) counters.drop(drop, 1, segment.payloadLength)
    }
    if (drop !== Drop.None) this.#trace?.refused(segment.fromAddress, segment.fromPort, drop)
    return drop
  }

  /** Takes a header that the target sent to a copied client; `settle` acts on it. */
  onTarget(segment: Segment, now: number): Drop {
    const slot = this.#ports.holder(segment.toAddress, segment.toPort, segment.fromAddress, segment.fromPort)
    const session = this.#slots.at(slot, now)
    if (this.#trace !== undefined) this.#trace.answered(segment, session)
    let drop: Drop = Drop.AnswerNoSession
    if (session !== undefined) {
      drop = session.onTarget(segment, now)
      this.ready.add(session)
    } else if (this.#farewells.answer(segment, this.#context.frames)) {
      drop = Drop.None
      this.#context.counters.add(Counter.lateAnswers, 1)
    }
    if (drop === Drop.None) return drop
    this.#context.counters.drop(drop, 1, 0)
    const address = session?.origin.capturedAddress ?? segment.toAddress
    this.#trace?.refused(address, session?.origin.capturedPort ?? segment.toPort, drop)
    return drop
  }

  /** Steps the sessions that took packets, once a batch. @param shouldPause true: the others are left for the next call */
  settle(now: number, shouldPause?: () => boolean): void {
    this.#context.frames.rate.refill(now)
    // A session that starts another's successor adds to the list.
    for (let session = this.ready.take(); session !== undefined; session = this.ready.take()) {
      session.step(now)
      this.#agenda.schedule(session)
      const trace = this.#context.trace
      if (trace !== undefined && session.waitsFor !== '') trace.waits(session, session.waitsFor)
      if (shouldPause?.()) return
    }
  }

  onTimer(now: number): void {
    relieve(this.#slots.awake, this.#context, now)
    const { rate } = this.#context.frames
    rate.refill(now)
    this.#agenda.advance(now)
    for (let session = rate.take(); session !== undefined; session = rate.take()) {
      session.step(now)
      this.#agenda.schedule(session)
    }
    this.#finished.expire(now, BURIALS_MAX)
    this.#bystanders.expire(now, BURIALS_MAX)
    this.#countPool()
  }

  /** Resets every copied connection at its target. */
  shutdown(now: number): void {
    this.#slots.endAll((session) => session.abort(Drop.Shutdown, now), now)
    this.#countPool()
  }

  /** The first session from a slot on whose answers intercept has to know a route for. */
  startedFrom(slot: number): Speaker | undefined {
    return this.#slots.startedFrom(slot)
  }

  /** Another tcpcopy has this address and port at the target: who begins with it here goes on with another port. */
  onPortTaken(clientAddress: number, clientPort: number, target: number, targetPort: number, now: number): void {
    const session = this.#slots.awake[this.#ports.holder(clientAddress, clientPort, target, targetPort)]
    if (session?.state === State.SynSent) session.abort(Drop.PortTaken, now)
  }

  /** For `SessionContext.onEnd`: buries the session, and starts the one that waited for it. */
  ended(session: Session, now: number): void {
    const { id, origin, successor } = session
    const group = this.#groups[id]
    this.#agenda.forget(session)
    if (session.continuation !== undefined) {
      this.#goOn(session, session.continuation, now)
      return
    }
    this.#slots.free(id)
    this.#groups[id] = undefined
    group?.remove(session, mayJoinAgain(session))
    const { capturedAddress: a, capturedPort, sourceAddress: b, sourcePort } = origin
    if (this.#bySource.get(a, capturedPort, b, sourcePort) === id * 2) {
      const heir = group?.first
      if (heir !== undefined) this.#bySource.set(a, capturedPort, b, sourcePort, heir.id * 2)
      else if (mayJoinAgain(session)) this.#bySource.delete(a, capturedPort, b, sourcePort)
      else this.#finished.add(origin, session.isClientDone, now)
    }
    const speaker = this.#ports.holderOf(origin)
    if (speaker !== id) replaceInQueue(session, successor, this.#slots.awake[speaker])
    else this.#handOn(session, successor, now)
  }

  /** Nobody but a successor needs this session's address and port any more. */
  #handOn(session: Session, successor: Session | undefined, now: number): void {
    if (successor === undefined) {
      this.#ports.release(session.origin)
      // What comes for a port that another tcpcopy has is not ours to answer.
      if (session.endReason !== Drop.PortTaken) this.#farewells.add(session)
      this.#context.withdraw(session)
      return
    }
    this.#ports.take(session.origin, successor.id)
    successor.allowStart(now, now)
    this.#agenda.schedule(successor)
  }

  /** Another session takes the place of one that ended before its client: its slot, its flow, its place in the queue. */
  #goOn(session: Session, continuation: Beginning, now: number): void {
    const origin = originOfNext(session, this.#ports)
    const isElsewhere = origin.clientPort !== session.clientPort
    const next = new Session(session.id, origin, continuation, this.#context, now)
    if (!isElsewhere) next.successor = session.successor
    this.#slots.set(next)
    this.#groups[session.id]?.replace(session, next)
    this.#context.counters.add(Counter.sessionsStarted, 1)
    this.#context.counters.add(Counter.sessionsContinued, 1)
    const speaker = this.#ports.holderOf(session)
    if (isElsewhere) {
      this.#context.counters.add(Counter.portsMoved, 1)
      this.#ports.take(origin, next.id)
      this.#handOn(session, session.successor, now)
      next.allowStart(now, now)
    } else if (speaker === session.id) next.allowStart(now + restartDelay(continuation), now)
    else replaceInQueue(session, next, this.#slots.awake[speaker])
    this.#agenda.schedule(next)
  }

  #countPool(): void {
    this.#context.counters.set(Counter.poolUsedBytes, this.#context.pool.usedBytes)
  }

  /** Takes a segment that belongs to no session, or that begins another connection than `previous`. */
  #onOtherFlow(segment: Segment, found: number, previous: Session | undefined, now: number): Drop {
    const isSyn = (segment.flags & SYN) !== 0
    if (found >= 0 && Bystanders.isMarker(found)) {
      const reason = this.#bystanders.onSource(found, segment, now)
      if (reason !== Drop.None) return reason
    } else if (!isSyn && found >= 0) return Drop.AfterEnd
    if (!isSyn && (segment.payloadLength === 0 || segment.flags & RST)) return Drop.NoSession
    const maps = this.#options.mapping.find(segment.toAddress, segment.toPort)
    if (maps.length === 0) return Drop.NotMapped
    let refusal = this.#sampling.refusal(isSyn, now)
    if (refusal === Drop.None) refusal = this.#begin(segment, maps, previous, now)
    else this.#context.counters.add(Counter.flowsLeftOut, 1)
    if (refusal === Drop.None) return refusal
    this.#bystanders.add(segment, refusal, now)
    if (previous !== undefined) this.#supersede(this.#copiesOf(previous), [], now)
    return refusal
  }

  /** Begins the copies of a connection. @returns why there are none */
  #begin(segment: Segment, maps: readonly number[], previous: Session | undefined, now: number): Drop {
    const count = this.#sampling.copies()
    const group = maps.length * count > 1 ? new CopyGroup(maps, count) : undefined
    const copies = previous === undefined ? [] : this.#copiesOf(previous)
    const waitedFor: Session[] = []
    const begun: number[] = []
    let refusal: Drop = Drop.None
    for (const mapIndex of maps) {
      // Only the first copy to a target waits, for the first there: others speak with ports of their own.
      const before = copies.find((one) => one?.origin.copy === 0 && one.origin.mapIndex === mapIndex)
      const drop = this.#add(segment, mapIndex, 0, before, group, now)
      if (drop !== Drop.None) refusal = drop
      else begun.push(mapIndex)
      if (drop === Drop.None && before !== undefined) waitedFor.push(before)
    }
    if (begun.length === 0) return refusal
    this.#context.counters.add(Counter.capturedPayloadBytes, segment.payloadLength * (begun.length - 1))
    this.#refuseCopies((maps.length - begun.length) * count, refusal)
    this.#supersede(copies, waitedFor, now)
    for (const mapIndex of begun) this.#addCopies(segment, mapIndex, count, group, now)
    return Drop.None
  }

  /** Begins the second, third … copy to a target. */
  #addCopies(segment: Segment, mapIndex: number, count: number, group: CopyGroup | undefined, now: number): void {
    for (let copy = 1; copy < count; copy++) {
      const drop = this.#add(segment, mapIndex, copy, undefined, group, now)
      // What this one did not find the next will not find either.
      if (drop !== Drop.None) {
        this.#refuseCopies(count - copy, drop)
        return
      }
      this.#context.counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    }
  }

  #refuseCopies(count: number, drop: Drop): void {
    this.#context.counters.add(Counter.copiesRefused, count)
    this.#context.counters.drop(drop, count, 0)
  }

  /** Begins a session. @param before a session with its address and port, for whose end it waits */
  #add(
    segment: Segment,
    mapIndex: number,
    copy: number,
    before: Session | undefined,
    group: CopyGroup | undefined,
    now: number
  ): Drop {
    const { counters } = this.#context
    if (this.count >= this.#options.sessionsMax) return Drop.TableFull
    const { mapping } = this.#options
    if (copy === 0 && before === undefined) this.#displace(segment, mapping, mapIndex, now)
    const origin = chooseOrigin(segment, mapIndex, copy, before?.clientPort, mapping, this.#ports)
    if (origin === undefined) return Drop.NoFreePort
    const slot = this.#slots.take()
    const session = new Session(slot, origin, beginningOf(segment, origin.isJoined), this.#context, now)
    this.#slots.set(session)
    this.#groups[slot] = group
    if (group?.first === undefined) {
      this.#bySource.set(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort, slot * 2)
    }
    group?.add(session)
    counters.add(Counter.sessionsStarted, 1)
    if (origin.isJoined) counters.add(Counter.sessionsJoined, 1)
    if (copy > 0) counters.add(Counter.copiesStarted, 1)
    if (before === undefined) {
      this.#ports.take(origin, slot)
      session.allowStart(now, now)
    } else {
      counters.add(Counter.sessionsWaited, 1)
      before.supersede(session, now)
      this.#agenda.schedule(before)
    }
    if (segment.payloadLength > 0) session.onSource(segment, now)
    this.#agenda.schedule(session)
    return Drop.None
  }

  /** A copy beyond the first that has the port of a client who comes now: it ends, and begins again elsewhere. */
  #displace({ fromAddress, fromPort }: Segment, mapping: Mapping, mapIndex: number, now: number): void {
    const map = mapping.maps[mapIndex]
    if (map === undefined) return
    const address = mapping.clientAddress(fromAddress, map.targetAddress)
    const holder = this.#slots.at(this.#ports.holder(address, fromPort, map.targetAddress, map.targetPort), now)
    if (holder === undefined || holder.origin.copy === 0) return
    this.#context.counters.add(Counter.copiesMoved, 1)
    holder.abort(Drop.Displaced, now)
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
    if (first.stream.end === add(segment.seq, segment.payloadLength)) this.#beginAgain(group, segment, now)
  }

  #beginAgain(group: CopyGroup, segment: Segment, now: number): void {
    const { counters } = this.#context
    for (let place = group.absent.pop(); place !== undefined; place = group.absent.pop()) {
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = this.#add(segment, group.mapAt(place), group.copyAt(place), undefined, group, now)
      if (drop === Drop.None) continue
      counters.add(Counter.copiesRefused, 1)
      counters.drop(drop, 1, segment.payloadLength)
    }
  }

  /** All copies of a session's connection, as they are now: by number. */
  #copiesOf(session: Session): (Session | undefined)[] {
    return [...(this.#groups[session.id]?.members ?? [session])]
  }

  /** Another connection has begun with the same address and port: all copies but those waited for are to end. */
  #supersede(copies: (Session | undefined)[], waitedFor: readonly Session[], now: number): void {
    for (const session of copies) {
      if (session === undefined || waitedFor.includes(session) || session.state === State.Closed) continue
      session.supersede(undefined, now)
      this.#agenda.schedule(session)
    }
  }
}
