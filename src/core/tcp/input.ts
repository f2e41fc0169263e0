/**
 * What the target sends on an open connection (RFC 9293 §3.10.7.4): which of its segments count, and what each does to
 * the two halves of the connection.
 */
import { ACK, FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { isAfter, isBefore } from '../../wire/seq.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { Purpose } from '../packets/purpose.ts'
import type { ControlBlock } from './control-block.ts'
import type { Opening } from './opening.ts'
import type { Output } from './output.ts'
import type { Receiver } from './receiver.ts'
import { Acknowledged, type Sender } from './sender.ts'

/** A connection that the target does not know so soon after its SYN-ACK was reset by another host. */
const UNKNOWN_WITHIN_MS = 3000

/** RFC 5961 §7, with Linux's time: of what is unacceptable one acknowledgment goes out in this time. */
const CHALLENGE_MS = 500

export class Input {
  /** The target has reset the connection. */
  isReset = false
  /** It has no such connection, right after its SYN-ACK: it cannot have read what was sent on it. */
  isUnknownThere = false
  /** It was asked whether it meant to. */
  #hasChallenged = false
  /** When the last challenge of a reset went out. */
  #challengedAt = Number.NEGATIVE_INFINITY
  /** When the last challenge of anything else went out. */
  #objectedAt = Number.NEGATIVE_INFINITY
  readonly #tcb: ControlBlock
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #opening: Opening
  readonly #output: Output
  readonly #counters: Counters

  constructor(
    tcb: ControlBlock,
    sender: Sender,
    receiver: Receiver,
    opening: Opening,
    output: Output,
    counters: Counters
  ) {
    this.#tcb = tcb
    this.#sender = sender
    this.#receiver = receiver
    this.#opening = opening
    this.#output = output
    this.#counters = counters
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#hasChallenged = snapshot.flag(this.#hasChallenged)
    this.#challengedAt = snapshot.number(this.#challengedAt)
    this.#objectedAt = snapshot.number(this.#objectedAt)
  }

  /** Takes a segment of the target; what it calls for is sent at once, or when the connection is prepared. */
  take(segment: Segment, queue: SendQueue, now: number): Drop {
    const receiver = this.#receiver
    if (segment.flags & RST) return this.#takeReset(segment, now)
    if (segment.flags & SYN) {
      if (!this.#opening.hurry(now)) this.#challenge(Purpose.ChallengesSynAck, now)
      return Drop.None
    }
    if ((segment.flags & ACK) === 0 || receiver.isBeyondWindow(segment.seq)) return Drop.AnswerUnacceptable
    // RFC 7323 §5.3: from before the sequence numbers wrapped, or overtaken.
    if (segment.hasTimestamps && this.#tcb.hasTimestamps && isBefore(segment.tsVal, this.#tcb.tsRecent)) {
      this.#challenge(Purpose.ChallengesOldTimestamp, now)
      return Drop.AnswerUnacceptable
    }
    const result = this.#sender.acknowledge(segment, queue, now)
    if (result === Acknowledged.Unacceptable) {
      this.#challenge(Purpose.ChallengesAcknowledgment, now)
      return Drop.AnswerUnacceptable
    }
    this.#takePayload(segment, now)
    if (result === Acknowledged.Loss) this.#output.retransmitLost(queue)
    return Drop.None
  }

  /**
   * RFC 5961 §3.2: only a reset at the very next byte ends the connection; one elsewhere in the window is challenged, since
   * intercept may have missed what stands before it. A target that is gone answers the challenge at the number that it
   * acknowledges, which is the next byte.
   */
  #takeReset(segment: Segment, now: number): Drop {
    if (!this.#receiver.isInWindow(segment.seq)) return Drop.AnswerUnacceptable
    this.isReset = segment.seq === this.#tcb.rcvNxt
    if (this.isReset) {
      this.#counters.add(Counter.sessionsReset, 1)
      this.isUnknownThere = this.#isForeign(segment, now)
      if (this.isUnknownThere) this.#counters.add(Counter.sessionsDisowned, 1)
      return Drop.None
    }
    this.#hasChallenged = true
    this.#counters.add(Counter.resetsChallenged, 1)
    if (this.#isTooSoon(this.#challengedAt, now)) return Drop.None
    this.#challengedAt = now
    this.#output.acknowledgeAll(Purpose.ChallengesReset)
    return Drop.None
  }

  /** Tells the target what would be acceptable, not too often. */
  #challenge(purpose: Purpose, now: number): void {
    if (this.#isTooSoon(this.#objectedAt, now)) return
    this.#objectedAt = now
    this.#output.acknowledge(purpose)
  }

  /** Two hosts that find each other's segments unacceptable would else answer each other for ever. Counts what it withholds. */
  #isTooSoon(before: number, now: number): boolean {
    if (now - before >= CHALLENGE_MS) return false
    this.#counters.add(Counter.objectionsWithheld, 1)
    return true
  }

  /**
   * A reset without ACK is what RFC 9293 §3.10.7.1 answers where there is no such connection; a target that gives one up
   * acknowledges with it (§3.10.5), and so we had heard of it. Right after a SYN-ACK a host has reset the connection that
   * owns the client's address, and got the SYN-ACK; or the target's server ended before it had our acknowledgment.
   */
  #isForeign(segment: Segment, now: number): boolean {
    if (segment.flags & ACK || this.#hasChallenged || this.#receiver.isClosed) return false
    return now - this.#opening.openedAt <= UNKNOWN_WITHIN_MS
  }

  #takePayload(segment: Segment, now: number): void {
    const receiver = this.#receiver
    const tcb = this.#tcb
    const length = segment.payloadLength + (segment.flags & FIN ? 1 : 0)
    if (isAfter(segment.seq, tcb.rcvNxt)) {
      receiver.hold(segment)
      if (length > 0) this.#output.askForMissing(tcb.isSackPermitted ? 1 : length)
      return
    }
    if (receiver.take(segment, this.#sender.segmentMax, now)) return
    // Bytes seen before, and probes (RFC 9293 §3.8.4), are answered at once.
    if (length > 0) receiver.hurry(now)
    else if (isBefore(segment.seq, tcb.rcvNxt)) receiver.ackAt = now
  }
}
