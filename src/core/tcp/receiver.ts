/**
 * The target's half of a copied connection: what came in order, what it has to be told, and the window we advertise.
 * Its payload is never held; only that it came matters.
 */
import { ACK, FIN, PSH, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, type Seq, seq } from '../../wire/seq.ts'
import { Ranges } from '../memory/ranges.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { AckPacer } from './ack-pacer.ts'
import type { ControlBlock } from './control-block.ts'

/** How long an acknowledgment waits for a request to ride on (RFC 9293 §3.8.6.3 allows 500 ms). */
const ACK_DELAY_MS = 40
/** Below this the captured window is not worth repeating: an answer may be larger. */
const WINDOW_ENOUGH = 32 * 1024
const WINDOW_OWN = 65535
/** Timers fire on whole milliseconds. */
const PACE_LEAST_MS = 1
/** The largest window there is (RFC 7323 §2.3). */
const HELD_REACH = 1 << 30

export class Receiver {
  readonly #tcb: ControlBlock
  receivedBytes = 0
  isPushed = false
  /** When payload last came. */
  #lastAt = 0
  /** When what came last in order had come to the assistant; NaN: not known. */
  arrivedAt = Number.NaN
  waitMs = 0
  pauseMs = 0
  #askedAt = 0
  isClosed = false
  /** When an acknowledgment has to go out; Infinity: nothing to acknowledge. */
  ackAt = Number.POSITIVE_INFINITY
  /** By how much the client's round trip is longer than ours: so long acknowledgments wait. */
  #paceMs = 0
  #pacer: AckPacer | undefined
  /** Largest window captured from the client, in octets. */
  largestWindow = 0
  /** What came beyond `rcvNxt`; made when first needed. */
  #held: Ranges | undefined
  /** The segment that was held last had PSH. */
  #isHeldPushed = false
  #hasHeldFin = false
  #heldFin: Seq = seq(0)
  /** Right edge of the window advertised so far. */
  #rightEdge: Seq = seq(0)
  #unacknowledgedBytes = 0

  constructor(tcb: ControlBlock) {
    this.#tcb = tcb
  }

  /** Everything that came is acknowledged, and more may come. */
  get isQuiescent(): boolean {
    return this.ackAt === Number.POSITIVE_INFINITY && !this.isClosed && !this.#hasHeldFin && !this.heldRanges
  }

  /** See `Snapshot`. Only at rest. */
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

  /** @param next the byte after the target's SYN; @param tsVal the timestamp value in it */
  open(next: Seq, tsVal: Seq): void {
    const tcb = this.#tcb
    tcb.tsRecent = tsVal
    tcb.rcvNxt = next
    tcb.ackNxt = next
    this.#rightEdge = next
  }

  /** @param windowBytes what the client advertised to the source */
  sawWindow(windowBytes: number): void {
    if (windowBytes > this.largestWindow) this.largestWindow = windowBytes
  }

  /** What came beyond a gap, if there is one. */
  get heldRanges(): Ranges | undefined {
    return this.#held !== undefined && this.#held.count > 0 ? this.#held : undefined
  }

  /** @param paceMs what is below the clock's resolution counts as nothing */
  setPace(paceMs: number): void {
    this.#paceMs = paceMs < PACE_LEAST_MS ? 0 : paceMs
  }

  /** The target sends again what we have: our acknowledgments are too late for it. */
  hurry(now: number): void {
    this.setPace(this.#paceMs / 2)
    this.acknowledgeAll()
    this.ackAt = now
    if (this.#pacer !== undefined) this.#pacer.lastAt = now
  }

  /** Not before the target has had the acknowledgments that we hold back, and what is in front of a gap has come. */
  get quietSince(): number {
    if (this.heldRanges !== undefined) return Number.POSITIVE_INFINITY
    return this.#pacer === undefined ? this.#lastAt : Math.max(this.#lastAt, this.#pacer.lastAt)
  }

  /**
   * Brings `ackNxt` up to what is due, before it is asked since when the target is quiet: the target hears of it now,
   * however long ago it was due.
   */
  prepareAck(now: number): void {
    const tcb = this.#tcb
    if (this.#pacer === undefined) return
    tcb.ackNxt = this.#pacer.take(now, tcb.ackNxt)
  }

  /** Packets acknowledge all that came from now on. */
  acknowledgeAll(): void {
    const tcb = this.#tcb
    tcb.ackNxt = tcb.rcvNxt
    this.#pacer?.clear()
  }

  /** Remembers that a segment came beyond a gap, so that only the gap has to be sent again. */
  hold(segment: Segment): void {
    if (distance(segment.seq, this.#tcb.rcvNxt) > HELD_REACH) return
    this.acknowledgeAll() // what is in front of the gap must not look lost as well
    const end = add(segment.seq, segment.payloadLength)
    if (segment.payloadLength > 0) {
      this.#held ??= new Ranges()
      this.#held.add(segment.seq, end)
      this.#isHeldPushed = (segment.flags & PSH) !== 0
    }
    if (segment.flags & FIN) {
      this.#hasHeldFin = true
      this.#heldFin = end
    }
  }

  /**
   * Takes an acceptable segment that begins at or before `rcvNxt`.
   * @param mss octets after which two segments' worth are acknowledged at once (RFC 5681 §4.2)
   * @returns false if it brought nothing new
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
      this.isPushed = (segment.flags & PSH) !== 0
      this.#noteRhythm(now)
    }
    if (segment.flags & FIN) this.isClosed = true
    else this.#closeGap()
    const isAtOnce = this.isClosed || this.#unacknowledgedBytes >= 2 * mss
    this.#planAck(isAtOnce, now)
    return true
  }

  /** Octets of a request were sent for the first time, or the connection was opened: an answer may follow. */
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

  #advance(octets: number): void {
    this.#tcb.rcvNxt = add(this.#tcb.rcvNxt, octets)
    this.receivedBytes += octets
    this.#unacknowledgedBytes += octets
  }

  /** What was held beyond a gap that has closed counts now. */
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

  /** RFC 9293 §3.10.7.4: what a reset is held to, or a late one of an earlier connection would count. */
  isInWindow(sequence: Seq): boolean {
    return !isBefore(sequence, this.#tcb.rcvNxt) && !this.isBeyondWindow(sequence)
  }

  /** No answer of this connection begins there. */
  isBeyondWindow(sequence: Seq): boolean {
    return isAfter(sequence, this.#rightEdge)
  }

  /** A packet with ACK went out. @param isPure without payload and FIN: it acknowledged `ackNxt`, others all */
  acknowledged(isPure: boolean): void {
    if (!isPure) this.acknowledgeAll()
    this.ackAt = this.#pacer?.nextAt ?? Number.POSITIVE_INFINITY
    this.#unacknowledgedBytes = 0
  }

  /**
   * The window field of a packet. It never moves the right edge of the window back (RFC 9293 §3.8.6).
   * @param capturedBytes what the client advertised with these octets; 0 for a packet of our own
   * @param shift the scale in force towards the target (RFC 7323 §2.2), 0 in a SYN
   * @param acknowledgment of the packet: the window counts from there
   */
  windowField(flags: number, capturedBytes: number, shift: number, acknowledgment: Seq): number {
    const wanted = capturedBytes > 0 ? capturedBytes : this.#ownWindow()
    // Below 0 where a probe went beyond the window (RFC 9293 §3.8.6.1).
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
