/**
 * A session is the copy of one client connection. Its client side says what the client sent, the gate when that may go,
 * the send queue keeps it until it is delivered, and the target side delivers it. If the connection to the target ends
 * before the client does, the session replaces it by another one.
 *
 * It takes captured segments of the client, events of the target side and the time. Its only effects are those of the
 * target side, and counters. After each call, the caller checks whether it has ended, and `deadline`.
 */
import { ACK, FIN, RST, type Segment, SYN, URG } from '../../wire/segment.ts'
import { add, isBefore, seq } from '../../wire/seq.ts'
import { ClientHandshake } from '../admission/half-open.ts'
import { MissedEnd } from '../admission/missed-end.ts'
import { Counter } from '../books/counters.ts'
import { Drop, reconnectsAfter } from '../books/drop.ts'
import { Gate } from '../gate/gate.ts'
import { NONE } from '../memory/send-pool.ts'
import { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { SourceState } from '../selection/source-sockets.ts'
import type { CopiedIdentity } from '../target/copied-identity.ts'
import { TargetEnd, type TargetSide, TargetState } from '../target/target-side.ts'
import { scaledWindow } from '../tcp/segment-writer.ts'
import { ClientSide } from './client-side.ts'
import { Delivered, Delivery } from './delivery.ts'
import { HoleWatch } from './hole-watch.ts'
import { Reconnects, unacknowledgedFrom } from './reconnects.ts'
import type { SessionContext } from './session-context.ts'
import type { SessionStart } from './session-start.ts'
import { SessionState } from './session-state.ts'

const NEVER = Number.POSITIVE_INFINITY

// Functions, because the compiler would assume that the fields have not changed since the last check.
const isEnded = (session: Session): boolean => session.hasEnded
const isOpen = (target: TargetSide): boolean => target.state === TargetState.Open

export class Session {
  /** Slot in the table of sessions; also the timer wheel's entry. */
  readonly id: number
  /** The copied identity. A reconnect may change it. */
  identity: CopiedIdentity
  readonly client: ClientSide
  readonly queue: SendQueue
  /** The current connection to the target, or the next one. */
  target: TargetSide
  hasEnded = false
  /** Why its last connection ended. None: both sides had closed, or the client had ended and all was delivered. */
  endReason: Drop = Drop.None
  /** Its connection ended before its client did, and the owner must call `reconnect`. */
  hasReconnected = false
  /** When `onTimer` must be called at the latest. */
  deadline = NEVER
  /** The instant armed in the timer wheel, never later than `deadline`. */
  armedAt = NEVER
  /** It has taken packets and waits to be stepped. */
  isReady = false
  /** The connection may turn to TLS: it has said little so far. */
  mayTurnToTls = true
  /** A later connection with the same client address and port, which starts when this one has ended. */
  successor: Session | undefined
  readonly #gate: Gate
  readonly #context: SessionContext<never>
  readonly #hole: HoleWatch
  readonly #reconnects: Reconnects
  /** When the client last made progress. */
  #progressAt: number
  /** When it started or woke up. */
  readonly #awakeSince: number
  /** While waiting: when it may connect; Infinity: not yet known. */
  #startAt = NEVER
  /** What the capture does not tell, and the source's kernel is asked for: usually nothing after the handshake. */
  #question: ClientHandshake | MissedEnd | undefined
  readonly #delivery: Delivery

  constructor(id: number, identity: CopiedIdentity, start: SessionStart, context: SessionContext<never>, now: number) {
    const { settings, pool, counters, hub } = context
    this.id = id
    this.identity = identity
    this.#context = context
    this.queue = new SendQueue(seq(0), pool, counters, identity.mapIndex)
    const { isJoined } = identity
    this.client = new ClientSide(start.iss, identity, this.queue, context, start.capturedAt)
    this.#reconnects = new Reconnects(context, identity)
    this.#gate = new Gate(context, identity, this.#reconnects, this.queue)
    this.#hole = new HoleWatch(this.client, settings.holes, counters)
    this.#delivery = new Delivery(id, this.client, this.queue, this.#gate, this.#reconnects, context)
    const { rttMs: clientRttMs } = this.client
    this.target = hub.create(id, identity, { ...start, base: add(start.iss, 1), clientRttMs }, now)
    this.#progressAt = now
    this.#awakeSince = now
    if (isJoined) this.target.clientConnected(clientRttMs, now)
    else this.#question = new ClientHandshake(context.halfOpen, now)
    this.#plan()
  }

  get state(): SessionState {
    return this.hasEnded ? SessionState.Closed : this.target.state
  }

  /** When it last made progress. After `-t` or `-k` without progress it ends. */
  get progressAt(): number {
    return Math.max(this.#progressAt, this.target.progressAt)
  }

  /** True once the client has closed its half or reset the connection. */
  get isClientDone(): boolean {
    return this.client.isDone
  }

  /** Why captured bytes are not sent yet, as text for `--trace`; empty if none wait. */
  get waitsFor(): string {
    return this.#delivery.waitsFor(this.target)
  }

  /** When it may hibernate; Infinity while it has something to do or a successor waits. */
  get hibernateAt(): number {
    return this.#isIdle() ? this.#hibernatesAt() : NEVER
  }

  /** `hibernateAt` of an idle session. */
  #hibernatesAt(): number {
    if (!this.target.isQuiescent || this.successor !== undefined || this.isReady) return NEVER
    if (this.#gate.lookAgainAt !== NEVER || !this.client.isSettled) return NEVER
    if (this.#question !== undefined) return NEVER
    const at = Math.max(this.progressAt, this.#awakeSince) + this.#context.idlePolicy.hibernateAfterMs
    return Math.max(at, this.#gate.outcomes?.awakeUntil ?? 0)
  }

  /** See `Snapshot`. Saves or restores everything that a hibernated session needs, apart from its identity. */
  save(snapshot: Snapshot): void {
    this.#endHandshake()
    this.#progressAt = snapshot.number(this.#progressAt)
    this.#reconnects.save(snapshot)
    this.client.save(snapshot)
    this.#gate.save(snapshot)
    this.target.save(snapshot)
    this.#plan()
  }

  /** Allows a waiting session to connect at `at`, or later as soon as it has something to send. */
  allowStart(at: number, now: number): void {
    this.#startAt = at
    this.step(now)
  }

  /** Allows the session to reconnect after the delay that `Reconnects` demands. */
  allowReconnect(now: number): void {
    this.allowStart(now + this.#reconnects.delayMs, now)
  }

  /** Judges a captured segment of this client connection, and takes it if it is believed. `step` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    const { belief } = this.client
    const doubt = this.client.judge(segment, now)
    if (doubt !== Drop.None) return doubt
    if (belief.isConfirmed) this.#takeHeld(belief.release(), now)
    const drop = this.#take(segment, now)
    if (belief.isWaiting && belief.review()) this.#takeHeld(belief.release(), now)
    return drop
  }

  #takeHeld(segment: Segment | undefined, now: number): void {
    if (segment !== undefined) this.#take(segment, now)
  }

  /** Takes a segment that is believed, except for the SYN that began the connection. */
  #take(segment: Segment, now: number): Drop {
    const { client, target } = this
    const { flags, payloadLength } = segment
    if (payloadLength > 0 && client.stream.end === 0) client.noteFirstSpeaker(segment, this.#context)
    const wasIdle = (payloadLength > 0 || (flags & FIN) !== 0) && this.#isIdle()
    const drop = client.take(segment, target.segmentMax, now)
    if (flags & SYN) return drop
    if (flags & RST) {
      if (drop === Drop.None) this.#progressAt = now
      return drop
    }
    if (wasIdle && (payloadLength > 0 || drop === Drop.None)) this.#progressAt = now
    target.clientWindow(scaledWindow(segment.window, this.identity.windowScale))
    if (flags & ACK) this.#sawAck(segment, payloadLength > 0 && client.beginsWrite, now)
    if (payloadLength > 0) target.clientFlight(client.firstFlightBytes(now))
    if (flags & URG && drop === Drop.None) this.#context.counters.add(Counter.urgentSegments, 1)
    return drop
  }

  /** The client's first acknowledgment completes its handshake. The source's answers are counted from it. */
  #sawAck(segment: Segment, isRequest: boolean, now: number): void {
    const { ack, payloadLength } = segment
    const handshake = this.#question instanceof ClientHandshake ? this.#question : undefined
    if (handshake?.accepts(this.identity, payloadLength > 0, this.isClientDone, now) === false) return
    this.#gate.saw(segment, isRequest, now)
    if (this.client.completesHandshake(handshake?.hasAck === true, now)) {
      this.queue.connects(ack)
      this.#gate.begin(ack)
    } else if (handshake === undefined) return
    this.#endHandshake()
    this.target.clientConnected(this.client.rttMs, now)
  }

  #endHandshake(): void {
    if (this.#question instanceof ClientHandshake) this.#question.end()
    this.#question = undefined
  }

  /** The source's kernel does not have the connection. It is asked again, since its end may wait in the capture. */
  sourceHasNone(now: number): void {
    this.#question ??= new MissedEnd(this.client.mark, now)
    this.#plan()
  }

  #askSource(question: ClientHandshake | MissedEnd, now: number): void {
    if (question instanceof MissedEnd) {
      const { source } = this.#context.halfOpen
      this.#question = undefined
      if (question.isOver(source, this.identity, this.client.mark, now)) this.client.endUncaptured()
      return
    }
    const state = question.ask(this.identity, this.queue.tail !== NONE, this.isClientDone, now)
    if (state === SourceState.None) this.abort(Drop.NotConnected, now)
    if (state !== SourceState.Connected) return
    this.client.connects()
    this.#endHandshake()
    this.target.clientConnected(this.client.rttMs, now)
  }

  /** The target side has taken something from the target. `step` acts on it. */
  onTarget(now: number): void {
    const { target, queue } = this
    if (target.state === TargetState.Open) queue.acknowledge(target.acknowledgedEnd)
    else if (target.state === TargetState.Ended) {
      const isWhole = this.isClientDone && this.#isDelivered() && !this.client.lacksBytes
      this.#end(isWhole ? Drop.None : Drop.TargetReset, now)
    }
  }

  /** Does what is due. It may be called early. */
  onTimer(now: number): void {
    if (isEnded(this)) return
    const { timeoutMs, keepAliveMs } = this.#context.settings
    if (now - this.progressAt >= (this.#isIdle() ? keepAliveMs : timeoutMs)) this.#onTimeLimit(now)
    else if (now >= this.#holeLimit()) {
      this.#hole.giveUp()
      this.abort(Drop.Hole, now)
    }
    const question = this.#question
    if (!isEnded(this) && question !== undefined && now >= question.askAt) this.#askSource(question, now)
    if (isEnded(this) || this.hasReconnected) return
    if (now >= this.client.belief.deadline) this.#takeHeld(this.client.onTimer(now), now)
    this.target.onTimer(this.queue, now)
    if (this.#isIdle()) this.#gate.settleIdle(this.target, now)
    this.step(now)
  }

  /**
   * Ends the connection at once, with a reset unless the port belongs to another tcpcopy. Undelivered bytes are
   * dropped.
   */
  abort(reason: Drop, now: number): void {
    if (reason !== Drop.PortTaken) this.target.abandon(now)
    this.#end(reason, now)
  }

  /**
   * The client has opened a new connection with this address and port, which ends this one.
   * @param successor its copy
   */
  supersede(successor: Session | undefined, now: number): void {
    this.successor = successor
    if (!this.isClientDone) this.client.endHere()
    this.step(now)
  }

  #isIdle(): boolean {
    const { target, queue } = this
    // The first check answers for all but the first segment of a request.
    if (queue.tail !== NONE || !isOpen(target)) return false
    const isSent = target.acknowledgedEnd === queue.end && target.sentEnd === queue.end
    return isSent && !this.isClientDone && !this.client.stream.hasHole
  }

  /** When to give up bytes that were not captured; not before everything in front of them is delivered. */
  #holeLimit(): number {
    if (!this.#hole.isOpen || !this.#isDelivered()) return NEVER
    return this.#hole.limit(this.progressAt)
  }

  /** Every byte in the queue is acknowledged. */
  #isDelivered(): boolean {
    if (this.target.state === TargetState.Waiting) return this.queue.tail === NONE
    return !isBefore(this.target.acknowledgedEnd, this.queue.end)
  }

  #onTimeLimit(now: number): void {
    this.#context.counters.add(Counter.sessionsTimedOut, 1)
    const failure = this.target.end === TargetEnd.Refused ? Drop.TargetRefused : Drop.Unanswered
    this.abort(this.target.state === TargetState.Opening ? failure : Drop.TimedOut, now)
  }

  /** Sends what may be sent and updates `deadline`. To be called after packets were taken. */
  step(now: number): void {
    if (isEnded(this) || this.hasReconnected || this.#context.loops?.holdsBack(this, now) === true) return
    const { target, client } = this
    const isUnopened = this.#question instanceof ClientHandshake && !this.#question.hasAck
    if (isUnopened && client.hasReset && !client.lacksBytes) {
      this.abort(Drop.None, now)
      return
    }
    if (target.state === TargetState.Open) {
      if (target.prepare(now)) this.#deliver(now)
    } else if (target.state === TargetState.Waiting && this.#hasWork()) {
      if (now >= this.#startAt) this.#open(now)
    }
    const isWaiting = target.state === TargetState.Waiting && !this.#hasWork()
    if (isWaiting && !isEnded(this) && this.isClientDone && !client.lacksBytes) this.#end(Drop.None, now)
    if (isEnded(this) || this.hasReconnected) return
    this.#hole.watch(now)
    this.#plan()
  }

  /** Whether a waiting session may connect: one that reconnects waits for the client's next bytes. */
  #hasWork(): boolean {
    return !this.#reconnects.isReconnect || this.queue.tail !== NONE
  }

  /** Opens the connection, unless a pause begins. After a reconnect it begins at the first byte that is not delivered. */
  #open(now: number): void {
    // A pause is no lack of progress.
    this.#progressAt = this.#reconnects.pauseUntil(this.client, this.queue, now)
    if (this.#progressAt > now) return
    const start = this.#reconnects.isReconnect ? this.queue.acknowledgedEnd : seq(0)
    if (this.#reconnects.mayContinueAt(start)) this.target.open(start, now)
    else this.abort(Drop.NotJoined, now)
  }

  #deliver(now: number): void {
    const delivered = this.#delivery.run(this.target, this.successor !== undefined, now)
    if (delivered === Delivered.Ended) this.#end(Drop.None, now)
    else if (delivered === Delivered.TargetClosed) this.abort(Drop.TargetClosed, now)
  }

  /** The connection has ended. So has the session, unless it reconnects. */
  #end(reason: Drop, now: number): void {
    const { counters, trace } = this.#context
    counters.add(Counter.sessionsEnded, 1)
    this.endReason = reason
    const una = unacknowledgedFrom(this.client.stream, this.target)
    this.queue.acknowledge(una)
    this.#gate.ended(this.target)
    const end = { reason, isClientDone: this.isClientDone, isDelivered: this.#isDelivered() && !this.client.lacksBytes }
    this.queue.requests.sentEnd = this.target.sentEnd
    const isTakenUp = reconnectsAfter(reason) && this.#reconnects.takeUp(this.client, this.target, una, reason)
    if (isTakenUp) {
      this.hasReconnected = true
      this.#progressAt = now
    } else {
      this.client.clear(una, reason === Drop.None ? Drop.BeyondEnd : reason)
      this.#endHandshake()
      this.hasEnded = true
      this.deadline = NEVER
    }
    this.#gate.settle(this.target, end, now)
    if (trace !== undefined) trace.ended(this.identity, reason)
  }

  /** Replaces the connection that has ended by one that waits for `allowStart`. @param identity that of the new one */
  reconnect(identity: CopiedIdentity, now: number): void {
    const { hub, counters } = this.#context
    this.hasReconnected = false
    this.#startAt = NEVER
    this.identity = identity
    this.target = hub.reconnect(this.id, identity, this.client.rttMs, now)
    if (identity.isJoined) this.client.joins()
    if (!(this.#question instanceof ClientHandshake)) this.target.clientConnected(this.client.rttMs, now)
    this.#gate.restart()
    this.#hole.close()
    counters.add(Counter.sessionsStarted, 1)
    counters.add(Counter.sessionsContinued, 1)
    this.#plan()
  }

  /** Sets `deadline` to the earliest instant at which anything is due. */
  #plan(): void {
    const isIdle = this.#isIdle()
    const { keepAliveMs, timeoutMs } = this.#context.settings
    const { target } = this
    const { belief } = this.client
    const { outcomes } = this.#gate
    const start = target.state === TargetState.Waiting && this.#hasWork() ? this.#startAt : NEVER
    target.plan()
    this.deadline = Math.min(
      Math.max(this.#progressAt, target.progressAt) + (isIdle ? keepAliveMs : timeoutMs),
      target.deadline,
      this.#question?.askAt ?? NEVER,
      belief.isWaiting ? belief.deadline : NEVER,
      this.#gate.lookAgainAt,
      this.#holeLimit(),
      isIdle ? Math.min(this.#hibernatesAt(), outcomes?.settleAt ?? NEVER) : start
    )
  }
}
