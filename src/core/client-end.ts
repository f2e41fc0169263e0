/** How the client ended its side, kept when a session goes on with another connection. */
import { type Seq, seq } from '../wire/seq.ts'

export class ClientEnd {
  /** The acknowledgment number of the client's FIN. */
  finAck: Seq = seq(0)
  /** The IP id of the client's FIN, if it came without payload. */
  finIpId = 0
  hasReset = false
  resetSeq: Seq = seq(0)
  resetAck: Seq = seq(0)
}
