/**
 * Writes the packets of one session: adds to what a packet is for the window, the timestamps and the acknowledgment
 * that are due at this moment.
 */
import { ACK, SYN } from '../wire/segment.ts'
import { later, type Seq, seq } from '../wire/seq.ts'
import type { PacketStyle } from './frames.ts'
import type { ResponseStream } from './response-stream.ts'
import { NONE } from './send-pool.ts'
import type { Session } from './session.ts'
import type { SessionContext } from './session-context.ts'

/** RFC 7323 §2.3. */
const SCALE_MAX = 14

export class PacketWriter {
  readonly #session: Session
  readonly #response: ResponseStream
  readonly #context: SessionContext
  /** The largest timestamp value sent: one below it would be ignored by the target (RFC 7323 §5). */
  #tsVal: Seq
  /** The scale of our window fields that is in force: the client's, or 0 where the target offered none. */
  #shift = 0

  constructor(session: Session, response: ResponseStream, context: SessionContext, tsVal: Seq) {
    this.#session = session
    this.#response = response
    this.#context = context
    this.#tsVal = tsVal
  }

  /** After the SYN-ACK. */
  open(isScaled: boolean): void {
    this.#shift = isScaled ? Math.min(this.#session.windowScale, SCALE_MAX) : 0
  }

  /** A window field of the client, in octets. */
  scaled(window: number): number {
    return window << Math.max(0, Math.min(this.#session.windowScale, SCALE_MAX))
  }

  /** A packet without payload. @param why empty for what the client did itself; else for `--trace` */
  control(flags: number, sequence: Seq, why: string): void {
    this.payload(flags, sequence, NONE, 0, 0, why)
  }

  /** A packet with `length` octets of `piece` from `offset` on. */
  payload(flags: number, sequence: Seq, piece: number, offset: number, length: number, why: string): void {
    const { pool, frames, trace } = this.#context
    let captured = 0
    if (piece !== NONE) {
      captured = this.scaled(pool.window(piece))
      if (pool.hasTimestamps(piece)) this.#tsVal = later(this.#tsVal, pool.tsVal(piece))
    }
    const window = this.#response.windowField(flags, captured, flags & SYN ? 0 : this.#shift)
    const { rcvNxt, tsRecent } = this.#response
    const tsEcr = flags & ACK ? tsRecent : seq(0)
    const isFirst = why === ''
    const style: PacketStyle = this.#session
    const { held } = this.#response
    const sack = piece === NONE && style.isSackPermitted && held !== undefined && held.count > 0 ? held : undefined
    const tsVal = this.#tsVal
    const at = frames.write(style, flags, sequence, rcvNxt, window, tsVal, tsEcr, sack, piece, offset, length, isFirst)
    if (flags & ACK) this.#response.acknowledged()
    if (trace !== undefined) trace.sent(this.#session, at, length, why)
  }
}
