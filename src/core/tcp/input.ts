/**
 * Handles the target's segments on an open connection (RFC 9293 §3.10.7.4): checks whether each is acceptable and
 * passes it on to the sender and the receiver.
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

/** "No such connection" this soon after the SYN-ACK means that another host reset the connection. */
const UNKNOWN_WITHIN_MS = 3000

/** At most one challenge of each kind goes out in this time (RFC 5961 §7; the value is that of Linux). */
const CHALLENGE_MS = 500

export class Input {
  /** The target has reset the connection. */
  isReset = false
  /** A reset was challenged on this connection. */
  #hasChallenged = false
  /** When the last reset was challenged. */
  #challengedAt = Number.NEGATIVE_INFINITY
  /** When the last other unacceptable segment was challenged. */
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

  /**
   * Takes a segment of the target. Sends challenges and retransmissions at once; acknowledgments become due in
   * `Receiver`.
   */
  take(segment: Segment, queue: SendQueue, now: number): Drop {
    const receiver = this.#receiver
    if (segment.flags & RST) return this.#takeReset(segment, now)
    if (segment.flags & SYN) {
      if (!this.#opening.hurry(now)) this.#challenge(Purpose.ChallengesSynAck, now)
      return Drop.None
    }
    if ((segment.flags & ACK) === 0 || receiver.isBeyondWindow(segment.seq)) return Drop.AnswerUnacceptable
    // RFC 7323 §5.3: the segment is from before the sequence numbers wrapped, or was overtaken.
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
   * RFC 5961 §3.2: only a reset at exactly the next byte ends the connection. One elsewhere in the window is
   * challenged, because intercept may have missed the segments before it. A target without the connection answers the
   * challenge with a reset at its acknowledgment number, which is the next byte.
   */
  #takeReset(segment: Segment, now: number): Drop {
    if (!this.#receiver.isInWindow(segment.seq)) return Drop.AnswerUnacceptable
    this.isReset = segment.seq === this.#tcb.rcvNxt
    if (this.isReset) {
      this.#counters.add(Counter.sessionsReset, 1)
      if (this.#isForeign(segment, now)) this.#counters.add(Counter.sessionsDisowned, 1)
      return Drop.None
    }
    this.#hasChallenged = true
    this.#counters.add(Counter.resetsChallenged, 1)
    if (this.#isTooSoon(this.#challengedAt, now)) return Drop.None
    this.#challengedAt = now
    this.#output.acknowledgeAll(Purpose.ChallengesReset)
    return Drop.None
  }

  /** Answers an unacceptable segment with an acknowledgment, unless the last such answer was too recent. */
  #challenge(purpose: Purpose, now: number): void {
    if (this.#isTooSoon(this.#objectedAt, now)) return
    this.#objectedAt = now
    this.#output.acknowledge(purpose)
  }

  /** Limits challenges; otherwise two hosts that reject each other's segments would answer each other without end. */
  #isTooSoon(before: number, now: number): boolean {
    if (now - before >= CHALLENGE_MS) return false
    this.#counters.add(Counter.objectionsWithheld, 1)
    return true
  }

  /**
   * Whether a reset says that the target has no such connection: it has no ACK (RFC 9293 §3.10.7.1), whereas a target
   * that aborts a connection acknowledges in its reset (§3.10.5). Right after the SYN-ACK such a reset comes from a
   * host that owns the client's address and received the SYN-ACK as well, or the server ended before our acknowledgment
   * arrived.
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
    // Retransmitted bytes and keep-alives (RFC 9293 §3.8.4) are acknowledged at once.
    if (length > 0) receiver.hurry(now)
    else if (isBefore(segment.seq, tcb.rcvNxt)) receiver.ackAt = now
  }
}
