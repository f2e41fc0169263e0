/**
 * An exchange: one request of the client with its answers, the unit in which a copy is true or not. A session keeps a record
 * of the one that went last. Until a protocol is known a request is what the client sent after it had read more answer.
 */
import { type Seq, seq } from '../../wire/seq.ts'
import { Release } from './epochs.ts'

export class Exchange {
  /** Offset of the request in the send queue. */
  offset: Seq = seq(0)
  /** When its first byte was captured, and when it was let go to the target. */
  capturedAt = Number.NaN
  releasedAt = Number.NaN
  /** Why it was let go: that is the outcome of the exchange before it. */
  release: Release = Release.Closed
  /** It was sent before, on a connection that has ended. */
  isRepeated = false
  /** Answer bytes of the source that the client had read before it, since the request before. */
  sourceAnswerBytes = 0
  /** Answer bytes of the target, in order, that were there when it was let go. */
  targetAnswerBytes = 0
  /** When the answer for which it waited came to where it was captured; NaN: it waited for none, or nobody knows. */
  answeredAt = Number.NaN
}
