/**
 * The copy of one client connection: a TCP sender that speaks to the target as the client, with the client's bytes,
 * in the client's rhythm. It takes captured segments of the client, answers of the target and the time; its only
 * effects are packets, counters and `onEnd`.
 */
import { ACK, FIN, RST, type Segment, SYN } from '../wire/segment.ts'
import { add, distance, isAfter, isBefore, type Seq, seq } from '../wire/seq.ts'
import { ClientStream } from './client-stream.ts'
import { Counter } from './counters.ts'
import { Drop } from './drop.ts'
import { Epochs } from './epochs.ts'
import { optionsLength, type PacketStyle } from './frames.ts'
import { Output } from './output.ts'
import { PacketWriter } from './packet-writer.ts'
import { ResponseStream } from './response-stream.ts'
import { NONE, PIECE_MAX } from './send-pool.ts'
import { type Origin, type SessionContext, State } from './session-context.ts'
import { Acknowledged, Transmission } from './transmission.ts'

const MTU_HEADERS = 40
const HOLE_PATIENCE_MS = 2000
const NEVER = Number.POSITIVE_INFINITY

/** A function, because what it asks for changes behind the compiler's back. */
function isEnded(state: State): boolean {
  return state === State.Closed
}

export class Session implements PacketStyle {
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
  readonly ttl: number
  readonly trafficClass: number
  readonly mss: number
  readonly windowScale: number
  /** In the SYN: offered; after the SYN-ACK: in force. */
  isSackPermitted: boolean
  hasTimestamps: boolean
  readonly origin: Origin
  /** Slot in the table of sessions; also the timer wheel's entry. */
  readonly id: number
  readonly iss: Seq
  state: State = State.Waiting
  /** The session must be stepped at this instant, or before. */
  deadline = NEVER
  /** What the timer wheel has; never later than `deadline`. */
  armedAt = NEVER
  /** It has taken packets and waits to be stepped. */
  isReady = false
  /** A later connection of the same client address and port, which begins when this one has ended. */
  successor: Session | undefined
  /** Why it ended; None: both sides had closed, or the client reset it. */
  endReason: Drop = Drop.None
  readonly transmission: Transmission
  readonly response = new ResponseStream()
  readonly stream: ClientStream
  readonly #epochs = new Epochs()
  readonly #context: SessionContext
  readonly #packets: PacketWriter
  readonly #output: Output
  #synAttempts = 0
  #progressAt: number
  #holeSince = NEVER
  #hasReset = false
  #resetSeq: Seq = seq(0)
  #resetAck: Seq = seq(0)

  constructor(id: number, origin: Origin, segment: Segment, context: SessionContext, now: number) {
    this.id = id
    this.origin = origin
    this.clientAddress = origin.clientAddress
    this.clientPort = origin.clientPort
    this.targetAddress = origin.targetAddress
    this.targetPort = origin.targetPort
    this.ttl = origin.ttl
    this.trafficClass = origin.trafficClass
    this.mss = origin.mss
    this.windowScale = origin.windowScale
    this.isSackPermitted = origin.isSackPermitted
    this.hasTimestamps = origin.hasTimestamps
    // In mid-stream a SYN is made up whose sequence number is the one before the first octet.
    this.iss = origin.isJoined ? add(segment.seq, -1) : segment.seq
    this.#context = context
    this.#packets = new PacketWriter(this, this.response, context, segment.tsVal)
    this.transmission = new Transmission(this.iss)
    this.stream = new ClientStream(add(this.iss, 1), context.pool, context.counters)
    const { stream, transmission, response } = this
    this.#output = new Output(stream, transmission, response, this.#epochs, this.#packets, context)
    this.response.sawWindow(origin.isJoined ? this.#packets.scaled(segment.window) : segment.window)
    this.#progressAt = now
    this.#plan()
  }

  /** True once the client has closed its half or reset the connection. */
  get isClientDone(): boolean {
    return this.stream.hasFin || this.#hasReset
  }

  /** Why octets that were captured are not sent yet, for `--trace`; empty if none wait. */
  get waitsFor(): string {
    if (this.state === State.Waiting) return 'the end of the connection before it with the same address and port'
    const { sndNxt, sndMax, sndWnd } = this.transmission
    if (!isBefore(sndNxt, this.stream.end)) return this.stream.hasHole ? 'octets that were not captured' : ''
    if (this.state === State.SynSent) return "the target's SYN-ACK"
    if (sndNxt === sndMax && this.#output.gateAt !== NEVER) return "the target's answer to the request before"
    return this.transmission.flightBytes + this.transmission.segmentMax > sndWnd
      ? "the target's window"
      : 'acknowledgments: the congestion window is full'
  }

  /** Sends the SYN. */
  start(now: number): void {
    this.state = State.SynSent
    this.#progressAt = now
    this.#context.announce(this)
    this.#sendSyn(now)
    this.#plan()
  }

  /** Takes a captured segment of this client connection, other than the SYN that began it; `step` acts on it. */
  onSource(segment: Segment, now: number): Drop {
    if (segment.flags & SYN) return this.#onSynAgain(segment)
    if (segment.flags & RST) return this.#onClientReset(segment, now)
    this.response.sawWindow(this.#packets.scaled(segment.window))
    if (segment.flags & ACK) this.#epochs.begin(segment.ack)
    let result: Drop = Drop.PureAck
    if (segment.payloadLength > 0) {
      if (this.#isIdle()) this.#progressAt = now
      result = this.stream.insert(segment, this.#cut())
    }
    if (segment.flags & FIN && !this.stream.hasFin) {
      this.stream.hasFin = true
      this.stream.finSeq = add(segment.seq, segment.payloadLength)
      this.#output.finAck = segment.ack
      this.#output.finIpId = segment.payloadLength === 0 ? segment.ipId : 0
      if (this.#isIdle()) this.#progressAt = now
      result = Drop.None
    }
    return result
  }

  /** Takes a header that intercept returned; `step` acts on it. */
  onTarget(segment: Segment, now: number): Drop {
    if (this.state === State.SynSent) return this.#onAnswerToSyn(segment, now)
    if (this.state !== State.Established) return Drop.AnswerUnacceptable
    if (segment.flags & RST) return this.#onTargetReset(segment, now)
    if (segment.flags & SYN) {
      this.#output.acknowledge('SYN-ACK again')
      return Drop.None
    }
    if ((segment.flags & ACK) === 0 || this.response.isBeyondWindow(segment.seq)) return Drop.AnswerUnacceptable
    const result = this.#acknowledge(segment, now)
    if (result === Acknowledged.Unacceptable) {
      this.#output.acknowledge('acknowledgment of unsent octets')
      return Drop.AnswerUnacceptable
    }
    const drop = this.#receive(segment, now)
    if (result === Acknowledged.Loss) this.#output.retransmitLost()
    return drop
  }

  /** Does what is due. Calling it early is harmless. */
  onTimer(now: number): void {
    if (isEnded(this.state)) return
    const idleLimit = this.#isIdle() ? this.#context.keepAliveMs : this.#context.timeoutMs
    if (now - this.#progressAt >= idleLimit) this.#onTimeLimit(now)
    if (isEnded(this.state)) return
    if (this.#holeSince + HOLE_PATIENCE_MS <= now && this.#isDeliveredSoFar()) {
      this.abort(Drop.Hole, now)
      return
    }
    if (this.state === State.SynSent && now >= this.transmission.rtoAt) this.#sendSyn(now)
    else if (this.state === State.Established && now >= this.transmission.rtoAt) this.#output.timedOut(now)
    this.step(now)
  }

  /** Ends the session at once: the target's side is reset, what was not delivered is dropped for `reason`. */
  abort(reason: Drop, now: number): void {
    if (this.state === State.Established || (this.state === State.SynSent && this.#synAttempts > 0)) {
      const flags = this.state === State.Established ? RST | ACK : RST
      this.#packets.control(flags, this.transmission.sndMax, 'session ends')
    }
    this.#end(reason, now)
  }

  /**
   * The client opened a new connection with this address and port: this one is over at its side.
   * @param successor the copy that waits for this one's end; undefined if none does
   */
  supersede(successor: Session | undefined, now: number): void {
    this.successor = successor
    if (!this.isClientDone) {
      this.#hasReset = true
      this.#resetSeq = this.stream.end
      this.#resetAck = this.#output.finAck
    }
    this.step(now)
  }

  /** Octets in a SYN (RFC 7413) go once the target has answered ours. */
  #onSynAgain(segment: Segment): Drop {
    return segment.payloadLength > 0 ? this.stream.insert(segment, this.#cut()) : Drop.Duplicate
  }

  #cut(): number {
    const size = this.state === State.Established ? this.transmission.segmentMax : this.#mssMax() - optionsLength(this)
    return Math.min(size, PIECE_MAX)
  }

  #mssMax(): number {
    const own = this.#context.mtuBytes - MTU_HEADERS
    return this.mss > 0 ? Math.min(own, this.mss) : own
  }

  #isIdle(): boolean {
    const isSent = this.transmission.isAllAcknowledged && this.transmission.sndUna === this.stream.end
    return this.state === State.Established && isSent && !this.isClientDone && !this.stream.hasHole
  }

  #isDeliveredSoFar(): boolean {
    return !isBefore(this.transmission.sndUna, this.stream.end)
  }

  #onTimeLimit(now: number): void {
    this.#context.counters.add(Counter.sessionsTimedOut, 1)
    this.abort(this.state === State.SynSent ? Drop.Unanswered : Drop.TimedOut, now)
  }

  #onClientReset(segment: Segment, now: number): Drop {
    if (segment.payloadLength > 0) this.#context.counters.drop(Drop.BeyondEnd, 0, segment.payloadLength)
    if (this.#hasReset) return Drop.Duplicate
    this.#hasReset = true
    this.#resetSeq = segment.seq
    this.#resetAck = segment.flags & ACK ? segment.ack : seq(0)
    if ((segment.flags & ACK) === 0) this.#resetAck = this.#output.finAck
    this.#progressAt = now
    return Drop.None
  }

  /** RFC 9293 §3.10.7.3: only a SYN-ACK of this very incarnation opens the session. */
  #onAnswerToSyn(segment: Segment, now: number): Drop {
    if ((segment.flags & ACK) === 0) return Drop.AnswerUnacceptable
    if (segment.ack !== add(this.iss, 1)) {
      // The target holds an older connection of this port: its challenge asks whether that may go (RFC 5961 §4).
      if ((segment.flags & RST) === 0) this.#packets.control(RST, segment.ack, 'reset of an older connection')
      return Drop.AnswerUnacceptable
    }
    if (segment.flags & RST) {
      this.#context.counters.add(Counter.sessionsReset, 1)
      this.#end(Drop.TargetRefused, now)
      return Drop.None
    }
    if ((segment.flags & SYN) === 0) return Drop.AnswerUnacceptable
    this.hasTimestamps = this.hasTimestamps && segment.hasTimestamps
    this.isSackPermitted = this.isSackPermitted && segment.sackPermitted
    const isScaled = this.windowScale >= 0 && segment.windowScale >= 0
    this.#packets.open(isScaled)
    const targetShift = isScaled ? segment.windowScale : 0
    if (this.#synAttempts > 1) this.transmission.roundTrip.cancel()
    this.transmission.open(segment, targetShift, this.#mssMax(), optionsLength(this), now)
    this.response.open(add(segment.seq, 1))
    this.response.tsRecent = segment.tsVal
    this.state = State.Established
    this.#progressAt = now
    this.#context.counters.add(Counter.synAcks, 1)
    this.#output.acknowledge('handshake')
    return Drop.None
  }

  #onTargetReset(segment: Segment, now: number): Drop {
    if (!this.response.isInWindow(segment.seq)) return Drop.AnswerUnacceptable
    this.#context.counters.add(Counter.sessionsReset, 1)
    this.#end(this.isClientDone && this.#isDeliveredSoFar() ? Drop.None : Drop.TargetReset, now)
    return Drop.None
  }

  #acknowledge(segment: Segment, now: number): Acknowledged {
    const before = this.transmission.sndUna
    const result = this.transmission.acknowledge(segment, this.stream, this.#context.pool, now)
    const after = this.transmission.sndUna
    if (after === before) return result
    this.#progressAt = now
    const octets = distance(isAfter(after, this.stream.end) ? this.stream.end : after, before)
    this.#context.counters.add(Counter.deliveredBytes, octets)
    this.#context.counters.add(Counter.pendingBytes, -octets)
    return result
  }

  #receive(segment: Segment, now: number): Drop {
    const length = segment.payloadLength + (segment.flags & FIN ? 1 : 0)
    if (isAfter(segment.seq, this.response.rcvNxt)) {
      this.response.hold(segment)
      if (length > 0) this.#output.acknowledge('duplicate, asks for what is missing')
      return Drop.None
    }
    if (this.response.take(segment, this.transmission.segmentMax, now)) this.#progressAt = now
    // Octets seen before, and probes (RFC 9293 §3.8.4), are answered at once.
    else if (length > 0 || isBefore(segment.seq, this.response.rcvNxt)) this.response.ackAt = now
    return Drop.None
  }

  /** Sends what may be sent, and works out when to look again. To be called after packets were taken. */
  step(now: number): void {
    if (isEnded(this.state)) return
    if (this.state === State.Established) {
      this.#output.sendDue(now)
      if (this.#sendReset(now) || this.#closeWhenDone(now)) return
      if (this.response.ackAt <= now) this.#output.acknowledge('acknowledgment')
    }
    if (!this.#lacksOctets()) this.#holeSince = NEVER
    else if (this.#holeSince === NEVER) this.#holeSince = now
    this.#plan()
  }

  #lacksOctets(): boolean {
    const end = this.stream.isComplete ? add(this.stream.end, 1) : this.stream.end
    return this.stream.hasHole || (this.#hasReset && isAfter(this.#resetSeq, end))
  }

  /** @returns true if the session ended with the client's reset */
  #sendReset(now: number): boolean {
    if (!this.#hasReset || this.#lacksOctets() || !this.transmission.isAllAcknowledged) return false
    if (!this.#isDeliveredSoFar()) return false
    if (this.#resetAck !== 0 && !this.#output.mayGo(this.#resetAck, false, now)) return false
    this.#packets.control(RST | ACK, this.transmission.sndNxt, '')
    this.#end(Drop.None, now)
    return true
  }

  #closeWhenDone(now: number): boolean {
    if (!this.#output.isFinSent || !this.response.isClosed || !this.transmission.isAllAcknowledged) return false
    if (this.response.ackAt !== NEVER) this.#output.acknowledge('acknowledgment')
    this.#context.counters.add(Counter.sessionsClosed, 1)
    this.#end(Drop.None, now)
    return true
  }

  #sendSyn(now: number): void {
    if (this.#synAttempts > 0) this.transmission.roundTrip.timedOut()
    this.#synAttempts += 1
    this.#context.counters.add(Counter.synsSent, 1)
    const isAgain = this.#synAttempts > 1
    this.#packets.control(SYN, this.iss, isAgain ? 'SYN again' : '', isAgain ? 0 : this.origin.ipId)
    this.transmission.rtoAt = NEVER
    if (this.#synAttempts === 1) {
      this.transmission.sent(1, NONE, false, now)
    } else this.transmission.rtoAt = now + this.transmission.roundTrip.rtoMs
  }

  #end(reason: Drop, now: number): void {
    const una = isBefore(this.transmission.sndUna, add(this.iss, 1)) ? add(this.iss, 1) : this.transmission.sndUna
    this.stream.clear(una, reason === Drop.None ? Drop.BeyondEnd : reason)
    this.state = State.Closed
    this.endReason = reason
    this.deadline = NEVER
    this.#context.counters.add(Counter.sessionsEnded, 1)
    if (this.#context.trace !== undefined) this.#context.trace.ended(this, reason)
    this.#context.onEnd(this, now)
  }

  /** The earliest instant at which anything is due. */
  #plan(): void {
    const limit = this.#isIdle() ? this.#context.keepAliveMs : this.#context.timeoutMs
    const hole = this.#isDeliveredSoFar() ? this.#holeSince + HOLE_PATIENCE_MS : NEVER
    this.deadline = Math.min(
      this.#progressAt + limit,
      this.transmission.rtoAt,
      this.response.ackAt,
      this.#output.gateAt,
      hole
    )
  }
}
