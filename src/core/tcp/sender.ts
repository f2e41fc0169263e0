/**
 * The sending half of a copied connection: what of the client's stream has been sent and acknowledged, how much may
 * be sent now, and when it has to be sent again (RFC 9293 §3.8, RFC 5681, RFC 6298).
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

/** Segment size where the peer names none (RFC 9293 §3.7.1). */
const MSS_DEFAULT = 536
/** Smaller segments are not made, whatever a SYN says. */
export const SEGMENT_MIN = 64
const DUPLICATES_FOR_LOSS = 3

/** What an acknowledgment did. */
export const Acknowledged = {
  /** It acknowledges what was never sent. */
  Unacceptable: 0,
  /** Nothing, or only the window moved. */
  Nothing: 1,
  /** New octets. */
  Progress: 2,
  /** The segment at `sndUna` is missing at the target: send it again. */
  Loss: 3
} as const
export type Acknowledged = (typeof Acknowledged)[keyof typeof Acknowledged]

export class Sender {
  readonly #tcb: ControlBlock
  /** The target's largest window so far. */
  #windowMax = 0
  /** When the oldest bytes in flight, or a closed window, have to be tried again. */
  rtoAt = Number.POSITIVE_INFINITY
  readonly roundTrip = new RoundTrip()
  #size = new SegmentSize(MSS_DEFAULT, MSS_DEFAULT)
  #congestion = new Congestion(MSS_DEFAULT)
  #firstFlightBytes = 0
  #shift = 0
  /** Sequence and acknowledgment numbers of the segment that last moved the window (SND.WL1, SND.WL2). */
  #wl1: Seq
  #wl2: Seq
  /** The last piece that was sent up to the end it had then, and is not acknowledged; or NONE. */
  #lastSent = NONE
  #duplicates = 0
  /** Until this is acknowledged the loss at hand is not over (RFC 6582). */
  #recover: Seq
  #isRecovering = false
  /** What the target says it has beyond `sndUna` (RFC 2018); made when first needed. */
  #sacked: Ranges | undefined
  /** In recovery: what is lost before here was sent again. */
  #repairedTo: Seq

  constructor(tcb: ControlBlock) {
    this.#tcb = tcb
    this.#wl1 = tcb.iss
    this.#wl2 = tcb.iss
    this.#recover = tcb.iss
    this.#repairedTo = tcb.iss
  }

  /** See `Snapshot`. Only where all is acknowledged: nothing is lost then, or timed. */
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

  /** Begins at the initial sequence number of the control block, before anything was sent. */
  begin(): void {
    const tcb = this.#tcb
    tcb.sndUna = tcb.iss
    tcb.sndNxt = tcb.iss
    tcb.sndMax = tcb.iss
    this.#recover = tcb.iss
    this.#repairedTo = tcb.iss
  }

  /** Most octets of payload in a segment to this target. */
  get segmentMax(): number {
    return this.#size.max
  }

  /**
   * The target's SYN-ACK.
   * @param shift its window scale, 0 if none is in force; @param mssMax what our side allows
   * @param optionsLength octets of options that each of our segments carries
   */
  open(segment: Segment, shift: number, mssMax: number, optionsLength: number, now: number): void {
    const tcb = this.#tcb
    tcb.sndUna = segment.ack
    this.#shift = shift
    tcb.sndWnd = segment.window // that of a SYN is never scaled (RFC 7323 §2.2)
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

  /** @param octets of the client's first flight, as far as it is captured: what it may send at once, we may too */
  sawFirstFlight(octets: number): void {
    this.#firstFlightBytes = octets
    this.#congestion.sawFlight(octets)
  }

  /** The piece that `sndNxt` is in, or NONE. */
  cursor({ head, end, pool }: SendQueue): number {
    const tcb = this.#tcb
    const next = tcb.offsetOf(tcb.sndNxt)
    if (!isBefore(next, end)) return NONE
    if (this.#lastSent === NONE) return head
    // It may have grown since.
    return isAfter(pool.end(this.#lastSent), next) ? this.#lastSent : pool.next(this.#lastSent)
  }

  /** Octets that the target's window and the congestion window leave. */
  room(): number {
    return Math.min(this.#tcb.sndWnd, this.#congestion.windowBytes) - this.#tcb.flightBytes
  }

  /** Octets [sndNxt, sndNxt + length) were sent, up to the end of `piece` if `isPieceDone`. */
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
    // RFC 5961 §5: what acknowledges less than was ever on its way is of another connection.
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

  /** The first octet that is lost and was not sent again in this recovery; `sndMax` if there is none (RFC 6675). */
  nextLost(): Seq {
    const tcb = this.#tcb
    if (!this.#isRecovering) return tcb.sndMax
    const from = later(tcb.sndUna, this.#repairedTo)
    const sacked = this.#sacked
    if (sacked === undefined || sacked.count === 0) return from === tcb.sndUna ? from : tcb.sndMax
    const lost = sacked.endOf(from)
    return isBefore(lost, sacked.left(sacked.count - 1)) ? lost : tcb.sndMax
  }

  /** Octets up to `end` were sent again. */
  repaired(end: Seq): void {
    this.#repairedTo = later(this.#repairedTo, end)
    this.roundTrip.cancel()
  }

  /**
   * Skips what the target has from `sndNxt` on, up to the end of the piece that is in.
   * @param pieceEnd as a sequence number; @returns true if it has any
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
      // Blocks below `sndUna` tell of duplicates (RFC 2883), others of octets that were never sent.
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
   * RFC 9293 §3.10.7.4: only a segment that is not older than the last one moves the window; one that acknowledges
   * more does, even if its own octets were sent before (the window counts from what it acknowledges).
   */
  #moveWindow(segment: Segment, window: number): void {
    const tcb = this.#tcb
    const isNewer = isAfter(segment.ack, tcb.sndUna)
    const isOlder = isBefore(segment.seq, this.#wl1) || (segment.seq === this.#wl1 && isBefore(segment.ack, this.#wl2))
    if ((isOlder && !isNewer) || (segment.flags & ACK) === 0 || isBefore(segment.ack, tcb.sndUna)) return
    // The time-outs of probes said nothing of losses.
    if (tcb.sndWnd === 0 && window > 0) this.roundTrip.backoff = 0
    tcb.sndWnd = window
    this.#windowMax = Math.max(this.#windowMax, window)
    this.#wl1 = segment.seq
    this.#wl2 = segment.ack
  }

  #advance(una: Seq, { pool }: SendQueue, now: number): Acknowledged {
    const tcb = this.#tcb
    const octets = distance(una, tcb.sndUna)
    this.#congestion.acknowledged(octets)
    this.#size.acknowledged(octets, isAfter(una, tcb.sndNxt))
    tcb.sndUna = una
    tcb.sndNxt = later(tcb.sndNxt, una)
    const isLastAcknowledged = this.#lastSent !== NONE && !isAfter(pool.end(this.#lastSent), tcb.offsetOf(una))
    if (isLastAcknowledged) this.#lastSent = NONE
    this.#sacked?.dropBefore(una)
    // It says that it lacks what it had: it has given that up (RFC 2018 §8).
    if (this.#sacked !== undefined && this.#sacked.endOf(una) !== una) this.#sacked.clear()
    this.roundTrip.acknowledged(una, now)
    this.#duplicates = 0
    this.rtoAt = tcb.isAllAcknowledged ? Number.POSITIVE_INFINITY : now + this.roundTrip.rtoMs
    if (!this.#isRecovering) return Acknowledged.Progress
    this.#isRecovering = isBefore(una, this.#recover)
    return this.#isRecovering ? Acknowledged.Loss : Acknowledged.Progress // RFC 6582 §3.2: a partial acknowledgment
  }

  /**
   * RFC 6298 §5.4: everything from `sndUna` on goes again, as the window opens.
   * @param length octets of the segment at `sndUna`; @returns true if segments are smaller from now on
   */
  timedOut(length: number, now: number): boolean {
    const tcb = this.#tcb
    // What the target has no room for it drops, of whatever size.
    const isSmaller = length <= tcb.sndWnd && this.#size.timedOut(length, now)
    this.#congestion.timedOut(tcb.flightBytes, this.segmentMax)
    this.roundTrip.timedOut()
    // A target that lets octets be missing again and again has given up what it had said it has (RFC 2018 §8).
    if (this.roundTrip.backoff > 1) this.#sacked?.clear()
    tcb.sndNxt = tcb.sndUna
    this.#lastSent = NONE
    this.#isRecovering = false
    this.#duplicates = 0
    this.rtoAt = now + this.roundTrip.rtoMs
    return isSmaller
  }

  /** Nothing may be sent although there is something: the window has to be probed (RFC 9293 §3.8.6.1). */
  awaitWindow(now: number): void {
    if (this.rtoAt === Number.POSITIVE_INFINITY) this.rtoAt = now + this.roundTrip.rtoMs
  }

  /** A window probe went out. */
  probed(now: number): void {
    this.roundTrip.timedOut()
    this.rtoAt = now + this.roundTrip.rtoMs
  }
}
