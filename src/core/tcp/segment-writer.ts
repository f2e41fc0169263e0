/** Writes the packets of one connection, with the current window, timestamps and acknowledgment number. */
import { ACK, SYN } from '../../wire/segment.ts'
import { later, type Seq, seq } from '../../wire/seq.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { Purpose } from '../packets/purpose.ts'
import type { ControlBlock } from './control-block.ts'
import type { Receiver } from './receiver.ts'
import type { Sender } from './sender.ts'
import type { TcpContext } from './tcp-context.ts'

/** RFC 7323 §2.3. */
const SCALE_MAX = 14

/**
 * The window of a packet other than a SYN, in bytes.
 * @param window the field; @param scale as offered; negative: none
 */
export function scaledWindow(window: number, scale: number): number {
  return window << Math.max(0, Math.min(scale, SCALE_MAX))
}

export class SegmentWriter {
  readonly #tcb: ControlBlock
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #context: TcpContext
  /** The scale of our window fields: the client's, or 0 if the target offered none. */
  #shift = 0

  constructor(tcb: ControlBlock, sender: Sender, receiver: Receiver, context: TcpContext) {
    this.#tcb = tcb
    this.#sender = sender
    this.#receiver = receiver
    this.#context = context
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#tcb.tsVal = snapshot.seq(this.#tcb.tsVal)
    this.#shift = snapshot.short(this.#shift)
  }

  /** Takes the result of the SYN-ACK. @param isScaled both sides offered window scaling */
  open(isScaled: boolean): void {
    this.#shift = isScaled ? Math.min(this.#tcb.windowScale, SCALE_MAX) : 0
  }

  /**
   * Writes a packet without payload.
   * @param ipId IP id of the client's own packet if this is its copy, otherwise 0
   */
  control(flags: number, sequence: Seq, purpose: Purpose, ipId = 0): void {
    this.#write(flags, sequence, NONE, 0, 0, purpose, ipId)
  }

  /** Writes a packet with `length` bytes of `piece` from `offset` on. */
  payload(flags: number, sequence: Seq, piece: number, offset: number, length: number, purpose: Purpose): void {
    this.#write(flags, sequence, piece, offset, length, purpose, 0)
  }

  #write(
    flags: number,
    sequence: Seq,
    piece: number,
    offset: number,
    length: number,
    purpose: Purpose,
    ipId: number
  ): void {
    const { pool, frames, trace } = this.#context
    const tcb = this.#tcb
    const receiver = this.#receiver
    let captured = 0
    if (piece !== NONE) {
      captured = scaledWindow(pool.window(piece), tcb.windowScale)
      if (pool.hasTimestamps(piece)) tcb.tsVal = later(tcb.tsVal, pool.tsVal(piece))
    }
    const { packet } = frames
    packet.flags = flags
    packet.sequence = sequence
    const isPure = flags === ACK && piece === NONE
    packet.acknowledgment = isPure ? tcb.ackNxt : tcb.rcvNxt
    packet.window = receiver.windowField(flags, captured, flags & SYN ? 0 : this.#shift, packet.acknowledgment)
    packet.tsVal = tcb.tsVal
    packet.tsEcr = flags & ACK ? tcb.tsRecent : seq(0)
    packet.sack = piece === NONE && tcb.isSackPermitted ? receiver.heldRanges : undefined
    packet.piece = piece
    packet.offset = offset
    packet.length = length
    packet.segmentMax = this.#sender.segmentMax
    packet.isCopy = purpose === Purpose.Copy
    packet.ipId = ipId
    const at = frames.write(tcb)
    if (flags & ACK) receiver.acknowledged(isPure)
    if (trace !== undefined) trace.sent(tcb, at, length, purpose)
  }
}
