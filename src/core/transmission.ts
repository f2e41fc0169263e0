/**
 * The sending half of a copied connection: what of the client's stream has been sent and acknowledged, how much may
 * be sent now, and when it has to be sent again (RFC 9293 §3.8, RFC 5681, RFC 6298).
 */
import { ACK, FIN, type Segment } from '../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq } from '../wire/seq.ts'
import type { ClientStream } from './client-stream.ts'
import { Congestion } from './congestion.ts'
import { RoundTrip } from './round-trip.ts'
import { NONE, type SendPool } from './send-pool.ts'

/** Segment size where the peer names none (RFC 9293 §3.7.1). */
const MSS_DEFAULT = 536
const MSS_MIN = 64
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

export class Transmission {
  sndUna: Seq
  sndNxt: Seq
  /** The largest `sndNxt` so far: below it, what is sent is sent again. */
  sndMax: Seq
  /** The target's window, in octets. */
  sndWnd = 0
  /** Most octets of payload in a segment to this target. */
  segmentMax = MSS_DEFAULT
  /** When the oldest octets in flight, or a closed window, have to be tried again. */
  rtoAt = Number.POSITIVE_INFINITY
  readonly roundTrip = new RoundTrip()
  #congestion = new Congestion(MSS_DEFAULT)
  #shift = 0
  /** Sequence and acknowledgment numbers of the segment that last moved the window (SND.WL1, SND.WL2). */
  #wl1: Seq
  #wl2: Seq
  /** The last piece that is sent up to its end and not freed, or NONE. */
  #lastSent = NONE
  #duplicates = 0
  /** Until this is acknowledged the loss at hand is not over (RFC 6582). */
  #recover: Seq
  #isRecovering = false

  /** @param iss the initial sequence number: the client's */
  constructor(iss: Seq) {
    this.sndUna = iss
    this.sndNxt = iss
    this.sndMax = iss
    this.#wl1 = iss
    this.#wl2 = iss
    this.#recover = iss
  }

  /** Octets sent and not acknowledged, SYN and FIN counted. */
  get flightBytes(): number {
    return distance(this.sndNxt, this.sndUna)
  }

  get isAllAcknowledged(): boolean {
    return this.sndUna === this.sndMax
  }

  /**
   * The target's SYN-ACK.
   * @param shift its window scale, 0 if none is in force; @param mssMax what our side allows
   * @param optionsLength octets of options that each of our segments carries
   */
  open(segment: Segment, shift: number, mssMax: number, optionsLength: number, now: number): void {
    this.sndUna = segment.ack
    this.#shift = shift
    this.sndWnd = segment.window // that of a SYN is never scaled (RFC 7323 §2.2)
    this.#wl1 = segment.seq
    this.#wl2 = segment.ack
    const mss = segment.mss === 0 ? MSS_DEFAULT : segment.mss
    this.segmentMax = Math.max(MSS_MIN, Math.min(mss, mssMax) - optionsLength)
    this.#congestion = new Congestion(this.segmentMax)
    this.roundTrip.acknowledged(segment.ack, now)
    this.rtoAt = Number.POSITIVE_INFINITY
  }

  /** The piece that `sndNxt` is in, or NONE. */
  cursor(stream: ClientStream, pool: SendPool): number {
    if (!isBefore(this.sndNxt, stream.end)) return NONE
    return this.#lastSent === NONE ? stream.head : pool.next(this.#lastSent)
  }

  /** Octets that the target's window and the congestion window leave. */
  room(): number {
    return Math.min(this.sndWnd, this.#congestion.windowBytes) - this.flightBytes
  }

  /** Octets [sndNxt, sndNxt + length) were sent, up to the end of `piece` if `isPieceDone`. */
  sent(length: number, piece: number, isPieceDone: boolean, now: number): void {
    if (this.flightBytes === 0) this.rtoAt = now + this.roundTrip.rtoMs
    this.sndNxt = add(this.sndNxt, length)
    if (isAfter(this.sndNxt, this.sndMax)) {
      this.sndMax = this.sndNxt
      this.roundTrip.start(this.sndNxt, now)
    }
    if (isPieceDone) this.#lastSent = piece
  }

  /** Takes the acknowledgment and the window of a segment of the established connection. */
  acknowledge(segment: Segment, stream: ClientStream, pool: SendPool, now: number): Acknowledged {
    if (isAfter(segment.ack, this.sndMax)) return Acknowledged.Unacceptable
    const window = segment.window << this.#shift
    const isDuplicate =
      segment.ack === this.sndUna &&
      segment.payloadLength === 0 &&
      (segment.flags & FIN) === 0 &&
      window === this.sndWnd &&
      this.sndMax !== this.sndUna
    this.#moveWindow(segment, window)
    if (isAfter(segment.ack, this.sndUna)) return this.#advance(segment.ack, stream, pool, now)
    if (!isDuplicate) return Acknowledged.Nothing
    this.#duplicates += 1
    if (this.#duplicates !== DUPLICATES_FOR_LOSS || this.#isRecovering) return Acknowledged.Nothing
    this.#isRecovering = true
    this.#recover = this.sndMax
    this.#congestion.lost(this.flightBytes)
    return Acknowledged.Loss
  }

  /**
   * RFC 9293 §3.10.7.4: only a segment that is not older than the last one moves the window; one that acknowledges
   * more does, even if its own octets were sent before (the window counts from what it acknowledges).
   */
  #moveWindow(segment: Segment, window: number): void {
    const isNewer = isAfter(segment.ack, this.sndUna)
    const isOlder = isBefore(segment.seq, this.#wl1) || (segment.seq === this.#wl1 && isBefore(segment.ack, this.#wl2))
    if ((isOlder && !isNewer) || (segment.flags & ACK) === 0 || isBefore(segment.ack, this.sndUna)) return
    this.sndWnd = window
    this.#wl1 = segment.seq
    this.#wl2 = segment.ack
  }

  #advance(una: Seq, stream: ClientStream, pool: SendPool, now: number): Acknowledged {
    this.#congestion.acknowledged(distance(una, this.sndUna))
    this.sndUna = una
    this.sndNxt = later(this.sndNxt, una)
    if (this.#lastSent !== NONE && !isAfter(pool.end(this.#lastSent), una)) this.#lastSent = NONE
    stream.release(isBefore(una, stream.end) ? una : stream.end)
    this.roundTrip.acknowledged(una, now)
    this.#duplicates = 0
    this.rtoAt = this.isAllAcknowledged ? Number.POSITIVE_INFINITY : now + this.roundTrip.rtoMs
    if (!this.#isRecovering) return Acknowledged.Progress
    this.#isRecovering = isBefore(una, this.#recover)
    return this.#isRecovering ? Acknowledged.Loss : Acknowledged.Progress // RFC 6582 §3.2: a partial acknowledgment
  }

  /** RFC 6298 §5.4: everything from `sndUna` on goes again, as the window opens. */
  timedOut(now: number): void {
    this.#congestion.timedOut(this.flightBytes)
    this.roundTrip.timedOut()
    this.sndNxt = this.sndUna
    this.#lastSent = NONE
    this.#isRecovering = false
    this.#duplicates = 0
    this.rtoAt = now + this.roundTrip.rtoMs
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
