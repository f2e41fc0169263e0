/**
 * The record of an exchange: one request of the client with its answers, the unit in which copy and original are
 * compared. A session keeps the one whose request was released last.
 */
import { type Seq, seq } from '../../wire/seq.ts'
import { Release } from './epochs.ts'

export class Exchange {
  /** Offset of the request in the send queue. */
  offset: Seq = seq(0)
  /** When the first byte of the request was captured. */
  capturedAt = Number.NaN
  /** When the gate released the request. */
  releasedAt = Number.NaN
  /** Why the gate released it, which is the outcome of the previous exchange. */
  release: Release = Release.Closed
  /** The request was sent before, on a connection that has ended. */
  isRepeated = false
  /** Bytes of the source's answer that the client had read between the previous request and this one. */
  sourceAnswerBytes = 0
  /** Bytes received in order from the target, since the connection was opened, at the release. */
  targetAnswerBytes = 0
  /** When the answer that the request waited for arrived at the assistant; NaN: it did not wait, or unknown. */
  answeredAt = Number.NaN
}
