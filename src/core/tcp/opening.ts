/** Opens a copied connection to the target: SYN, SYN-ACK and the acknowledgment of it (RFC 9293 §3.10.7.3). */
import { ACK, RST, type Segment, SYN, TCP_HEADER } from '../../wire/segment.ts'
import { add } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { ipHeaderLength, optionsLength } from '../packets/frames.ts'
import { Purpose } from '../packets/purpose.ts'
import type { ControlBlock } from './control-block.ts'
import type { Receiver } from './receiver.ts'
import type { SegmentWriter } from './segment-writer.ts'
import { SEGMENT_MIN, type Sender } from './sender.ts'
import type { TcpContext } from './tcp-context.ts'

const NEVER = Number.POSITIVE_INFINITY

export class Opening {
  /** SYNs sent. */
  attempts = 0
  /** The target has refused a SYN. */
  isRefused = false
  /**
   * When to acknowledge the SYN-ACK, as late as the client does at the source; Infinity: there is none to acknowledge, or
   * the client has not acknowledged the source's.
   */
  ackAt = NEVER
  /** When the SYN-ACK arrived; Infinity before. */
  openedAt = NEVER
  /** The SYN-ACK is acknowledged, so the connection is open for the target too. */
  isAcknowledged = false
  /** The client's round trip to the source; 0: unknown. */
  #clientRttMs: number
  /** The client has acknowledged the source's SYN-ACK. */
  #isClientConnected = false
  #sentAt = 0
  readonly #tcb: ControlBlock
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #writer: SegmentWriter
  readonly #context: TcpContext

  /** @param clientRttMs the client's round trip to the source; 0: unknown so far */
  constructor(
    tcb: ControlBlock,
    sender: Sender,
    receiver: Receiver,
    writer: SegmentWriter,
    context: TcpContext,
    clientRttMs: number
  ) {
    this.#tcb = tcb
    this.#sender = sender
    this.#receiver = receiver
    this.#writer = writer
    this.#context = context
    this.#clientRttMs = clientRttMs
  }

  /** See `Snapshot`. Only for an open connection. */
  save(snapshot: Snapshot): void {
    this.openedAt = snapshot.number(this.openedAt)
    this.isAcknowledged = true
  }

  /** Sends the SYN, for the first time or again. */
  send(now: number): void {
    const { iss, identity } = this.#tcb
    const sender = this.#sender
    const isAgain = this.attempts > 0
    if (isAgain) sender.roundTrip.timedOut()
    this.attempts += 1
    this.#sentAt = now
    this.#context.counters.add(Counter.synsSent, 1)
    this.#writer.control(SYN, iss, isAgain ? Purpose.SynAgain : Purpose.Copy, isAgain ? 0 : identity.ipId)
    if (isAgain) sender.rtoAt = now + sender.roundTrip.rtoMs
    else sender.sent(1, NONE, false, now)
  }

  /**
   * RFC 9293 §3.10.7.3: only a SYN-ACK that acknowledges our SYN opens the connection, which `openedAt` then shows.
   * @returns why the answer was dropped, or None
   */
  take(segment: Segment, now: number): Drop {
    if ((segment.flags & ACK) === 0) return Drop.AnswerUnacceptable
    const isOurs = segment.ack === this.#tcb.first
    // The target still holds an older connection of this port and challenges our SYN (RFC 5961 §4). If that one expects
    // the byte after our SYN, the challenge has the number of a SYN-ACK, but no SYN. Before the SYN was repeated, it
    // may also be a late packet, and a reset would hit the new connection.
    if ((segment.flags & RST) === 0 && !(isOurs && segment.flags & SYN)) {
      if (!isOurs || this.attempts > 1) this.#writer.control(RST, segment.ack, Purpose.ResetsOlder)
      return Drop.AnswerUnacceptable
    }
    if (!isOurs) return Drop.AnswerUnacceptable
    if (segment.flags & RST) {
      // A target that is being restarted refuses for a while. The SYN's timer tries again.
      this.#context.counters.add(Counter.refusals, 1)
      this.isRefused = true
      return Drop.None
    }
    this.#open(segment, now)
    return Drop.None
  }

  /** Puts into force what both sides offered. */
  #open(segment: Segment, now: number): void {
    const tcb = this.#tcb
    const sender = this.#sender
    tcb.hasTimestamps = tcb.hasTimestamps && segment.hasTimestamps
    tcb.isSackPermitted = tcb.isSackPermitted && segment.sackPermitted
    const isScaled = tcb.windowScale >= 0 && segment.windowScale >= 0
    this.#writer.open(isScaled)
    if (this.attempts > 1) sender.roundTrip.cancel()
    sender.open(segment, isScaled ? segment.windowScale : 0, this.#mssMax, optionsLength(tcb), now)
    this.#receiver.open(add(segment.seq, 1), segment.tsVal)
    this.#receiver.asked(now)
    this.openedAt = now
    this.#context.counters.add(Counter.synAcks, 1)
    this.#planAck(now)
  }

  /**
   * Plans the acknowledgment of the SYN-ACK: never before the client's own. A connection that a client leaves half-open
   * at the source stays half-open at the target.
   */
  #planAck(now: number): void {
    if (!this.#isClientConnected || this.openedAt === NEVER || this.isAcknowledged) return
    const { roundTripMs: given, isWithoutAcks } = this.#context
    // The round trip was measured with the client's acknowledgment, so the client has waited that long.
    const isMeasured = given === undefined && !isWithoutAcks
    this.ackAt = isMeasured ? now : Math.max(now, this.#sentAt + (given ?? this.#clientRttMs))
  }

  /**
   * Takes a repeated SYN-ACK, which is acknowledged at once if the client has acknowledged the source's.
   * @returns false if the first one was acknowledged before
   */
  hurry(now: number): boolean {
    if (this.isAcknowledged) return false
    if (this.#isClientConnected) this.ackAt = now
    return true
  }

  /**
   * The client's handshake is complete: its acknowledgment was captured, or the connection is joined.
   * @param rttMs time between the client's SYN and acknowledgment, or the least known one; 0: unknown
   */
  clientHasAcknowledged(rttMs: number, now: number): void {
    this.#isClientConnected = true
    this.#clientRttMs = rttMs
    this.#planAck(now)
  }

  /** Acknowledges the SYN-ACK if it is time. @returns true if that is done: data may be sent */
  acknowledge(now: number): boolean {
    if (this.isAcknowledged) return true
    if (now < this.ackAt) return false
    this.ackAt = NEVER
    this.isAcknowledged = true
    this.#writer.control(ACK, this.#tcb.sndMax, Purpose.Handshake)
    this.#receiver.setPace((this.#context.roundTripMs ?? this.#clientRttMs) - this.#sender.roundTrip.smoothedMs)
    return true
  }

  /** Largest segment that the path MTU and the client's MSS allow, TCP options included, in bytes. */
  get #mssMax(): number {
    const { targetAddress, mss } = this.#tcb
    const own = this.#context.mtu(targetAddress) - ipHeaderLength(targetAddress) - TCP_HEADER
    return mss > 0 ? Math.min(own, mss) : own
  }

  /** Largest payload of a segment before the target's MSS is known, in bytes. */
  get segmentMax(): number {
    return Math.max(SEGMENT_MIN, this.#mssMax - optionsLength(this.#tcb))
  }
}
