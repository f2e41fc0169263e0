/**
 * How the client ended its side: which FIN and which reset are believed, and what came with them. Kept when a session
 * goes on with another connection.
 */
import { ACK, type Segment } from '../../wire/segment.ts'
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import type { ClientStream } from './client-stream.ts'

/** No window in use reaches so far: a reset farther away is of another connection, and the source ignores it too. */
const RESET_REACH = 1 << 24

export class ClientEnd {
  /** The acknowledgment number of the client's FIN. */
  finAck: Seq = seq(0)
  /** The IP id of the client's FIN, if it came without payload. */
  finIpId = 0
  hasReset = false
  resetSeq: Seq = seq(0)
  resetAck: Seq = seq(0)

  /** Takes a segment with FIN whose payload `stream` has taken. */
  takeFin(segment: Segment, stream: ClientStream): Drop {
    const drop = stream.close(add(segment.seq, segment.payloadLength))
    if (drop !== Drop.None) return drop
    this.finAck = segment.ack
    this.finIpId = segment.payloadLength === 0 ? segment.ipId : 0
    return drop
  }

  /** Takes a segment with RST. */
  takeReset(segment: Segment, stream: ClientStream): Drop {
    if (this.hasReset) return Drop.Duplicate
    if (Math.abs(distance(segment.seq, stream.end)) > RESET_REACH) return Drop.TooFarAhead
    this.#reset(segment.seq, segment.flags & ACK ? segment.ack : this.finAck)
    return Drop.None
  }

  /** The client has begun another connection: what of this one is captured is all there is. */
  forsake(stream: ClientStream): void {
    this.#reset(stream.end, this.finAck)
  }

  #reset(at: Seq, ack: Seq): void {
    this.hasReset = true
    this.resetSeq = at
    this.resetAck = ack
  }
}
