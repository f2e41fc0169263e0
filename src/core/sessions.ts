/**
 * All sessions of one worker: finds the session that a packet belongs to, begins and buries them, and steps those
 * whose time has come. Every captured packet ends here in a session or in a named drop.
 */
import { RST, type Segment, SYN } from '../wire/segment.ts'
import { Bystanders } from './bystanders.ts'
import { Counter } from './counters.ts'
import { Drop } from './drop.ts'
import { FlowTable } from './flow-table.ts'
import type { Mapping } from './mapping.ts'
import { beginningOf, originOf } from './origin.ts'
import { Sampling, type Selection } from './sampling.ts'
import { Session } from './session.ts'
import { type Beginning, type Origin, restartDelay, type SessionContext, State } from './session-context.ts'
import { TimerWheel } from './timer-wheel.ts'
import { Tombstones } from './tombstones.ts'

/** Late packets of a connection that both sides have closed come within this time. */
const CLOSED_LINGER_MS = 60_000
/** Tombstones buried at most in one turn, so that a turn stays short. */
const BURIALS_MAX = 256
const PORT_MIN = 1024
const PORT_MAX = 65535

export interface SessionsOptions {
  readonly sessionsMax: number
  readonly mapping: Mapping
  /** Which new flows are copied. */
  readonly selection: Selection
}

/** Sees what is captured and answered, for `--trace`. */
export interface PacketTrace {
  captured(segment: Segment, session: Session | undefined): void
  answered(segment: Segment, session: Session | undefined): void
  /** What came last of this client, or for it, goes no further. Both as captured. */
  refused(address: number, port: number, drop: Drop): void
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
  /** Copied flow → slot of the session that speaks now. */
  readonly #byTarget = new FlowTable()
  readonly #closed = new Tombstones(CLOSED_LINGER_MS)
  readonly #broken: Tombstones
  #tombstoneSerial = 0
  readonly #bystanders: Bystanders
  readonly #sampling: Sampling
  readonly #wheel: TimerWheel
  /** Sessions that took packets in this batch. */
  readonly #ready: Session[] = []
  #now = 0
  readonly #fire: (entry: number) => void
  readonly #bury: (a: number, b: number, ports: number, marker: number) => void
  /** SYNs sent and SYN-ACKs received by `-x`, to tell when nothing comes back. */
  readonly synsByMap: Float64Array
  readonly synAcksByMap: Float64Array

  /** @param context its `onEnd` is to call `ended` */
  constructor(context: SessionContext, options: SessionsOptions, now: number, trace?: PacketTrace) {
    this.#context = context
    this.#options = options
    this.#trace = trace
    this.#wheel = new TimerWheel(now)
    this.#broken = new Tombstones(context.timeoutMs)
    this.#bystanders = new Bystanders(this.#bySource, context.timeoutMs)
    this.#sampling = new Sampling(options.selection, now)
    this.synsByMap = new Float64Array(options.mapping.maps.length)
    this.synAcksByMap = new Float64Array(options.mapping.maps.length)
    this.#fire = (entry) => this.#onDue(entry)
    this.#bury = (a, b, ports, marker) => {
      if (this.#bySource.get(a, ports >>> 16, b, ports & 0xffff) === marker) {
        this.#bySource.delete(a, ports >>> 16, b, ports & 0xffff)
      }
    }
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.#slots.length - this.#freeSlots.length
  }

  /** The instant by which `onTimer` has to be called. */
  get deadline(): number {
    return this.#wheel.next()
  }

  /** Takes a checked segment that a client sent to a source; `settle` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    const { counters } = this.#context
    counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    const found = this.#bySource.get(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort)
    const session = found >= 0 && found % 2 === 0 ? this.#slots[found / 2] : undefined
    if (this.#trace !== undefined) this.#trace.captured(segment, session)
    let drop: Drop
    if (session !== undefined && !isNewConnection(session, segment)) {
      drop = session.onSource(segment, now)
      this.#markReady(session)
      if (drop !== Drop.None) counters.drop(drop, 1, 0)
    } else {
      drop = this.#onOtherFlow(segment, found, session, now)
      if (drop !== Drop.None) counters.drop(drop, 1, segment.payloadLength)
    }
    if (drop !== Drop.None && this.#trace !== undefined)
      this.#trace.refused(segment.fromAddress, segment.fromPort, drop)
    return drop
  }

  /** Takes a header that the target sent to a copied client; `settle` acts on it. */
  onTarget(segment: Segment, now: number): Drop {
    const slot = this.#byTarget.get(segment.toAddress, segment.toPort, segment.fromAddress, segment.fromPort)
    const session = slot >= 0 ? this.#slots[slot] : undefined
    if (this.#trace !== undefined) this.#trace.answered(segment, session)
    let drop: Drop = Drop.AnswerNoSession
    if (session !== undefined) {
      const wasOpening = session.state === State.SynSent
      drop = session.onTarget(segment, now)
      const map = session.origin.mapIndex
      if (wasOpening && drop === Drop.None) this.synAcksByMap[map] = (this.synAcksByMap[map] ?? 0) + 1
      this.#markReady(session)
    }
    if (drop === Drop.None) return drop
    this.#context.counters.drop(drop, 1, 0)
    if (this.#trace !== undefined) {
      const address = session?.origin.capturedAddress ?? segment.toAddress
      this.#trace.refused(address, session?.origin.capturedPort ?? segment.toPort, drop)
    }
    return drop
  }

  /** Steps the sessions that took packets: once a batch, however many they took. */
  settle(now: number): void {
    // A session that starts another's successor adds to the list.
    for (let index = 0; index < this.#ready.length; index++) {
      const session = this.#ready[index]
      if (session === undefined) continue
      session.isReady = false
      session.step(now)
      this.#schedule(session)
      const trace = this.#context.trace
      if (trace !== undefined && session.waitsFor !== '') trace.waits(session, session.waitsFor)
    }
    this.#ready.length = 0
  }

  onTimer(now: number): void {
    this.#now = now
    this.#wheel.advance(now, this.#fire)
    this.#closed.expire(now, BURIALS_MAX, this.#bury)
    this.#broken.expire(now, BURIALS_MAX, this.#bury)
    this.#bystanders.expire(now, BURIALS_MAX)
    this.#countPool()
  }

  /** Resets every copied connection at its target; first those go that would begin when another ends. */
  shutdown(now: number): void {
    for (const session of this.#slots) if (session?.state === State.Waiting) session.abort(Drop.Shutdown, now)
    for (const session of this.#slots) session?.abort(Drop.Shutdown, now)
    this.#countPool()
  }

  /** To be called when a session sends its SYN for the first time. */
  countSyn(session: Session): void {
    const map = session.origin.mapIndex
    this.synsByMap[map] = (this.synsByMap[map] ?? 0) + 1
  }

  /** Every session whose answers intercept has to know a route for. */
  forEachStarted(visit: (session: Session) => void): void {
    for (const session of this.#slots) {
      if (session !== undefined && session.state !== State.Waiting) visit(session)
    }
  }

  /** For `SessionContext.onEnd`: buries the session, and starts the one that waited for it. */
  ended(session: Session, now: number): void {
    const { origin, successor } = session
    this.#wheel.disarm(session.id)
    if (session.continuation !== undefined) {
      this.#goOn(session, session.continuation, now)
      return
    }
    this.#slots[session.id] = undefined
    this.#freeSlots.push(session.id)
    const { capturedAddress: a, capturedPort, sourceAddress: b, sourcePort } = origin
    if (this.#bySource.get(a, capturedPort, b, sourcePort) === session.id * 2) {
      this.#bySource.delete(a, capturedPort, b, sourcePort)
      this.#remember(session, now)
    }
    const { clientAddress, clientPort, targetAddress, targetPort } = session
    const speaker = this.#byTarget.get(clientAddress, clientPort, targetAddress, targetPort)
    if (speaker !== session.id) {
      this.#replaceInQueue(session, successor, this.#slots[speaker])
      return
    }
    this.#byTarget.delete(clientAddress, clientPort, targetAddress, targetPort)
    if (successor === undefined) return
    this.#byTarget.set(clientAddress, clientPort, targetAddress, targetPort, successor.id)
    successor.allowStart(now, now)
    this.#schedule(successor)
  }

  /** Another session takes the place of one that ended before its client: its slot, its flow, its place in the queue. */
  #goOn(session: Session, continuation: Beginning, now: number): void {
    const { clientAddress, clientPort, targetAddress, targetPort } = session
    const origin: Origin = { ...session.origin, isJoined: true, ipId: 0 }
    const next = new Session(session.id, origin, continuation, this.#context, now)
    next.successor = session.successor
    this.#slots[session.id] = next
    this.#context.counters.add(Counter.sessionsStarted, 1)
    this.#context.counters.add(Counter.sessionsContinued, 1)
    const speaker = this.#byTarget.get(clientAddress, clientPort, targetAddress, targetPort)
    if (speaker === session.id) next.allowStart(now + restartDelay(continuation.heritage), now)
    else this.#replaceInQueue(session, next, this.#slots[speaker])
    this.#schedule(next)
  }

  /** One that ended while it waited: who waits for it waits for what replaces it, or for the one before it. */
  #replaceInQueue(session: Session, by: Session | undefined, speaker: Session | undefined): void {
    let before = speaker
    while (before !== undefined && before.successor !== session) before = before.successor
    if (before !== undefined) before.successor = by
  }

  /** A session that ended with nothing missing may be joined again; others leave a tombstone. */
  #remember(session: Session, now: number): void {
    const isIdleEnd = session.endReason === Drop.TimedOut && !session.isClientDone
    if (isIdleEnd || session.endReason === Drop.Hole || session.endReason === Drop.Shutdown) return
    const { capturedAddress: a, capturedPort, sourceAddress: b, sourcePort } = session.origin
    this.#tombstoneSerial = (this.#tombstoneSerial + 1) & 0x1fffffff
    const marker = this.#tombstoneSerial * 4 + 1
    this.#bySource.set(a, capturedPort, b, sourcePort, marker)
    const tombstones = session.isClientDone ? this.#closed : this.#broken
    tombstones.add(a, b, (capturedPort << 16) | sourcePort, marker, now)
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
    if (previous !== undefined) {
      previous.supersede(undefined, now)
      this.#schedule(previous)
    }
    return refusal
  }

  /** Begins a session with a segment that belongs to none. */
  #begin(segment: Segment, mapIndex: number, previous: Session | undefined, now: number): Drop {
    const { mapping, sessionsMax } = this.#options
    const map = mapping.maps[mapIndex]
    if (map === undefined) return Drop.NotMapped
    if (this.count >= sessionsMax) return Drop.TableFull
    const clientAddress = mapping.clientAddress(segment.fromAddress, map.targetAddress)
    const clientPort = previous?.clientPort ?? this.#freePort(clientAddress, segment.fromPort, map)
    if (clientPort === 0) return Drop.NoFreePort
    const origin = originOf(segment, mapIndex, clientAddress, clientPort, map.targetAddress, map.targetPort)
    const slot = this.#freeSlots.pop() ?? this.#slots.length
    const session = new Session(slot, origin, beginningOf(segment, origin.isJoined), this.#context, now)
    this.#slots[slot] = session
    this.#bySource.set(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort, slot * 2)
    this.#context.counters.add(Counter.sessionsStarted, 1)
    if (previous === undefined) {
      this.#byTarget.set(clientAddress, clientPort, map.targetAddress, map.targetPort, slot)
      session.allowStart(now, now)
    } else {
      this.#context.counters.add(Counter.sessionsWaited, 1)
      previous.supersede(session, now)
      this.#schedule(previous)
    }
    if (origin.isJoined) this.#context.counters.add(Counter.sessionsJoined, 1)
    if (segment.payloadLength > 0) session.onSource(segment, now)
    this.#schedule(session)
    return Drop.None
  }

  /** The client's own port, or the next that no other copied connection uses. @returns 0 if none is left */
  #freePort(
    clientAddress: number,
    port: number,
    map: { readonly targetAddress: number; readonly targetPort: number }
  ): number {
    let candidate = port
    for (let tried = 0; tried <= PORT_MAX - PORT_MIN + 1; tried++) {
      if (this.#byTarget.get(clientAddress, candidate, map.targetAddress, map.targetPort) < 0) return candidate
      candidate = candidate >= PORT_MAX || candidate < PORT_MIN ? PORT_MIN : candidate + 1
    }
    return 0
  }

  #onDue(slot: number): void {
    const session = this.#slots[slot]
    if (session === undefined) return
    session.armedAt = Number.POSITIVE_INFINITY
    if (session.deadline <= this.#now) session.onTimer(this.#now)
    this.#schedule(session)
  }

  #markReady(session: Session): void {
    if (session.isReady || session.state === State.Closed) return
    session.isReady = true
    this.#ready.push(session)
  }

  /** A deadline that moved later is found out when the wheel fires; one that moved earlier is armed anew. */
  #schedule(session: Session): void {
    if (session.state === State.Closed || session.deadline >= session.armedAt) return
    session.armedAt = session.deadline
    this.#wheel.arm(session.id, session.deadline)
  }
}

/** A SYN with another initial sequence number is another connection. */
function isNewConnection(session: Session, segment: Segment): boolean {
  return (segment.flags & SYN) !== 0 && segment.seq !== session.clientIss
}
