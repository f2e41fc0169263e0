/**
 * What a session sends once it is established: the client's octets as far as epochs and windows allow, its FIN, and
 * everything that was lost once more.
 */
import { ACK, FIN, PSH, URG } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, type Seq } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Receiver } from '../tcp/receiver.ts'
import type { SegmentWriter } from '../tcp/segment-writer.ts'
import type { Sender } from '../tcp/sender.ts'
import type { ClientEnd } from './client-end.ts'
import type { ClientStream } from './client-stream.ts'
import { type Epochs, Gate } from './epochs.ts'
import type { Session } from './session.ts'
import type { SessionContext } from './session-context.ts'

const NEVER = Number.POSITIVE_INFINITY

export class Output {
  /** When the gate of epochs has to be asked again. */
  gateAt = NEVER
  isFinSent = false
  /** The target closed, but the client has more to say: that takes a new connection. */
  isTargetGone = false
  /** When the answer came to the assistant that released what is sent next; NaN: nothing waited for one, or nobody knows. */
  #answeredAt = Number.NaN
  readonly #session: Session
  readonly #stream: ClientStream
  readonly #clientEnd: ClientEnd
  readonly #sender: Sender
  readonly #response: Receiver
  readonly #epochs: Epochs
  readonly #packets: SegmentWriter
  readonly #context: SessionContext

  constructor(session: Session, clientEnd: ClientEnd, epochs: Epochs, packets: SegmentWriter, context: SessionContext) {
    this.#session = session
    this.#stream = session.stream
    this.#clientEnd = clientEnd
    this.#sender = session.sender
    this.#response = session.response
    this.#epochs = epochs
    this.#packets = packets
    this.#context = context
  }

  /** Sends all that may be sent now. */
  sendDue(now: number): void {
    this.gateAt = NEVER
    while (this.#sendNext(now)) {}
    this.#sendFin(now)
  }

  /** Why octets that are there are not sent, for `--trace`. */
  get waitsFor(): string {
    if (this.#session.isHeld) return '--max-rate'
    const { sndNxt, sndMax, sndWnd, flightBytes, segmentMax } = this.#sender
    if (sndNxt === sndMax && this.gateAt !== NEVER) return "the target's answer to the request before"
    if (flightBytes + segmentMax > sndWnd) return "the target's window"
    return 'acknowledgments: the congestion window is full'
  }

  /**
   * True once both sides have closed and know it.
   * @param isAwaited another connection waits for it: a target that has forgotten this one says so when it is asked
   */
  isDone(isAwaited: boolean, now: number): boolean {
    if (!this.isFinSent || !this.#sender.isAllAcknowledged) return false
    if (!this.#response.isClosed && isAwaited) this.#sender.awaitWindow(now)
    return this.#response.isClosed
  }

  /** Acknowledges all that came, whatever the pace. */
  acknowledgeAll(why: string): void {
    this.#response.acknowledgeAll()
    this.acknowledge(why)
  }

  /**
   * Octets came beyond a gap. What came as several segments is told as such: three duplicate acknowledgments make a loss
   * (RFC 5681 §3.2), but for a target that reads in SACK blocks how much it was (RFC 6675 §4).
   */
  askForMissing(octets: number): void {
    const segments = Math.ceil(octets / this.#sender.segmentMax)
    for (let count = Math.min(segments, 3); count > 0; count--) this.acknowledge('duplicate, asks for what is missing')
  }

  acknowledge(why: string): void {
    this.#packets.control(ACK, this.#sender.sndMax, why)
  }

  /** The retransmission timer has expired. */
  timedOut(now: number): void {
    if (this.#sender.isAllAcknowledged) {
      // The window is closed: a segment before it makes the target say how large it is now.
      this.#packets.control(ACK, add(this.#sender.sndUna, -1), 'window probe')
      this.#sender.probed(now)
      return
    }
    const isSmaller = this.#sender.timedOut(this.#oldestLength(), now)
    if (isSmaller) this.#context.counters.add(Counter.segmentsHalved, 1)
    if (this.#sender.room() <= 0 && isBefore(this.#sender.sndUna, this.#stream.end))
      this.#sendAgain(this.#sender.sndUna)
  }

  /** Octets of the segment that has waited longest for its acknowledgment; 0: it is the FIN. */
  #oldestLength(): number {
    const { sndUna, sndMax, segmentMax } = this.#sender
    if (!isBefore(sndUna, this.#stream.end)) return 0
    const rest = distance(this.#context.pool.end(this.#stream.head), sndUna)
    return Math.min(rest, segmentMax, distance(sndMax, sndUna))
  }

  /** Sends what an acknowledgment has shown to be lost, two segments at most: so many left the network for it. */
  retransmitLost(): void {
    const sender = this.#sender
    for (let count = 0; count < 2; count++) {
      const from = sender.nextLost()
      if (from === sender.sndMax) return
      sender.repaired(this.#sendAgain(from))
    }
  }

  /** Sends one segment from `from` on again, whatever the window says: it was inside it once. @returns its end */
  #sendAgain(from: Seq): Seq {
    const { sndMax, segmentMax } = this.#sender
    const { pool, counters } = this.#context
    if (!isBefore(from, this.#stream.end)) {
      if (this.isFinSent) this.#packets.control(FIN | ACK, from, 'FIN again')
      return sndMax
    }
    let piece = this.#stream.head
    while (!isAfter(pool.end(piece), from)) piece = pool.next(piece)
    const offset = distance(from, pool.seq(piece))
    const length = Math.min(pool.length(piece) - offset, segmentMax, distance(sndMax, from))
    counters.add(Counter.retransmissions, 1)
    this.#packets.payload(this.#pieceFlags(piece, offset, length), from, piece, offset, length, 'again')
    return add(from, length)
  }

  /** @returns true if a segment with payload was sent and another may follow */
  #sendNext(now: number): boolean {
    const sender = this.#sender
    const { pool, frames } = this.#context
    const piece = sender.cursor(this.#stream, pool)
    if (piece === NONE) return false
    const offset = distance(sender.sndNxt, pool.seq(piece))
    const isFirstTime = sender.sndNxt === sender.sndMax
    const allowed = isFirstTime ? frames.rate.room(this.#session) : 0
    if (isFirstTime && allowed <= 0) return false
    if (isFirstTime && !pool.isFromSyn(piece) && !this.mayGo(pool.ack(piece), true, now)) return false
    if (!isFirstTime && sender.skipSacked(piece, pool.end(piece))) return true
    const { segmentMax } = sender
    const left = pool.length(piece) - offset
    const wanted = Math.min(left, segmentMax)
    const room = sender.room()
    // A part of a segment goes only when nothing is in flight that would open the window (RFC 9293 §3.8.6.2.1).
    if (room <= 0 || (room < wanted && sender.flightBytes > 0)) {
      if (sender.flightBytes === 0) sender.awaitWindow(now)
      return false
    }
    // Each segment of urgent octets has a pointer of its own, which segmentation would not make.
    const isSingle = !isFirstTime || pool.urgentEnd(piece) > offset
    const most = isSingle ? segmentMax : this.#lengthMax(allowed)
    let length = Math.min(left, room, most)
    // Of several segments only the piece's last may be shorter.
    if (length > segmentMax && length < left) length -= length % segmentMax
    if (isFirstTime) this.#asks(now)
    else this.#context.counters.add(Counter.retransmissions, 1)
    const flags = this.#pieceFlags(piece, offset, length)
    this.#packets.payload(flags, sender.sndNxt, piece, offset, length, isFirstTime ? '' : 'again')
    sender.sent(length, piece, offset + length === pool.length(piece), now)
    return true
  }

  /** Octets of a request go for the first time. */
  #asks(now: number): void {
    this.#response.asked(now)
    if (Number.isNaN(this.#answeredAt)) return
    this.#context.latency.departs(this.#answeredAt)
    this.#answeredAt = Number.NaN
  }

  /** Most octets of payload of a packet or super-packet, where the rate allows so many: a whole number of segments. */
  #lengthMax(allowed: number): number {
    const { segmentMax } = this.#sender
    const most = this.#context.frames.payloadMax(this.#session, segmentMax)
    return allowed >= most ? most : Math.max(segmentMax, allowed - (allowed % segmentMax))
  }

  #pieceFlags(piece: number, offset: number, length: number): number {
    const { pool } = this.#context
    const push = pool.isPushed(piece) && offset + length === pool.length(piece) ? PSH : 0
    return ACK | push | (pool.urgentEnd(piece) > offset ? URG : 0)
  }

  /**
   * Asks the gate of epochs for what the client sent with this acknowledgment.
   * @param isRequest false for FIN and RST: they wait for the answers that the client had read, but ask for none
   */
  mayGo(ack: Seq, isRequest: boolean, now: number): boolean {
    const { roundTrip, isAllAcknowledged, isFresh } = this.#sender
    const { counters } = this.#context
    const gate = this.#epochs.ask(ack, !isRequest, this.#response, isAllAcknowledged, roundTrip.smoothedMs, now)
    if (gate === Gate.Closed) {
      this.gateAt = this.#epochs.lookAgainAt
      return false
    }
    if (gate === Gate.TargetClosed && isRequest) {
      this.isTargetGone = true
      return false
    }
    if (gate === Gate.TimedOut) counters.add(Counter.epochTimeouts, 1)
    if (!isRequest) return true
    if (gate === Gate.Answered && this.#epochs.hasWaited) this.#answeredAt = this.#response.arrivedAt
    if (gate === Gate.Quiet) counters.add(Counter.epochsQuiet, 1)
    if (gate !== Gate.SameEpoch || isFresh) this.#countEpoch()
    return true
  }

  #countEpoch(): void {
    const { counters } = this.#context
    counters.add(Counter.epochs, 1)
    const { heritage } = this.#session
    const isAgain = heritage !== undefined && isBefore(this.#sender.sndNxt, heritage.sentEnd)
    if (isAgain) counters.add(Counter.epochsSentAgain, 1)
  }

  #sendFin(now: number): void {
    const sender = this.#sender
    const stream = this.#stream
    if (!stream.isComplete || sender.sndNxt !== stream.finSeq) return
    if (!this.isFinSent && !this.mayGo(this.#clientEnd.finAck, false, now)) return
    if (this.isFinSent) this.#packets.control(FIN | ACK, stream.finSeq, 'FIN again')
    else this.#packets.control(FIN | ACK, stream.finSeq, '', this.#clientEnd.finIpId)
    this.isFinSent = true
    sender.sent(1, NONE, false, now)
  }
}
