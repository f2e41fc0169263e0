/**
 * Detects connections on which both sides talk at once, as in HTTP/2, from the acknowledgment numbers of the client's
 * packets alone. On such a connection the client sends while an answer is still arriving: the acknowledgment number of
 * its request then lies between two full segments of the source, and the next one after it as well. The end of an
 * answer lies there only by chance.
 */
import { distance, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** Answers that must outlast the next request, beyond those that did not. */
const OUTLASTING = 8

export class DuplexWatch {
  /** Both sides talk at once. It stays so. */
  isDuplex = false
  /** Answers that outlasted the next request, less those that ended before it; at least 0. */
  #outlasting = 0
  #ack: Seq = seq(0)
  #hasAck = false
  /** The last request was sent between two full segments of an answer. */
  #isBetween = false

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.isDuplex = snapshot.flag(this.isDuplex)
    this.#outlasting = snapshot.short(this.#outlasting)
    this.#ack = snapshot.seq(this.#ack)
    this.#hasAck = snapshot.flag(this.#hasAck)
    this.#isBetween = snapshot.flag(this.#isBetween)
  }

  /**
   * Takes the acknowledgment number of a captured packet. What a client writes at once is one request, even if the
   * answer to its first part is arriving, as with long bursts of pipelined requests.
   * @param isRequest a request may begin with it; @param segmentBytes payload of a full segment of the source
   */
  saw(ack: Seq, isRequest: boolean, segmentBytes: number): void {
    const advance = this.#hasAck ? distance(ack, this.#ack) : 0
    if (this.#hasAck && advance <= 0) return
    this.#hasAck = true
    this.#ack = ack
    if (advance === 0 || (!isRequest && !this.#isBetween)) return
    const isFull = advance % segmentBytes === 0
    if (this.#isBetween && isFull) this.#outlasting += 1
    if (this.#outlasting >= OUTLASTING) this.isDuplex = true
    this.#isBetween = isRequest && isFull
    if (isRequest && !isFull && this.#outlasting > 0) this.#outlasting -= 1
  }
}
