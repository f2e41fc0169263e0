/**
 * Sends for an open connection: new bytes of the send queue as far as the windows allow, the FIN, and retransmissions.
 */
import { ACK, FIN, PSH, URG } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, type Seq } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { NONE } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import { Purpose } from '../packets/purpose.ts'
import type { ControlBlock } from './control-block.ts'
import type { Receiver } from './receiver.ts'
import type { SegmentWriter } from './segment-writer.ts'
import type { Sender } from './sender.ts'
import type { TcpContext } from './tcp-context.ts'

export class Output {
  isFinSent = false
  readonly #tcb: ControlBlock
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #writer: SegmentWriter
  readonly #context: TcpContext

  constructor(tcb: ControlBlock, sender: Sender, receiver: Receiver, writer: SegmentWriter, context: TcpContext) {
    this.#tcb = tcb
    this.#sender = sender
    this.#receiver = receiver
    this.#writer = writer
    this.#context = context
  }

  /** Retransmits what is lost after a timeout. @returns false if the windows do not allow all of it yet */
  resend(queue: SendQueue, now: number): boolean {
    const tcb = this.#tcb
    while (isBefore(tcb.sndNxt, tcb.sndMax)) {
      const piece = this.#sender.cursor(queue)
      if (piece === NONE) {
        this.#writer.control(FIN | ACK, tcb.sndNxt, Purpose.FinAgain)
        this.#sender.sent(1, NONE, false, now)
        return true
      }
      if (this.#sender.skipSacked(piece, tcb.sequenceOf(queue.pool.end(piece)))) continue
      if (!this.#send(queue, piece, queue.end, 0, Purpose.Retransmission, now)) return false
    }
    return true
  }

  /**
   * Sends new bytes in one packet or super-packet.
   * @param upTo offset of the first byte that may not be sent; @param most bytes of payload
   * @returns false if there are none or the windows are full
   */
  send(queue: SendQueue, upTo: Seq, most: number, now: number): boolean {
    if (!isBefore(this.#tcb.offsetOf(this.#tcb.sndNxt), upTo)) return false
    const piece = this.#sender.cursor(queue)
    if (piece === NONE) return false
    // Each segment of urgent bytes needs its own pointer, but segmentation would repeat one.
    const isUrgent = queue.pool.urgentEnd(piece) > 0
    return this.#send(queue, piece, upTo, isUrgent ? 0 : most, Purpose.Copy, now)
  }

  /** @param upTo offset of the first byte that may not be sent; @param most bytes of payload; 0: one segment */
  #send(queue: SendQueue, piece: number, upTo: Seq, most: number, purpose: Purpose, now: number): boolean {
    const sender = this.#sender
    const { pool } = queue
    const { segmentMax } = sender
    const next = this.#tcb.offsetOf(this.#tcb.sndNxt)
    const offset = distance(next, pool.offset(piece))
    const left = Math.min(pool.length(piece) - offset, distance(upTo, next))
    const wanted = Math.min(left, segmentMax)
    const room = sender.room()
    // A part of a segment is sent only if nothing is in flight that would open the window (RFC 9293 §3.8.6.2.1).
    if (room <= 0 || (room < wanted && this.#tcb.flightBytes > 0)) {
      if (this.#tcb.flightBytes === 0) sender.awaitWindow(now)
      return false
    }
    let length = Math.min(left, room)
    if (length > segmentMax) length = Math.min(length, most === 0 ? segmentMax : this.#lengthMax(most))
    // In a super-packet, only the last segment of a piece may be shorter.
    if (length > segmentMax && length < left) length -= length % segmentMax
    if (purpose === Purpose.Copy) this.#receiver.asked(now)
    else this.#context.counters.add(Counter.retransmissions, 1)
    this.#writer.payload(pieceFlags(queue, piece, offset, length), this.#tcb.sndNxt, piece, offset, length, purpose)
    sender.sent(length, piece, offset + length === pool.length(piece), now)
    return true
  }

  /** Sends the FIN. @param ipId IP id of the client's own FIN, or 0 */
  close(ipId: number, now: number): void {
    this.#writer.control(FIN | ACK, this.#tcb.sndNxt, Purpose.Copy, ipId)
    this.isFinSent = true
    this.#sender.sent(1, NONE, false, now)
  }

  /** Acknowledges everything received, without pacing. */
  acknowledgeAll(purpose: Purpose): void {
    this.#receiver.acknowledgeAll()
    this.acknowledge(purpose)
  }

  /**
   * Sends a duplicate acknowledgment for each segment received beyond a gap, up to the three that signal a loss (RFC
   * 5681 §3.2). With SACK one is enough, because the target counts the bytes in the blocks (RFC 6675 §4).
   * @param byteCount bytes received beyond the gap; 1 with SACK
   */
  askForMissing(byteCount: number): void {
    const segments = Math.ceil(byteCount / this.#sender.segmentMax)
    for (let count = Math.min(segments, 3); count > 0; count--) this.acknowledge(Purpose.AsksForMissing)
  }

  acknowledge(purpose: Purpose): void {
    this.#writer.control(ACK, this.#tcb.sndMax, purpose)
  }

  /** The retransmission timer has expired. */
  timedOut(queue: SendQueue, now: number): void {
    const tcb = this.#tcb
    if (tcb.isAllAcknowledged) {
      // The window is closed. The target answers a segment before the window with the current window.
      this.#writer.control(ACK, add(tcb.sndUna, -1), Purpose.WindowProbe)
      this.#sender.probed(now)
      return
    }
    const isSmaller = this.#sender.timedOut(this.#oldestLength(queue), now)
    if (isSmaller) this.#context.counters.add(Counter.segmentsHalved, 1)
    if (this.#sender.room() <= 0 && this.#isInQueue(queue, tcb.sndUna)) this.#sendAgain(queue, tcb.sndUna)
  }

  /** Bytes of the oldest unacknowledged segment; 0 if it is the FIN. */
  #oldestLength(queue: SendQueue): number {
    const { sndUna, sndMax } = this.#tcb
    if (!this.#isInQueue(queue, sndUna)) return 0
    const rest = distance(queue.pool.end(queue.head), this.#tcb.offsetOf(sndUna))
    return Math.min(rest, this.#sender.segmentMax, distance(sndMax, sndUna))
  }

  /** Retransmits segments that an acknowledgment showed to be lost: at most two, as many as have left the network. */
  retransmitLost(queue: SendQueue): void {
    const sender = this.#sender
    for (let count = 0; count < 2; count++) {
      const from = sender.nextLost()
      if (from === this.#tcb.sndMax) return
      sender.repaired(this.#sendAgain(queue, from))
    }
  }

  /** Retransmits one segment from `from` on, even beyond the window, which included it once. @returns its end */
  #sendAgain(queue: SendQueue, from: Seq): Seq {
    const { sndMax } = this.#tcb
    const { pool } = queue
    if (!this.#isInQueue(queue, from)) {
      if (this.isFinSent) this.#writer.control(FIN | ACK, from, Purpose.FinAgain)
      return sndMax
    }
    const start = this.#tcb.offsetOf(from)
    let piece = queue.head
    while (!isAfter(pool.end(piece), start)) piece = pool.next(piece)
    const offset = distance(start, pool.offset(piece))
    const length = Math.min(pool.length(piece) - offset, this.#sender.segmentMax, distance(sndMax, from))
    this.#context.counters.add(Counter.retransmissions, 1)
    const flags = pieceFlags(queue, piece, offset, length)
    this.#writer.payload(flags, from, piece, offset, length, Purpose.Retransmission)
    return add(from, length)
  }

  /** Whether a sequence number is that of a byte in the queue, and not of the FIN or beyond. */
  #isInQueue(queue: SendQueue, sequence: Seq): boolean {
    return isBefore(this.#tcb.offsetOf(sequence), queue.end)
  }

  /**
   * Largest payload of a packet or super-packet: a whole number of segments, up to `allowed` but at least one segment.
   */
  #lengthMax(allowed: number): number {
    const { segmentMax } = this.#sender
    const most = this.#context.frames.payloadMax(this.#tcb, segmentMax)
    return allowed >= most ? most : Math.max(segmentMax, allowed - (allowed % segmentMax))
  }
}

function pieceFlags({ pool }: SendQueue, piece: number, offset: number, length: number): number {
  const push = pool.isPushed(piece) && offset + length === pool.length(piece) ? PSH : 0
  return ACK | push | (pool.urgentEnd(piece) > offset ? URG : 0)
}
