/**
 * The sending half of a copied connection: which bytes of the client's stream are sent and acknowledged, how many may
 * be sent now, and when to retransmit (RFC 9293 §3.8, RFC 5681, RFC 6298).
 */
import { int32At } from '../../wire/bytes.ts'
import { ACK, FIN, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'
import { Ranges } from '../memory/ranges.ts'
import { NONE } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { Congestion } from './congestion.ts'
import type { ControlBlock } from './control-block.ts'
import { RoundTrip } from './round-trip.ts'
import { SegmentSize } from './segment-size.ts'

/** MSS of a target whose SYN-ACK has no MSS option (RFC 9293 §3.7.1). */
const MSS_DEFAULT = 536
/** Lower limit of the segment size, whatever MSS a SYN has. */
export const SEGMENT_MIN = 64
const DUPLICATES_FOR_LOSS = 3

/** What an acknowledgment did. */
export const Acknowledged = {
  /** It acknowledges bytes that were never sent, or is far too old. */
  Unacceptable: 0,
  /** It changed nothing, or only the window. */
  Nothing: 1,
  /** It acknowledged new bytes. */
  Progress: 2,
  /** It shows that segments are lost; `nextLost` says which. */
  Loss: 3
} as const
export type Acknowledged = (typeof Acknowledged)[keyof typeof Acknowledged]

export class Sender {
  readonly #tcb: ControlBlock
  /** The target's largest window so far. */
  #windowMax = 0
  /** When the retransmission timer expires: for the oldest bytes in flight, or to probe a closed window. */
  rtoAt = Number.POSITIVE_INFINITY
  readonly roundTrip = new RoundTrip()
  #size = new SegmentSize(MSS_DEFAULT, MSS_DEFAULT)
  #congestion = new Congestion(MSS_DEFAULT)
  #firstFlightBytes = 0
  #shift = 0
  /** Sequence and acknowledgment numbers of the segment that last moved the window (SND.WL1, SND.WL2). */
  #wl1: Seq
  #wl2: Seq
  /** The last unacknowledged piece that was sent up to its end, which may have grown since; or NONE. */
  #lastSent = NONE
  #duplicates = 0
  /** Recovery ends when this is acknowledged (RFC 6582). */
  #recover: Seq
  #isRecovering = false
  /** Ranges that the target has beyond `sndUna` (RFC 2018); created when first needed. */
  #sacked: Ranges | undefined
  /** In recovery: lost bytes before this number were retransmitted. */
  #repairedTo: Seq

  constructor(tcb: ControlBlock) {
    this.#tcb = tcb
    this.#wl1 = tcb.iss
    this.#wl2 = tcb.iss
    this.#recover = tcb.iss
    this.#repairedTo = tcb.iss
  }

  /** See `Snapshot`. Only while everything is acknowledged, so that nothing is lost or timed. */
  save(snapshot: Snapshot): void {
    const tcb = this.#tcb
    tcb.sndUna = snapshot.seq(tcb.sndUna)
    tcb.sndNxt = tcb.sndUna
    tcb.sndMax = tcb.sndUna
    this.#recover = tcb.sndUna
    this.#repairedTo = tcb.sndUna
    tcb.sndWnd = snapshot.whole(tcb.sndWnd)
    this.#windowMax = snapshot.whole(this.#windowMax)
    this.#firstFlightBytes = snapshot.whole(this.#firstFlightBytes)
    this.#shift = snapshot.short(this.#shift)
    this.#wl1 = snapshot.seq(this.#wl1)
    this.#wl2 = snapshot.seq(this.#wl2)
    this.roundTrip.save(snapshot)
    this.#size.save(snapshot)
    this.#congestion.save(snapshot)
  }

  /** Starts at the control block's `iss`, before anything is sent. */
  begin(): void {
    const tcb = this.#tcb
    tcb.sndUna = tcb.iss
    tcb.sndNxt = tcb.iss
    tcb.sndMax = tcb.iss
    this.#recover = tcb.iss
    this.#repairedTo = tcb.iss
  }

  /** Largest payload of a segment to this target, in bytes. */
  get segmentMax(): number {
    return this.#size.max
  }

  /**
   * Takes the target's SYN-ACK.
   * @param shift the target's window scale; 0 if none is in force; @param mssMax largest MSS that our side allows
   * @param optionsLength bytes of TCP options in each of our segments
   */
  open(segment: Segment, shift: number, mssMax: number, optionsLength: number, now: number): void {
    const tcb = this.#tcb
    tcb.sndUna = segment.ack
    this.#shift = shift
    tcb.sndWnd = segment.window // never scaled in a SYN (RFC 7323 §2.2)
    this.#windowMax = segment.window
    this.#wl1 = segment.seq
    this.#wl2 = segment.ack
    const mss = segment.mss === 0 ? MSS_DEFAULT : segment.mss
    const segmentMax = Math.max(SEGMENT_MIN, Math.min(mss, mssMax) - optionsLength)
    this.#size = new SegmentSize(segmentMax, MSS_DEFAULT - optionsLength)
    this.#congestion = new Congestion(this.segmentMax)
    this.#congestion.sawFlight(this.#firstFlightBytes)
    this.roundTrip.acknowledged(segment.ack, now)
    this.rtoAt = Number.POSITIVE_INFINITY
  }

  /** Allows to send at once as much as the client did. @param byteCount bytes of its first flight captured so far */
  sawFirstFlight(byteCount: number): void {
    this.#firstFlightBytes = byteCount
    this.#congestion.sawFlight(byteCount)
  }

  /** The piece that contains `sndNxt`, or NONE. */
  cursor({ head, end, pool }: SendQueue): number {
    const tcb = this.#tcb
    const next = tcb.offsetOf(tcb.sndNxt)
    if (!isBefore(next, end)) return NONE
    if (this.#lastSent === NONE) return head
    // The piece may have grown since it was sent.
    return isAfter(pool.end(this.#lastSent), next) ? this.#lastSent : pool.next(this.#lastSent)
  }

  /** Bytes that the target's window and the congestion window still allow; may be negative. */
  room(): number {
    return Math.min(this.#tcb.sndWnd, this.#congestion.windowBytes) - this.#tcb.flightBytes
  }

  /** Bytes [sndNxt, sndNxt + length) were sent, up to the end of `piece` if `isPieceDone`. */
  sent(length: number, piece: number, isPieceDone: boolean, now: number): void {
    const tcb = this.#tcb
    if (tcb.flightBytes === 0) this.rtoAt = now + this.roundTrip.rtoMs
    tcb.sndNxt = add(tcb.sndNxt, length)
    if (isAfter(tcb.sndNxt, tcb.sndMax)) {
      tcb.sndMax = tcb.sndNxt
      this.roundTrip.start(tcb.sndNxt, now)
      this.#size.raise(now)
    }
    if (isPieceDone) this.#lastSent = piece
  }

  /** Takes the acknowledgment and the window of a segment of the established connection. */
  acknowledge(segment: Segment, queue: SendQueue, now: number): Acknowledged {
    const tcb = this.#tcb
    // RFC 5961 §5: an acknowledgment from more than the largest window ago belongs to another connection.
    const isOfAnother = isBefore(segment.ack, add(tcb.sndUna, -this.#windowMax - 1))
    if (isAfter(segment.ack, tcb.sndMax) || isOfAnother) return Acknowledged.Unacceptable
    const window = segment.window << this.#shift
    const isDuplicate =
      segment.ack === tcb.sndUna &&
      segment.payloadLength === 0 &&
      (segment.flags & FIN) === 0 &&
      window === tcb.sndWnd &&
      tcb.sndMax !== tcb.sndUna
    this.#moveWindow(segment, window)
    if (segment.sackCount > 0) this.#takeSack(segment)
    if (isAfter(segment.ack, tcb.sndUna)) return this.#advance(segment.ack, queue, now)
    if (!isDuplicate) return Acknowledged.Nothing
    this.#duplicates += 1
    if (this.#isRecovering) return this.#sacked === undefined ? Acknowledged.Nothing : Acknowledged.Loss
    const isLost = this.#duplicates >= DUPLICATES_FOR_LOSS || this.#sackedBytes() > 2 * this.segmentMax
    if (!isLost) return Acknowledged.Nothing
    this.#isRecovering = true
    this.#recover = tcb.sndMax
    this.#repairedTo = tcb.sndUna
    this.#congestion.lost(tcb.flightBytes)
    return Acknowledged.Loss
  }

  /** The first lost byte that this recovery has not retransmitted (RFC 6675); `sndMax` if there is none. */
  nextLost(): Seq {
    const tcb = this.#tcb
    if (!this.#isRecovering) return tcb.sndMax
    const from = later(tcb.sndUna, this.#repairedTo)
    const sacked = this.#sacked
    if (sacked === undefined || sacked.count === 0) return from === tcb.sndUna ? from : tcb.sndMax
    const lost = sacked.endOf(from)
    return isBefore(lost, sacked.left(sacked.count - 1)) ? lost : tcb.sndMax
  }

  /** Lost bytes up to `end` were retransmitted. */
  repaired(end: Seq): void {
    this.#repairedTo = later(this.#repairedTo, end)
    this.roundTrip.cancel()
  }

  /**
   * Moves `sndNxt` over bytes that the target has, at most to the end of the piece.
   * @param pieceEnd as a sequence number; @returns true if `sndNxt` moved
   */
  skipSacked(piece: number, pieceEnd: Seq): boolean {
    const tcb = this.#tcb
    const sackedEnd = this.#sacked?.endOf(tcb.sndNxt) ?? tcb.sndNxt
    if (sackedEnd === tcb.sndNxt) return false
    const isPieceDone = !isBefore(sackedEnd, pieceEnd)
    tcb.sndNxt = isPieceDone ? pieceEnd : sackedEnd
    if (isPieceDone) this.#lastSent = piece
    return true
  }

  #takeSack(segment: Segment): void {
    const tcb = this.#tcb
    for (let block = 0; block < segment.sackCount; block++) {
      const left = seq(int32At(segment.sackEdges, block * 2))
      const right = seq(int32At(segment.sackEdges, block * 2 + 1))
      // Blocks below `sndUna` report duplicates (RFC 2883). Blocks beyond `sndMax` are invalid.
      if (isBefore(left, tcb.sndUna) || isAfter(right, tcb.sndMax)) continue
      this.#sacked ??= new Ranges()
      this.#sacked.add(left, right)
    }
  }

  #sackedBytes(): number {
    let total = 0
    const sacked = this.#sacked
    if (sacked === undefined) return total
    for (let index = 0; index < sacked.count; index++) total += distance(sacked.right(index), sacked.left(index))
    return total
  }

  /**
   * RFC 9293 §3.10.7.4: only a segment that is not older than the last one updates the window. One that acknowledges
   * more always does, even if it is a retransmission, because the window counts from its acknowledgment number.
   */
  #moveWindow(segment: Segment, window: number): void {
    const tcb = this.#tcb
    const isNewer = isAfter(segment.ack, tcb.sndUna)
    const isOlder = isBefore(segment.seq, this.#wl1) || (segment.seq === this.#wl1 && isBefore(segment.ack, this.#wl2))
    if ((isOlder && !isNewer) || (segment.flags & ACK) === 0 || isBefore(segment.ack, tcb.sndUna)) return
    // Timeouts of window probes say nothing about losses.
    if (tcb.sndWnd === 0 && window > 0) this.roundTrip.backoff = 0
    tcb.sndWnd = window
    this.#windowMax = Math.max(this.#windowMax, window)
    this.#wl1 = segment.seq
    this.#wl2 = segment.ack
  }

  #advance(una: Seq, { pool }: SendQueue, now: number): Acknowledged {
    const tcb = this.#tcb
    const byteCount = distance(una, tcb.sndUna)
    this.#congestion.acknowledged(byteCount)
    this.#size.acknowledged(byteCount, isAfter(una, tcb.sndNxt))
    tcb.sndUna = una
    tcb.sndNxt = later(tcb.sndNxt, una)
    const isLastAcknowledged = this.#lastSent !== NONE && !isAfter(pool.end(this.#lastSent), tcb.offsetOf(una))
    if (isLastAcknowledged) this.#lastSent = NONE
    this.#sacked?.dropBefore(una)
    // The target lacks bytes that it had reported: it has discarded them (RFC 2018 §8).
    if (this.#sacked !== undefined && this.#sacked.endOf(una) !== una) this.#sacked.clear()
    this.roundTrip.acknowledged(una, now)
    this.#duplicates = 0
    this.rtoAt = tcb.isAllAcknowledged ? Number.POSITIVE_INFINITY : now + this.roundTrip.rtoMs
    if (!this.#isRecovering) return Acknowledged.Progress
    this.#isRecovering = isBefore(una, this.#recover)
    return this.#isRecovering ? Acknowledged.Loss : Acknowledged.Progress // partial acknowledgment: RFC 6582 §3.2
  }

  /**
   * RFC 6298 §5.4: everything from `sndUna` on is sent again as the windows allow.
   * @param length bytes of the segment at `sndUna`; @returns true if segments are smaller from now on
   */
  timedOut(length: number, now: number): boolean {
    const tcb = this.#tcb
    // The target drops a segment that does not fit into its window, whatever the path takes.
    const isSmaller = length <= tcb.sndWnd && this.#size.timedOut(length, now)
    this.#congestion.timedOut(tcb.flightBytes, this.segmentMax)
    this.roundTrip.timedOut()
    // After repeated timeouts, assume that the target has discarded bytes that it had reported (RFC 2018 §8).
    if (this.roundTrip.backoff > 1) this.#sacked?.clear()
    tcb.sndNxt = tcb.sndUna
    this.#lastSent = NONE
    this.#isRecovering = false
    this.#duplicates = 0
    this.rtoAt = now + this.roundTrip.rtoMs
    return isSmaller
  }

  /** Starts the timer for a window probe: there is data, but the window is closed (RFC 9293 §3.8.6.1). */
  awaitWindow(now: number): void {
    if (this.rtoAt === Number.POSITIVE_INFINITY) this.rtoAt = now + this.roundTrip.rtoMs
  }

  /** A window probe was sent. */
  probed(now: number): void {
    this.roundTrip.timedOut()
    this.rtoAt = now + this.roundTrip.rtoMs
  }
}
