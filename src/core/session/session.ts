/**
 * The copy of one client connection: a TCP sender that speaks to the target as the client, with the client's bytes,
 * in the client's rhythm. It takes captured segments of the client, answers of the target and the time; its only
 * effects are packets, counters and `onEnd`.
 */
import { ACK, FIN, RST, type Segment, SYN, URG } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop, goesOn } from '../books/drop.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { PacketStyle } from '../packets/frames.ts'
import { Handshake } from '../target/handshake.ts'
import { Receiver } from '../tcp/receiver.ts'
import { SegmentWriter } from '../tcp/segment-writer.ts'
import { Sender } from '../tcp/sender.ts'
import { AnswerHandler } from './answer-handling.ts'
import { ClientEnd } from './client-end.ts'
import { ClientStart } from './client-start.ts'
import { ClientStream } from './client-stream.ts'
import { Epochs } from './epochs.ts'
import { HoleWatch } from './hole-watch.ts'
import { Output } from './output.ts'
import { continuationOf, type Heritage } from './reconnect.ts'
import { type CopiedIdentity, type SessionContext, type SessionStart, State } from './session-context.ts'

const NEVER = Number.POSITIVE_INFINITY

// Functions, because what they ask for changes behind the compiler's back.
const isEnded = (state: State): boolean => state === State.Closed
const isOpen = (state: State): boolean => state === State.Established

export class Session implements PacketStyle {
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
  readonly ttl: number
  readonly trafficClass: number
  readonly flowLabel: number
  readonly mss: number
  readonly windowScale: number
  /** In the SYN: offered; after the SYN-ACK: in force. */
  isSackPermitted: boolean
  hasTimestamps: boolean
  readonly identity: CopiedIdentity
  /** Slot in the table of sessions; also the timer wheel's entry. */
  readonly id: number
  /** The initial sequence number of the client's connection. */
  clientIss: Seq
  /** That of the copied connection: the client's, or the one before its first octet. */
  iss: Seq
  state: State = State.Waiting
  /** The session must be stepped at this instant, or before. */
  deadline = NEVER
  /** What the timer wheel has; never later than `deadline`. */
  armedAt = NEVER
  /** When it last got on; after a time without progress it ends. */
  progressAt: number
  /** It has taken packets and waits to be stepped. */
  isReady = false
  /** It has payload that waits for its turn within `--max-rate`. */
  isHeld = false
  /** A later connection of the same client address and port, which begins when this one has ended. */
  successor: Session | undefined
  /** Why it ended; None: both sides had closed, or the client reset it. */
  endReason: Drop = Drop.None
  /** Set at the end if the client had not ended: with this another session goes on. */
  continuation: SessionStart | undefined
  readonly sender: Sender
  readonly response = new Receiver()
  readonly stream: ClientStream
  readonly #epochs: Epochs
  readonly #context: SessionContext
  readonly #packets: SegmentWriter
  readonly #output: Output
  readonly #handshake: Handshake
  readonly #answerHandler: AnswerHandler
  readonly #hole: HoleWatch
  readonly #clientEnd: ClientEnd
  readonly heritage: Heritage | undefined
  readonly #clientStart: ClientStart
  /** It began then, or was woken. */
  readonly #awakeSince: number
  /** While waiting: when it may begin. */
  #startAt = NEVER

  constructor(id: number, identity: CopiedIdentity, start: SessionStart, context: SessionContext, now: number) {
    this.id = id
    this.identity = identity
    this.clientAddress = identity.clientAddress
    this.clientPort = identity.clientPort
    this.targetAddress = identity.targetAddress
    this.targetPort = identity.targetPort
    this.ttl = identity.ttl
    this.trafficClass = identity.trafficClass
    this.flowLabel = identity.flowLabel
    this.mss = identity.mss
    this.windowScale = identity.windowScale
    this.isSackPermitted = identity.isSackPermitted
    this.hasTimestamps = identity.hasTimestamps
    this.clientIss = start.iss
    this.iss = start.iss
    this.#context = context
    this.heritage = start.heritage
    this.#hole = new HoleWatch(context.holes, context.counters)
    this.#clientEnd = start.heritage?.clientEnd ?? new ClientEnd()
    this.#clientStart = new ClientStart(identity, start, context, now)
    this.stream = start.heritage?.stream ?? new ClientStream(add(this.iss, 1), context.pool, context.counters)
    this.sender = new Sender(this.iss)
    this.#packets = new SegmentWriter(this, this.response, context, start.tsVal)
    this.#handshake = new Handshake(this, this.#packets, context)
    this.#epochs = new Epochs(context.epochs)
    this.#output = new Output(this, this.#clientEnd, this.#epochs, this.#packets, context)
    this.#answerHandler = new AnswerHandler(this, this.#handshake, this.#output, context)
    this.response.sawWindow(start.windowBytes)
    this.progressAt = now
    this.#awakeSince = now
    this.#plan()
  }

  /** Of the client to the source; 0: not known. */
  get clientRttMs(): number {
    return this.#clientStart.rttMs
  }

  /** True once the client has closed its half or reset the connection. */
  get isClientDone(): boolean {
    return this.stream.hasFin || this.#clientEnd.hasReset
  }

  /** See `AnswerHandler`. */
  get isDisowned(): boolean {
    return this.#answerHandler.isDisowned
  }

  /** The largest timestamp value sent. */
  get tsVal(): Seq {
    return this.#packets.tsVal
  }

  /** Why octets that were captured are not sent yet, for `--trace`; empty if none wait. */
  get waitsFor(): string {
    if (this.state === State.Waiting) return 'the end of the connection before it, or the time to connect again'
    if (!isBefore(this.sender.sndNxt, this.stream.end)) return this.stream.hasHole ? 'octets not captured' : ''
    if (this.state === State.SynSent) return "the target's SYN-ACK"
    return this.#handshake.ackAt === NEVER ? this.#output.waitsFor : "the time of the client's own acknowledgment"
  }

  /** When it may lie down; Infinity while there is something to do, or somebody waits for it. */
  get hibernateAt(): number {
    if (!this.response.isQuiescent || this.successor !== undefined || this.isReady || !this.#isIdle()) return NEVER
    if (this.#handshake.ackAt !== NEVER || this.#output.gateAt !== NEVER || this.sender.rtoAt !== NEVER) return NEVER
    if (this.stream.lacksRefused) return NEVER
    return Math.max(this.progressAt, this.#awakeSince) + this.#context.idlePolicy.hibernateAfterMs
  }

  /** Passes all that a session at rest has to know through. */
  save(snapshot: Snapshot): void {
    this.state = State.Established
    this.clientIss = snapshot.seq(this.clientIss)
    this.iss = snapshot.seq(this.iss)
    this.isSackPermitted = snapshot.flag(this.isSackPermitted)
    this.hasTimestamps = snapshot.flag(this.hasTimestamps)
    this.progressAt = snapshot.number(this.progressAt)
    this.#clientStart.save(snapshot)
    this.sender.save(snapshot)
    this.response.save(snapshot)
    this.stream.save(snapshot)
    this.#epochs.save(snapshot)
    this.#packets.save(snapshot)
    this.#answerHandler.save(snapshot)
    this.#plan()
  }

  /** Lets a waiting session begin at `at`, or later, as soon as it has something to send. */
  allowStart(at: number, now: number): void {
    this.#startAt = at
    this.step(now)
  }

  /** Sends the SYN. */
  start(now: number): void {
    this.#moveToHead()
    this.state = State.SynSent
    this.progressAt = now
    this.#context.announce(this)
    this.#handshake.send(now)
    this.#plan()
  }

  /** One that goes on stands in front of the first octet that it has, wherever the connection before it began. */
  #moveToHead(): void {
    if (this.heritage === undefined || this.stream.head === NONE) return
    this.iss = add(this.#context.pool.seq(this.stream.head), -1)
    this.sender.begin(this.iss)
  }

  /** Takes a captured segment of this client connection, other than the SYN that began it; `step` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    // Octets in a SYN (RFC 7413) go once the target has answered ours.
    if (segment.flags & SYN)
      return segment.payloadLength > 0 ? this.stream.insert(segment, this.#segmentMax()) : Drop.Duplicate
    if (segment.flags & RST) return this.#onClientReset(segment, now)
    this.response.sawWindow(this.#packets.scaled(segment.window))
    if (segment.flags & ACK) this.#sawAck(segment.ack, now)
    let result: Drop = Drop.PureAck
    if (segment.payloadLength > 0) {
      if (this.#isIdle()) this.progressAt = now
      result = this.stream.insert(segment, this.#segmentMax())
      if (this.#clientStart.isFirstFlight(now))
        this.sender.sawFirstFlight(distance(this.stream.end, add(this.clientIss, 1)))
    }
    if (segment.flags & FIN) {
      const drop = this.#clientEnd.takeFin(segment, this.stream)
      if (drop === Drop.None && this.#isIdle()) this.progressAt = now
      if (drop === Drop.None || segment.payloadLength === 0) result = drop
    }
    if (segment.flags & URG && result === Drop.None) this.#context.counters.add(Counter.urgentSegments, 1)
    return result
  }

  /** The client's first acknowledgment ends its handshake: the source's answers are counted from it. */
  #sawAck(ack: Seq, now: number): void {
    this.#epochs.saw(ack)
    if (!this.#clientStart.sawAck(now)) return
    this.stream.firstAck = ack
    this.#epochs.begin(ack)
    this.#handshake.clientHasAcknowledged(now)
  }

  /** Takes a header that intercept returned; `step` acts on it. */
  onTarget(segment: Segment, now: number): Drop {
    if (this.state === State.SynSent) {
      const drop = this.#handshake.onAnswer(segment, now)
      if (isOpen(this.state)) this.progressAt = now
      return drop
    }
    if (this.state !== State.Established) return Drop.AnswerUnacceptable
    const drop = this.#answerHandler.take(segment, now)
    if (this.#answerHandler.isReset) {
      const isWhole = this.isClientDone && this.#isDeliveredSoFar() && !this.#lacksOctets()
      this.#end(isWhole ? Drop.None : Drop.TargetReset, now)
    }
    return drop
  }

  /** Does what is due. Calling it early is harmless. */
  onTimer(now: number): void {
    if (isEnded(this.state)) return
    const idleLimit = this.#isIdle() ? this.#context.keepAliveMs : this.#context.timeoutMs
    if (now - this.progressAt >= idleLimit) this.#onTimeLimit(now)
    else if (now >= this.#holeLimit()) {
      if (this.stream.isHoleOurs) this.#context.counters.add(Counter.holesOfPool, 1)
      this.abort(Drop.Hole, now)
    }
    if (isEnded(this.state)) return
    if (this.state === State.SynSent && now >= this.sender.rtoAt) this.#handshake.send(now)
    else if (this.state === State.Established && now >= this.sender.rtoAt) this.#output.timedOut(now)
    this.step(now)
  }

  /** Ends the session at once: the target's side, if it is ours, is reset; what was not delivered is dropped. */
  abort(reason: Drop, now: number): void {
    const isEstablished = this.state === State.Established
    const isOpening = this.state === State.SynSent && this.#handshake.attempts > 0 && reason !== Drop.PortTaken
    const flags = isEstablished ? RST | ACK : RST
    if (isEstablished || isOpening) this.#packets.control(flags, this.sender.sndMax, 'session ends')
    this.#end(reason, now)
  }

  /** The client's new connection with this address and port ends this one; its copy, if there is one, waits for that. */
  supersede(successor: Session | undefined, now: number): void {
    this.successor = successor
    if (!this.isClientDone) this.#clientEnd.forsake(this.stream)
    this.step(now)
  }

  #segmentMax(): number {
    return this.state === State.Established ? this.sender.segmentMax : this.#handshake.segmentMax
  }

  #isIdle(): boolean {
    const isSent = this.sender.isAllAcknowledged && this.sender.sndUna === this.stream.end
    return this.state === State.Established && isSent && !this.isClientDone && !this.stream.hasHole
  }

  /** When octets that were not captured are given up; not before all in front of them is delivered. */
  #holeLimit(): number {
    if (!this.#isDeliveredSoFar()) return NEVER
    if (this.stream.isHoleOurs) return this.progressAt
    return this.#hole.limit(this.clientRttMs, this.isClientDone)
  }

  #isDeliveredSoFar(): boolean {
    if (this.state === State.Waiting) return this.stream.tail === NONE
    return !isBefore(this.sender.sndUna, this.stream.end)
  }

  #onTimeLimit(now: number): void {
    this.#context.counters.add(Counter.sessionsTimedOut, 1)
    this.abort(this.state === State.SynSent ? this.#handshake.failure : Drop.TimedOut, now)
  }

  #onClientReset(segment: Segment, now: number): Drop {
    if (segment.payloadLength > 0) this.#context.counters.drop(Drop.BeyondEnd, 0, segment.payloadLength)
    const drop = this.#clientEnd.takeReset(segment, this.stream)
    if (drop === Drop.None) this.progressAt = now
    return drop
  }

  /** Sends what may be sent, and works out when to look again. To be called after packets were taken. */
  step(now: number): void {
    if (isEnded(this.state)) return
    if (this.state === State.Established && this.#handshake.acknowledge(now)) {
      this.response.prepareAck(now)
      this.#output.sendDue(now)
      if (this.#sendReset(now) || this.#closeWhenDone(now)) return
      if (this.#output.isTargetGone) {
        this.abort(Drop.TargetClosed, now)
        return
      }
      if (this.response.ackAt <= now) this.#output.acknowledge('acknowledgment')
    } else if (this.state === State.Waiting && this.#hasWork()) {
      if (now >= this.#startAt) this.start(now)
    } else if (this.state === State.Waiting && this.isClientDone && !this.#lacksOctets()) {
      this.#end(Drop.None, now)
      return
    }
    this.#hole.update(this.#lacksOctets(), this.stream.aheadSince, now)
    this.#plan()
  }

  /** A waiting session that goes on begins with the client's next octets, any other at once. */
  #hasWork(): boolean {
    return this.heritage === undefined || this.stream.tail !== NONE
  }

  #lacksOctets(): boolean {
    const end = this.stream.isComplete ? add(this.stream.end, 1) : this.stream.end
    return this.stream.hasHole || (this.#clientEnd.hasReset && isAfter(this.#clientEnd.resetSeq, end))
  }

  /** @returns true if the session ended with the client's reset */
  #sendReset(now: number): boolean {
    if (!this.#clientEnd.hasReset || this.#lacksOctets() || !this.sender.isAllAcknowledged) return false
    if (!this.#isDeliveredSoFar()) return false
    if (this.#clientEnd.resetAck !== 0 && !this.#output.mayGo(this.#clientEnd.resetAck, false, now)) return false
    this.#packets.control(RST | ACK, this.sender.sndNxt, '')
    this.#end(Drop.None, now)
    return true
  }

  #closeWhenDone(now: number): boolean {
    if (!this.#output.isDone(this.successor !== undefined, now)) return false
    // Nobody will be there to do it later.
    if (this.response.ackAt !== NEVER) this.#output.acknowledgeAll('acknowledgment')
    this.#context.counters.add(Counter.sessionsClosed, 1)
    this.#end(Drop.None, now)
    return true
  }

  #end(reason: Drop, now: number): void {
    if (this.state === State.Waiting) this.#moveToHead()
    const una = later(this.sender.sndUna, add(this.iss, 1))
    if (goesOn(reason)) this.continuation = continuationOf(this, this.#clientEnd, una, reason)
    if (this.continuation === undefined) this.stream.clear(una, reason === Drop.None ? Drop.BeyondEnd : reason)
    this.state = State.Closed
    this.endReason = reason
    this.deadline = NEVER
    this.#context.counters.add(Counter.sessionsEnded, 1)
    if (this.#context.trace !== undefined) this.#context.trace.ended(this, reason)
    this.#context.onEnd(this, now)
  }

  /** The earliest instant at which anything is due. */
  #plan(): void {
    const isIdle = this.#isIdle()
    const limit = isIdle ? this.#context.keepAliveMs : this.#context.timeoutMs
    const start = this.state === State.Waiting && this.#hasWork() ? this.#startAt : NEVER
    this.deadline = Math.min(
      this.progressAt + limit,
      this.sender.rtoAt,
      this.#handshake.ackAt === NEVER ? this.response.ackAt : NEVER,
      this.#output.gateAt,
      this.#holeLimit(),
      this.#handshake.ackAt,
      isIdle ? this.hibernateAt : start
    )
  }
}
