/**
 * What the target sends on an open connection (RFC 9293 §3.10.7.4): which of its segments count, and what each does to
 * the two halves of the session.
 */
import { ACK, FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { distance, isAfter, isBefore } from '../../wire/seq.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { Handshake } from '../target/handshake.ts'
import { Acknowledged } from '../tcp/sender.ts'
import type { Output } from './output.ts'
import type { Session } from './session.ts'
import type { SessionContext } from './session-context.ts'

/** A connection that the target does not know so soon after its SYN-ACK was reset by another host. */
const DISOWNED_WITHIN_MS = 3000

/** RFC 5961 §7, with Linux's time: of what is unacceptable one acknowledgment goes out in this time. */
const OBJECTION_MS = 500

/** Two hosts that find each other's segments unacceptable would else answer each other for ever. Counts what it withholds. */
class Throttle {
  #lastAt = Number.NEGATIVE_INFINITY
  readonly #counters: Counters

  constructor(counters: Counters) {
    this.#counters = counters
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#lastAt = snapshot.number(this.#lastAt)
  }

  allows(now: number): boolean {
    if (now - this.#lastAt < OBJECTION_MS) {
      this.#counters.add(Counter.objectionsWithheld, 1)
      return false
    }
    this.#lastAt = now
    return true
  }
}

export class AnswerHandler {
  /** The target has reset the connection. */
  isReset = false
  /** It has no such connection, right after its SYN-ACK: it cannot have read what was sent on it. */
  isDisowned = false
  /** It was asked whether it meant to. */
  #hasChallenged = false
  readonly #challenges: Throttle
  readonly #objections: Throttle
  readonly #session: Session
  readonly #handshake: Handshake
  readonly #output: Output
  readonly #context: SessionContext

  constructor(session: Session, handshake: Handshake, output: Output, context: SessionContext) {
    this.#challenges = new Throttle(context.counters)
    this.#objections = new Throttle(context.counters)
    this.#session = session
    this.#handshake = handshake
    this.#output = output
    this.#context = context
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#hasChallenged = snapshot.flag(this.#hasChallenged)
    this.#handshake.openedAt = snapshot.number(this.#handshake.openedAt)
    this.#challenges.save(snapshot)
    this.#objections.save(snapshot)
  }

  /** Takes a header that intercept returned; what it calls for is sent at once, or when the session is stepped. */
  take(segment: Segment, now: number): Drop {
    const { response } = this.#session
    if (segment.flags & RST) return this.#takeReset(segment, now)
    if (segment.flags & SYN) {
      if (!this.#handshake.hurry(now)) this.#object('SYN-ACK again', now)
      return Drop.None
    }
    if ((segment.flags & ACK) === 0 || response.isBeyondWindow(segment.seq)) return Drop.AnswerUnacceptable
    // RFC 7323 §5.3: from before the sequence numbers wrapped, or overtaken.
    if (segment.hasTimestamps && this.#session.hasTimestamps && isBefore(segment.tsVal, response.tsRecent)) {
      this.#object('answer with an old timestamp', now)
      return Drop.AnswerUnacceptable
    }
    const result = this.#takeAcknowledgment(segment, now)
    if (result === Acknowledged.Unacceptable) {
      this.#object('acknowledgment of unsent octets', now)
      return Drop.AnswerUnacceptable
    }
    this.#takeOctets(segment, now)
    if (result === Acknowledged.Loss) this.#output.retransmitLost()
    return Drop.None
  }

  /**
   * RFC 5961 §3.2: only a reset at the very next octet ends the session; one elsewhere in the window is challenged, since
   * intercept may have missed what stands before it. A target that is gone answers the challenge at the number that it
   * acknowledges, which is the next octet.
   */
  #takeReset(segment: Segment, now: number): Drop {
    const { response } = this.#session
    const { counters } = this.#context
    if (!response.isInWindow(segment.seq)) return Drop.AnswerUnacceptable
    this.isReset = segment.seq === response.rcvNxt
    if (this.isReset) {
      counters.add(Counter.sessionsReset, 1)
      this.isDisowned = this.#isForeign(segment, now)
      if (this.isDisowned) counters.add(Counter.sessionsDisowned, 1)
    } else {
      this.#hasChallenged = true
      counters.add(Counter.resetsChallenged, 1)
      if (this.#challenges.allows(now)) this.#output.acknowledgeAll('challenge of a reset')
    }
    return Drop.None
  }

  /** Tells the target what would be acceptable, not too often. */
  #object(why: string, now: number): void {
    if (this.#objections.allows(now)) this.#output.acknowledge(why)
  }

  /**
   * A reset without ACK is what RFC 9293 §3.10.7.1 answers where there is no such connection; a target that gives one up
   * acknowledges with it (§3.10.5), and so we had heard of it. Right after a SYN-ACK a host has reset the connection that
   * owns the client's address, and got the SYN-ACK; or the target's server ended before it had our acknowledgment.
   */
  #isForeign(segment: Segment, now: number): boolean {
    if (segment.flags & ACK || this.#hasChallenged || this.#session.response.isClosed) return false
    return now - this.#handshake.openedAt <= DISOWNED_WITHIN_MS
  }

  #takeAcknowledgment(segment: Segment, now: number): Acknowledged {
    const { sender, stream } = this.#session
    const { counters, pool } = this.#context
    const before = sender.sndUna
    const result = sender.acknowledge(segment, stream, pool, now)
    const after = sender.sndUna
    if (after === before) return result
    this.#session.progressAt = now
    const octets = distance(isAfter(after, stream.end) ? stream.end : after, before)
    counters.add(Counter.deliveredBytes, octets)
    counters.add(Counter.pendingBytes, -octets)
    return result
  }

  #takeOctets(segment: Segment, now: number): void {
    const { response, sender } = this.#session
    const length = segment.payloadLength + (segment.flags & FIN ? 1 : 0)
    if (isAfter(segment.seq, response.rcvNxt)) {
      response.hold(segment)
      if (length > 0) this.#output.askForMissing(this.#session.isSackPermitted ? 1 : length)
      return
    }
    if (response.take(segment, sender.segmentMax, now)) this.#session.progressAt = now
    // Octets seen before, and probes (RFC 9293 §3.8.4), are answered at once.
    else if (length > 0) response.hurry(now)
    else if (isBefore(segment.seq, response.rcvNxt)) response.ackAt = now
  }
}
