/**
 * All sessions of one worker: finds the session that a packet belongs to, begins and buries them, and steps those
 * whose time has come. Every captured packet ends here in a session or in a named drop.
 */
import { RST, type Segment, SYN } from '../wire/segment.ts'
import { add } from '../wire/seq.ts'
import { Bystanders } from './bystanders.ts'
import { CopyGroup } from './copy-group.ts'
import { Counter } from './counters.ts'
import { Drop } from './drop.ts'
import { relieve } from './eviction.ts'
import { FlowTable } from './flow-table.ts'
import type { CopyMap, Mapping } from './mapping.ts'
import { beginningOf, isNewConnection, originOf, originOfCopy, originOfNext } from './origin.ts'
import { PortsPool } from './ports-pool.ts'
import { ReadyList } from './ready-list.ts'
import { Sampling, type Selection } from './sampling.ts'
import { Session } from './session.ts'
import {
  type Beginning,
  type Origin,
  type PacketTrace,
  restartDelay,
  type SessionContext,
  State
} from './session-context.ts'
import { replaceInQueue } from './successors.ts'
import { TimerWheel } from './timer-wheel.ts'
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
  /** By slot; a slot of an ended session is used again. */
  readonly #slots: (Session | undefined)[] = []
  readonly #freeSlots: number[] = []
  /** Captured flow → 2 × slot of its newest session, or the marker of a tombstone (4n + 1) or bystander (4n + 3). */
  readonly #bySource = new FlowTable()
  readonly #ports: PortsPool
  /** By slot; undefined where a connection is copied once. */
  readonly #groups: (CopyGroup | undefined)[] = []
  readonly #finished: FinishedFlows
  readonly #bystanders: Bystanders
  readonly #sampling: Sampling
  readonly #wheel: TimerWheel
  readonly #ready = new ReadyList()
  #now = 0
  readonly #fire = (entry: number): void => this.#onDue(entry)

  /** @param context its `onEnd` is to call `ended` */
  constructor(context: SessionContext, options: SessionsOptions, now: number, trace?: PacketTrace) {
    this.#context = context
    this.#options = options
    this.#trace = trace
    this.#wheel = new TimerWheel(now)
    this.#finished = new FinishedFlows(this.#bySource, context.timeoutMs)
    this.#bystanders = new Bystanders(this.#bySource, context.timeoutMs)
    this.#ports = new PortsPool(options.portShift)
    this.#sampling = new Sampling(options.selection, now)
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.#slots.length - this.#freeSlots.length
  }

  /** Entries of the tables: flows with a session, a tombstone or a bystander, and ports that are taken. */
  get entryCount(): number {
    return this.#bySource.size + this.#ports.size
  }

  /** Every address that something here has. */
  eachAddress(take: (address: number) => void): void {
    this.#bySource.eachAddress(take)
    this.#ports.eachAddress(take)
  }

  /** The instant by which `onTimer` has to be called. */
  get deadline(): number {
    return this.#wheel.next()
  }

  /** Takes a checked segment that a client sent to a source; `settle` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    const { counters, pool } = this.#context
    pool.now = now
    counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    const found = this.#bySource.get(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort)
    const session = found >= 0 && found % 2 === 0 ? this.#slots[found / 2] : undefined
    this.#trace?.captured(segment, session)
    let drop: Drop
    if (session !== undefined && !isNewConnection(session, segment)) {
      drop = session.onSource(segment, now)
      this.#ready.add(session)
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
    const session = slot >= 0 ? this.#slots[slot] : undefined
    if (this.#trace !== undefined) this.#trace.answered(segment, session)
    const drop = session?.onTarget(segment, now) ?? Drop.AnswerNoSession
    if (session !== undefined) this.#ready.add(session)
    if (drop === Drop.None) return drop
    this.#context.counters.drop(drop, 1, 0)
    const address = session?.origin.capturedAddress ?? segment.toAddress
    this.#trace?.refused(address, session?.origin.capturedPort ?? segment.toPort, drop)
    return drop
  }

  /** Steps the sessions that took packets: once a batch, however many they took. */
  settle(now: number): void {
    // A session that starts another's successor adds to the list.
    for (let session = this.#ready.take(); session !== undefined; session = this.#ready.take()) {
      session.step(now)
      this.#schedule(session)
      const trace = this.#context.trace
      if (trace !== undefined && session.waitsFor !== '') trace.waits(session, session.waitsFor)
    }
  }

  onTimer(now: number): void {
    this.#now = now
    relieve(this.#slots, this.#context, now)
    this.#wheel.advance(now, this.#fire)
    this.#finished.expire(now, BURIALS_MAX)
    this.#bystanders.expire(now, BURIALS_MAX)
    this.#countPool()
  }

  /** Resets every copied connection at its target; first those go that would begin when another ends. */
  shutdown(now: number): void {
    for (const session of this.#slots) if (session?.state === State.Waiting) session.abort(Drop.Shutdown, now)
    for (const session of this.#slots) session?.abort(Drop.Shutdown, now)
    this.#countPool()
  }

  /** The first session from a slot on whose answers intercept has to know a route for. */
  startedFrom(slot: number): Session | undefined {
    for (let index = slot; index < this.#slots.length; index++) {
      const session = this.#slots[index]
      if (session !== undefined && session.state !== State.Waiting) return session
    }
    return undefined
  }

  /** Another tcpcopy has this address and port at the target: who begins with it here goes on with another port. */
  onPortTaken(clientAddress: number, clientPort: number, target: number, targetPort: number, now: number): void {
    const session = this.#slots[this.#ports.holder(clientAddress, clientPort, target, targetPort)]
    if (session?.state === State.SynSent) session.abort(Drop.PortTaken, now)
  }

  /** For `SessionContext.onEnd`: buries the session, and starts the one that waited for it. */
  ended(session: Session, now: number): void {
    const { id, origin, successor } = session
    const group = this.#groups[id]
    this.#wheel.disarm(id)
    if (session.continuation !== undefined) {
      this.#goOn(session, session.continuation, now)
      return
    }
    this.#slots[id] = undefined
    this.#groups[id] = undefined
    this.#freeSlots.push(id)
    group?.remove(session, mayJoinAgain(session))
    const { capturedAddress: a, capturedPort, sourceAddress: b, sourcePort } = origin
    if (this.#bySource.get(a, capturedPort, b, sourcePort) === id * 2) {
      const heir = group?.first
      if (heir !== undefined) this.#bySource.set(a, capturedPort, b, sourcePort, heir.id * 2)
      else if (mayJoinAgain(session)) this.#bySource.delete(a, capturedPort, b, sourcePort)
      else this.#finished.add(origin, session.isClientDone, now)
    }
    const speaker = this.#ports.holderOf(origin)
    if (speaker !== id) replaceInQueue(session, successor, this.#slots[speaker])
    else this.#handOn(session, successor, now)
  }

  /** Nobody but a successor needs this session's address and port any more. */
  #handOn(session: Session, successor: Session | undefined, now: number): void {
    if (successor === undefined) {
      this.#ports.release(session.origin)
      this.#context.withdraw(session)
      return
    }
    this.#ports.take(session.origin, successor.id)
    successor.allowStart(now, now)
    this.#schedule(successor)
  }

  /** Another session takes the place of one that ended before its client: its slot, its flow, its place in the queue. */
  #goOn(session: Session, continuation: Beginning, now: number): void {
    const origin = originOfNext(session, this.#ports)
    const isElsewhere = origin.clientPort !== session.clientPort
    const next = new Session(session.id, origin, continuation, this.#context, now)
    if (!isElsewhere) next.successor = session.successor
    this.#slots[session.id] = next
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
    else replaceInQueue(session, next, this.#slots[speaker])
    this.#schedule(next)
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
    const mapIndex = this.#options.mapping.find(segment.toAddress, segment.toPort)
    if (mapIndex < 0) return Drop.NotMapped
    let refusal = this.#sampling.refusal(isSyn, now)
    if (refusal === Drop.None) refusal = this.#begin(segment, mapIndex, previous, now)
    else this.#context.counters.add(Counter.flowsLeftOut, 1)
    if (refusal === Drop.None) return refusal
    this.#bystanders.add(segment, refusal, now)
    if (previous !== undefined) this.#supersede(this.#copiesOf(previous), undefined, now)
    return refusal
  }

  /** Begins the copies of a connection; the first decides whether there are any. */
  #begin(segment: Segment, mapIndex: number, previous: Session | undefined, now: number): Drop {
    const count = this.#sampling.copies()
    const group = count > 1 ? new CopyGroup(count) : undefined
    // Only the first copy waits, for the first: others speak with ports of their own.
    const copies = previous === undefined ? [] : this.#copiesOf(previous)
    const before = copies[0]
    const refusal = this.#add(segment, mapIndex, 0, before, group, now)
    if (refusal !== Drop.None) return refusal
    this.#supersede(copies, before, now)
    for (let copy = 1; copy < count; copy++) {
      const drop = this.#add(segment, mapIndex, copy, undefined, group, now)
      if (drop === Drop.None) {
        this.#context.counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
        continue
      }
      // What this one did not find the next will not find either.
      this.#context.counters.add(Counter.copiesRefused, count - copy)
      this.#context.counters.drop(drop, count - copy, 0)
      break
    }
    return Drop.None
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
    const origin = this.#chooseOrigin(segment, mapIndex, copy, before, now)
    if (origin === undefined) return Drop.NoFreePort
    const slot = this.#freeSlots.pop() ?? this.#slots.length
    const session = new Session(slot, origin, beginningOf(segment, origin.isJoined), this.#context, now)
    this.#slots[slot] = session
    this.#groups[slot] = group
    if (group?.first === undefined) {
      this.#bySource.set(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort, slot * 2)
    }
    if (group !== undefined) group.members[copy] = session
    counters.add(Counter.sessionsStarted, 1)
    if (origin.isJoined) counters.add(Counter.sessionsJoined, 1)
    if (copy > 0) counters.add(Counter.copiesStarted, 1)
    if (before === undefined) {
      this.#ports.take(origin, slot)
      session.allowStart(now, now)
    } else {
      counters.add(Counter.sessionsWaited, 1)
      before.supersede(session, now)
      this.#schedule(before)
    }
    if (segment.payloadLength > 0) session.onSource(segment, now)
    this.#schedule(session)
    return Drop.None
  }

  /** Chooses as whom a session speaks. @returns undefined if no port is left */
  #chooseOrigin(
    segment: Segment,
    mapIndex: number,
    copy: number,
    before: Session | undefined,
    now: number
  ): Origin | undefined {
    const { mapping } = this.#options
    const map = mapping.maps[mapIndex]
    if (map === undefined) return undefined
    const { fromAddress, fromPort } = segment
    if (copy > 0) return originOfCopy(segment, mapIndex, mapping, copy, this.#ports)
    const address = mapping.clientAddress(fromAddress, map.targetAddress)
    if (before === undefined) this.#displace(address, fromPort, map, now)
    const port = before?.clientPort ?? this.#ports.forClient(address, fromPort, map)
    return port === 0 || address === 0 ? undefined : originOf(segment, mapIndex, map, copy, address, port)
  }

  /** A copy beyond the first that has the port of a client who comes now: it ends, and begins again elsewhere. */
  #displace(address: number, port: number, map: CopyMap, now: number): void {
    const holder = this.#slots[this.#ports.holder(address, port, map.targetAddress, map.targetPort)]
    if (holder === undefined || holder.origin.copy === 0) return
    this.#context.counters.add(Counter.copiesMoved, 1)
    holder.abort(Drop.Displaced, now)
  }

  /** Gives a segment that the first of a group has taken to the others. @param isNew it brought something new */
  #giveToCopies(group: CopyGroup, first: Session, segment: Segment, isNew: boolean, now: number): void {
    const { counters } = this.#context
    for (let copy = 0; copy < group.members.length; copy++) {
      const member = group.members[copy]
      if (member === undefined || member === first) continue
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = member.onSource(segment, now)
      this.#ready.add(member)
      if (drop !== Drop.None) counters.drop(drop, 1, 0)
    }
    if (group.absent.length === 0 || !isNew || segment.payloadLength === 0 || segment.flags & (SYN | RST)) return
    // Only where the stream goes on: what comes beyond a hole, or once more, is no place to begin.
    if (first.stream.end === add(segment.seq, segment.payloadLength)) this.#beginAgain(group, first, segment, now)
  }

  #beginAgain(group: CopyGroup, first: Session, segment: Segment, now: number): void {
    const { counters } = this.#context
    for (let copy = group.absent.pop(); copy !== undefined; copy = group.absent.pop()) {
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = this.#add(segment, first.origin.mapIndex, copy, undefined, group, now)
      if (drop === Drop.None) continue
      counters.add(Counter.copiesRefused, 1)
      counters.drop(drop, 1, segment.payloadLength)
    }
  }

  /** All copies of a session's connection, as they are now: by number. */
  #copiesOf(session: Session): (Session | undefined)[] {
    return [...(this.#groups[session.id]?.members ?? [session])]
  }

  /** Another connection has begun with the same address and port: all copies but `waitedFor` are to end. */
  #supersede(copies: (Session | undefined)[], waitedFor: Session | undefined, now: number): void {
    for (const session of copies) {
      if (session === undefined || session === waitedFor || session.state === State.Closed) continue
      session.supersede(undefined, now)
      this.#schedule(session)
    }
  }

  #onDue(slot: number): void {
    const session = this.#slots[slot]
    if (session === undefined) return
    session.armedAt = Number.POSITIVE_INFINITY
    if (session.deadline <= this.#now) session.onTimer(this.#now)
    this.#schedule(session)
  }

  /** A deadline that moved later is found out when the wheel fires; one that moved earlier is armed anew. */
  #schedule(session: Session): void {
    if (session.state === State.Closed || session.deadline >= session.armedAt) return
    session.armedAt = session.deadline
    this.#wheel.arm(session.id, session.deadline)
  }
}
