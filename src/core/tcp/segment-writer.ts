/**
 * Writes the packets of one session: adds to what a packet is for the window, the timestamps and the acknowledgment
 * that are due at this moment.
 */
import { ACK, SYN } from '../../wire/segment.ts'
import { later, type Seq, seq } from '../../wire/seq.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import type { Receiver } from './receiver.ts'

/** RFC 7323 §2.3. */
const SCALE_MAX = 14

export class SegmentWriter {
  readonly #session: Session
  readonly #response: Receiver
  readonly #context: SessionContext
  /** The largest timestamp value sent: one below it would be ignored by the target (RFC 7323 §5). */
  tsVal: Seq
  /** The scale of our window fields that is in force: the client's, or 0 where the target offered none. */
  #shift = 0

  constructor(session: Session, response: Receiver, context: SessionContext, tsVal: Seq) {
    this.#session = session
    this.#response = response
    this.#context = context
    this.tsVal = tsVal
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.tsVal = snapshot.seq(this.tsVal)
    this.#shift = snapshot.short(this.#shift)
  }

  /** After the SYN-ACK. */
  open(isScaled: boolean): void {
    this.#shift = isScaled ? Math.min(this.#session.windowScale, SCALE_MAX) : 0
  }

  /** A window field of the client, in octets. */
  scaled(window: number): number {
    return window << Math.max(0, Math.min(this.#session.windowScale, SCALE_MAX))
  }

  /**
   * A packet without payload.
   * @param why empty for what the client did itself; else for `--trace`
   * @param ipId that of the client's own packet, if this is its copy
   */
  control(flags: number, sequence: Seq, why: string, ipId = 0): void {
    this.#write(flags, sequence, NONE, 0, 0, why, ipId)
  }

  /** A packet with `length` octets of `piece` from `offset` on. */
  payload(flags: number, sequence: Seq, piece: number, offset: number, length: number, why: string): void {
    this.#write(flags, sequence, piece, offset, length, why, 0)
  }

  #write(flags: number, sequence: Seq, piece: number, offset: number, length: number, why: string, ipId: number): void {
    const { pool, frames, trace } = this.#context
    const response = this.#response
    let captured = 0
    if (piece !== NONE) {
      captured = this.scaled(pool.window(piece))
      if (pool.hasTimestamps(piece)) this.tsVal = later(this.tsVal, pool.tsVal(piece))
    }
    const { packet } = frames
    packet.flags = flags
    packet.sequence = sequence
    const isPure = flags === ACK && piece === NONE
    packet.acknowledgment = isPure ? response.ackNxt : response.rcvNxt
    packet.window = response.windowField(flags, captured, flags & SYN ? 0 : this.#shift, packet.acknowledgment)
    packet.tsVal = this.tsVal
    packet.tsEcr = flags & ACK ? response.tsRecent : seq(0)
    packet.sack = piece === NONE && this.#session.isSackPermitted ? response.heldRanges : undefined
    packet.piece = piece
    packet.offset = offset
    packet.length = length
    packet.segmentMax = this.#session.sender.segmentMax
    packet.isCopy = why === ''
    packet.ipId = ipId
    const at = frames.write(this.#session)
    if (flags & ACK) response.acknowledged(isPure)
    if (trace !== undefined) trace.sent(this.#session, at, length, why)
  }
}
