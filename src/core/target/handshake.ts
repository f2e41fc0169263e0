/** The opening of a copied connection, towards the target (RFC 9293 §3.10.7.3). */
import { ACK, RST, type Segment, SYN, TCP_HEADER } from '../../wire/segment.ts'
import { add } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { NONE } from '../memory/send-pool.ts'
import { ipHeaderLength, optionsLength } from '../packets/frames.ts'
import type { Session } from '../session/session.ts'
import { type SessionContext, State } from '../session/session-context.ts'
import type { SegmentWriter } from '../tcp/segment-writer.ts'
import { SEGMENT_MIN } from '../tcp/sender.ts'

const NEVER = Number.POSITIVE_INFINITY
/** A target repeats its SYN-ACK after a second: before that it is acknowledged in any case. */
const ACK_PATIENCE_MS = 900

export class Handshake {
  /** SYNs sent. */
  attempts = 0
  /** Why it failed, should it never be answered otherwise. */
  failure: Drop = Drop.Unanswered
  /** When the SYN-ACK is acknowledged: as late as the client did its own; Infinity: before the SYN-ACK, and after. */
  ackAt = NEVER
  /** When the SYN-ACK came. */
  openedAt = NEVER
  #sentAt = 0
  readonly #session: Session
  readonly #packets: SegmentWriter
  readonly #context: SessionContext

  constructor(session: Session, packets: SegmentWriter, context: SessionContext) {
    this.#session = session
    this.#packets = packets
    this.#context = context
  }

  /** Sends the SYN, or sends it again. */
  send(now: number): void {
    const { sender, iss, identity } = this.#session
    const isAgain = this.attempts > 0
    if (isAgain) sender.roundTrip.timedOut()
    this.attempts += 1
    this.#sentAt = now
    this.#context.counters.add(Counter.synsSent, 1)
    this.#packets.control(SYN, iss, isAgain ? 'SYN again' : '', isAgain ? 0 : identity.ipId)
    if (isAgain) sender.rtoAt = now + sender.roundTrip.rtoMs
    else sender.sent(1, NONE, false, now)
  }

  /** RFC 9293 §3.10.7.3: only a SYN-ACK of this very incarnation opens the session. */
  onAnswer(segment: Segment, now: number): Drop {
    if ((segment.flags & ACK) === 0) return Drop.AnswerUnacceptable
    const isOurs = segment.ack === add(this.#session.iss, 1)
    // The target holds an older connection of this port: its challenge asks whether that may go (RFC 5961 §4). One
    // that awaits the octet after our SYN acknowledges that, but only a SYN-ACK is an answer to it. Before the SYN was
    // repeated such a challenge may be a late packet, and a reset would hit the new connection.
    if ((segment.flags & RST) === 0 && !(isOurs && segment.flags & SYN)) {
      if (!isOurs || this.attempts > 1) this.#packets.control(RST, segment.ack, 'reset of an older connection')
      return Drop.AnswerUnacceptable
    }
    if (!isOurs) return Drop.AnswerUnacceptable
    if (segment.flags & RST) {
      // A target that is being restarted refuses for a while: the SYN's timer tries again.
      this.#context.counters.add(Counter.refusals, 1)
      this.failure = Drop.TargetRefused
      return Drop.None
    }
    this.#open(segment, now)
    return Drop.None
  }

  /** Takes what both sides offered into force. */
  #open(segment: Segment, now: number): void {
    const session = this.#session
    const { sender, response } = session
    session.hasTimestamps = session.hasTimestamps && segment.hasTimestamps
    session.isSackPermitted = session.isSackPermitted && segment.sackPermitted
    const isScaled = session.windowScale >= 0 && segment.windowScale >= 0
    this.#packets.open(isScaled)
    if (this.attempts > 1) sender.roundTrip.cancel()
    sender.open(segment, isScaled ? segment.windowScale : 0, this.mssMax, optionsLength(session), now)
    response.open(add(segment.seq, 1))
    response.asked(now)
    response.tsRecent = segment.tsVal
    session.state = State.Established
    this.openedAt = now
    this.#context.onOpen(session)
    this.#context.counters.add(Counter.synAcks, 1)
    this.ackAt = now + this.#patience(now)
  }

  /** How long after the SYN-ACK the client's acknowledgment, if it was not captured yet, may still come. */
  #patience(now: number): number {
    const session = this.#session
    const { clientRttMs: given, roundTrips } = this.#context
    const clientRttMs = given ?? session.clientRttMs
    if (given === undefined && session.identity.isJoined) return 0
    if (given === undefined && clientRttMs === 0) return ACK_PATIENCE_MS
    // Known by the captured acknowledgment itself.
    if (given === undefined && roundTrips === undefined) return 0
    return Math.max(0, clientRttMs - (now - this.#sentAt))
  }

  /** The target's SYN-ACK came again. @returns false if it was acknowledged before */
  hurry(now: number): boolean {
    if (this.ackAt === NEVER) return false
    this.ackAt = now
    return true
  }

  /** The client's acknowledgment was captured. */
  clientHasAcknowledged(now: number): void {
    if (this.ackAt !== NEVER && this.#context.clientRttMs === undefined) this.ackAt = now
  }

  /** @returns true once the SYN-ACK is acknowledged: data may go */
  acknowledge(now: number): boolean {
    if (this.ackAt === NEVER) return true
    if (now < this.ackAt) return false
    this.ackAt = NEVER
    const { sender, response, clientRttMs } = this.#session
    this.#packets.control(ACK, sender.sndMax, 'handshake')
    response.setPace((this.#context.clientRttMs ?? clientRttMs) - sender.roundTrip.smoothedMs)
    return true
  }

  /** Most octets of a segment that our side and the client allow. */
  get mssMax(): number {
    const own =
      this.#context.mtu(this.#session.targetAddress) - ipHeaderLength(this.#session.targetAddress) - TCP_HEADER
    return this.#session.mss > 0 ? Math.min(own, this.#session.mss) : own
  }

  /** Most octets of payload in a segment, before the target has named its size. */
  get segmentMax(): number {
    return Math.max(SEGMENT_MIN, this.mssMax - optionsLength(this.#session))
  }
}
