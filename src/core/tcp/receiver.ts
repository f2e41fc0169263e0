/**
 * The receiving half of a copied connection: which bytes of the answer arrived, when to acknowledge them, and which
 * window to advertise. It works on sequence numbers alone, because intercept returns headers without payload.
 */
import { ACK, FIN, PSH, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, type Seq, seq } from '../../wire/seq.ts'
import { Ranges } from '../memory/ranges.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { AckPacer } from './ack-pacer.ts'
import type { ControlBlock } from './control-block.ts'

/** How long an acknowledgment waits for a request to carry it (RFC 9293 §3.8.6.3 allows 500 ms). */
const ACK_DELAY_MS = 40
/** A smaller captured window is not used for our own packets, because an answer must fit. */
const WINDOW_ENOUGH = 32 * 1024
const WINDOW_OWN = 65535
/** A shorter pace counts as none. Timers fire on whole milliseconds. */
const PACE_LEAST_MS = 1
/** The largest possible window (RFC 7323 §2.3). Bytes farther beyond a gap are ignored. */
const HELD_REACH = 1 << 30

export class Receiver {
  readonly #tcb: ControlBlock
  receivedBytes = 0
  isPushed = false
  /** When payload last arrived. */
  #lastAt = 0
  /** When the last in-order segment arrived at the assistant; NaN: unknown. */
  arrivedAt = Number.NaN
  waitMs = 0
  pauseMs = 0
  #askedAt = 0
  isClosed = false
  /** When an acknowledgment is due; Infinity: there is nothing to acknowledge. */
  ackAt = Number.POSITIVE_INFINITY
  /** Extra delay of acknowledgments: by how much the client's round trip is longer than ours. */
  #paceMs = 0
  #pacer: AckPacer | undefined
  /** Largest window captured from the client, in bytes. */
  largestWindow = 0
  /** Ranges received beyond `rcvNxt`; created when first needed. */
  #held: Ranges | undefined
  /** The latest segment beyond the gap had PSH. */
  #isHeldPushed = false
  #hasHeldFin = false
  #heldFin: Seq = seq(0)
  /** Right edge of the window advertised so far. */
  #rightEdge: Seq = seq(0)
  #unacknowledgedBytes = 0

  constructor(tcb: ControlBlock) {
    this.#tcb = tcb
  }

  /** Everything received is acknowledged, there is no gap, and the target has not closed. */
  get isQuiescent(): boolean {
    return this.ackAt === Number.POSITIVE_INFINITY && !this.isClosed && !this.#hasHeldFin && !this.heldRanges
  }

  /** See `Snapshot`. Only while `isQuiescent`. */
  save(snapshot: Snapshot): void {
    const tcb = this.#tcb
    tcb.rcvNxt = snapshot.seq(tcb.rcvNxt)
    this.receivedBytes = snapshot.number(this.receivedBytes)
    this.isPushed = snapshot.flag(this.isPushed)
    this.#lastAt = snapshot.number(this.#lastAt)
    this.waitMs = snapshot.number(this.waitMs)
    this.pauseMs = snapshot.number(this.pauseMs)
    this.#askedAt = snapshot.number(this.#askedAt)
    tcb.ackNxt = snapshot.seq(tcb.ackNxt)
    this.#paceMs = snapshot.number(this.#paceMs)
    tcb.tsRecent = snapshot.seq(tcb.tsRecent)
    this.largestWindow = snapshot.whole(this.largestWindow)
    this.#rightEdge = snapshot.seq(this.#rightEdge)
  }

  /**
   * Starts with the SYN-ACK.
   * @param next the byte after the target's SYN; @param tsVal the SYN-ACK's timestamp value
   */
  open(next: Seq, tsVal: Seq): void {
    const tcb = this.#tcb
    tcb.tsRecent = tsVal
    tcb.rcvNxt = next
    tcb.ackNxt = next
    this.#rightEdge = next
  }

  /** @param windowBytes a window that the client advertised to the source */
  sawWindow(windowBytes: number): void {
    if (windowBytes > this.largestWindow) this.largestWindow = windowBytes
  }

  /** Ranges received beyond a gap; undefined if there is no gap. */
  get heldRanges(): Ranges | undefined {
    return this.#held !== undefined && this.#held.count > 0 ? this.#held : undefined
  }

  /** @param paceMs extra delay of acknowledgments; 0 if below the resolution of timers */
  setPace(paceMs: number): void {
    this.#paceMs = paceMs < PACE_LEAST_MS ? 0 : paceMs
  }

  /** Acknowledges at once and halves the extra delay: the target retransmitted bytes that had arrived. */
  hurry(now: number): void {
    this.setPace(this.#paceMs / 2)
    this.acknowledgeAll()
    this.ackAt = now
    if (this.#pacer !== undefined) this.#pacer.lastAt = now
  }

  /**
   * Since when the target is quiet. Pacing counts as traffic until its last acknowledgment is sent, because the target
   * may wait for it. Infinity while there is a gap.
   */
  get quietSince(): number {
    if (this.heldRanges !== undefined) return Number.POSITIVE_INFINITY
    return this.#pacer === undefined ? this.#lastAt : Math.max(this.#lastAt, this.#pacer.lastAt)
  }

  /**
   * Moves `ackNxt` to the latest edge that is due. Call it before `quietSince`, which counts an acknowledgment from
   * when it is sent, not from when it was due.
   */
  prepareAck(now: number): void {
    const tcb = this.#tcb
    if (this.#pacer === undefined) return
    tcb.ackNxt = this.#pacer.take(now, tcb.ackNxt)
  }

  /** Cancels pacing for everything received so far. */
  acknowledgeAll(): void {
    const tcb = this.#tcb
    tcb.ackNxt = tcb.rcvNxt
    this.#pacer?.clear()
  }

  /** Remembers a segment beyond a gap, so that the target has to retransmit only the gap. */
  hold(segment: Segment): void {
    if (distance(segment.seq, this.#tcb.rcvNxt) > HELD_REACH) return
    this.acknowledgeAll() // bytes before the gap must not look lost as well
    const end = add(segment.seq, segment.payloadLength)
    if (segment.payloadLength > 0) {
      this.#held ??= new Ranges()
      this.#held.add(segment.seq, end)
      this.#isHeldPushed = (segment.flags & (PSH | FIN)) !== 0
    }
    if (segment.flags & FIN) {
      this.#hasHeldFin = true
      this.#heldFin = end
    }
  }

  /**
   * Takes an acceptable segment that begins at or before `rcvNxt`.
   * @param mss segment size in bytes: two segments are acknowledged at once (RFC 5681 §4.2)
   * @returns false if it contains nothing new
   */
  take(segment: Segment, mss: number, now: number): boolean {
    const tcb = this.#tcb
    const length = segment.payloadLength + (segment.flags & FIN ? 1 : 0)
    const fresh = distance(add(segment.seq, length), tcb.rcvNxt)
    if (segment.hasTimestamps && !isAfter(segment.seq, tcb.rcvNxt) && !isAfter(tcb.tsRecent, segment.tsVal)) {
      tcb.tsRecent = segment.tsVal
    }
    if (fresh <= 0 || this.isClosed) return false
    this.arrivedAt = segment.arrivedAt
    this.#advance(fresh)
    if (segment.payloadLength > 0) {
      this.isPushed = (segment.flags & (PSH | FIN)) !== 0
      this.#noteRhythm(now)
    }
    if (segment.flags & FIN) this.isClosed = true
    else this.#closeGap()
    const isAtOnce = this.isClosed || this.#unacknowledgedBytes >= 2 * mss
    this.#planAck(isAtOnce, now)
    return true
  }

  /** New bytes of a request were sent, or the connection was opened: an answer may follow. */
  asked(now: number): void {
    this.#askedAt = now
  }

  #noteRhythm(now: number): void {
    if (this.#lastAt <= this.#askedAt) {
      this.waitMs = now - this.#askedAt
      this.pauseMs = 0
    } else this.pauseMs = Math.max(this.pauseMs, now - this.#lastAt)
    this.#lastAt = now
  }

  #planAck(isAtOnce: boolean, now: number): void {
    const dueAt = isAtOnce ? now : now + ACK_DELAY_MS
    if (this.#paceMs === 0) {
      this.acknowledgeAll()
      this.ackAt = Math.min(this.ackAt, dueAt)
      return
    }
    this.#pacer ??= new AckPacer()
    this.#pacer.note(this.#tcb.rcvNxt, dueAt + this.#paceMs)
    this.ackAt = this.#pacer.nextAt
    if (isAtOnce) this.#unacknowledgedBytes = 0
  }

  #advance(byteCount: number): void {
    this.#tcb.rcvNxt = add(this.#tcb.rcvNxt, byteCount)
    this.receivedBytes += byteCount
    this.#unacknowledgedBytes += byteCount
  }

  /** Counts held ranges as received once the gap before them is filled. */
  #closeGap(): void {
    const tcb = this.#tcb
    const held = this.#held
    if (held !== undefined && held.count > 0) {
      this.#advance(distance(held.endOf(tcb.rcvNxt), tcb.rcvNxt))
      held.dropBefore(tcb.rcvNxt)
      if (held.count === 0) this.isPushed = this.#isHeldPushed
    }
    if (!this.#hasHeldFin || this.#heldFin !== tcb.rcvNxt) return
    this.#advance(1)
    this.isClosed = true
  }

  /** RFC 9293 §3.10.7.4: a reset must be in the window, otherwise a late one of an earlier connection would count. */
  isInWindow(sequence: Seq): boolean {
    return !isBefore(sequence, this.#tcb.rcvNxt) && !this.isBeyondWindow(sequence)
  }

  /** Whether a sequence number is beyond the advertised window. */
  isBeyondWindow(sequence: Seq): boolean {
    return isAfter(sequence, this.#rightEdge)
  }

  /**
   * A packet with ACK was sent.
   * @param isPure a bare acknowledgment of `ackNxt`; other packets acknowledge everything
   */
  acknowledged(isPure: boolean): void {
    if (!isPure) this.acknowledgeAll()
    this.ackAt = this.#pacer?.nextAt ?? Number.POSITIVE_INFINITY
    this.#unacknowledgedBytes = 0
  }

  /**
   * The window field of a packet. The right edge of the window never moves back (RFC 9293 §3.8.6).
   * @param capturedBytes window that the client advertised with this payload; 0 for a packet of our own
   * @param shift window scale in force towards the target (RFC 7323 §2.2), 0 in a SYN
   * @param acknowledgment the packet's acknowledgment number, where the window begins
   */
  windowField(flags: number, capturedBytes: number, shift: number, acknowledgment: Seq): number {
    const wanted = capturedBytes > 0 ? capturedBytes : this.#ownWindow()
    // Negative after a window probe of the target went beyond the window (RFC 9293 §3.8.6.1).
    const held = flags & ACK ? Math.max(0, distance(this.#rightEdge, acknowledgment)) : 0
    const field = Math.min(0xffff, Math.max(wanted >>> shift, (held + (1 << shift) - 1) >>> shift))
    const edge = add(acknowledgment, field << shift)
    if (flags & ACK && isAfter(edge, this.#rightEdge)) this.#rightEdge = edge
    return field
  }

  #ownWindow(): number {
    return this.largestWindow >= WINDOW_ENOUGH ? this.largestWindow : WINDOW_OWN
  }
}
