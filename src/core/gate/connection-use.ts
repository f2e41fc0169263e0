/**
 * Judges whether a connection to the target was of use: whether the target answered as the source did. The gate reports
 * each exchange. The last one is judged late, because only the client's next request tells how much it had read.
 */
import { distance, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** An answer is like the source's if neither is longer than the other by more than this factor. */
const LIKE = 2
/** So many answered requests are of use, whatever their answers are like. */
const ENOUGH = 2

export class ConnectionUse {
  /** The source sends before the client does. A greeting could then pass for an answer, so one answer is not enough. */
  isServerFirst = false
  /** The client has read answers on this connection. */
  hasRead = false
  #hasLikeAnswer = false
  #answered = 0
  /** The last exchange of a connection that has ended: the acknowledgment number of its request. */
  #lastAck: Seq = seq(0)
  /** What the target had answered to it. */
  #lastBytes = 0

  /** See `Snapshot`. Only while the connection is open. */
  save(snapshot: Snapshot): void {
    this.isServerFirst = snapshot.flag(this.isServerFirst)
    this.hasRead = snapshot.flag(this.hasRead)
    this.#hasLikeAnswer = snapshot.flag(this.#hasLikeAnswer)
    this.#answered = snapshot.short(this.#answered)
  }

  get isUseful(): boolean {
    return this.#answered >= ENOUGH || (this.#hasLikeAnswer && !this.isServerFirst)
  }

  /** Another connection begins. */
  begin(): void {
    this.hasRead = false
    this.#hasLikeAnswer = false
    this.#answered = 0
    this.#lastBytes = 0
  }

  /**
   * @param sourceBytes length of the answer that the client had read; @param targetBytes of the target's answer to it
   * @returns true if further answers can change nothing
   */
  answered(sourceBytes: number, targetBytes: number): boolean {
    if (sourceBytes <= 0) return false
    this.hasRead = true
    if (targetBytes <= 0) return false
    if (this.#answered < ENOUGH) this.#answered += 1
    if (isLike(sourceBytes, targetBytes)) this.#hasLikeAnswer = true
    return this.#answered >= ENOUGH
  }

  /**
   * A connection has ended on which requests did not wait for answers, so only their sums can be compared.
   * @param sourceBytes all that the client had read on it; @param targetBytes all that the target answered
   */
  answeredInAll(sourceBytes: number, targetBytes: number): void {
    if (sourceBytes > 0) this.hasRead = true
    if (sourceBytes > 0 && isLike(sourceBytes, targetBytes)) this.#answered = ENOUGH
  }

  /** The connection has ended. @param ack the acknowledgment number of its last request; @param bytes as in `answered` */
  ended(ack: Seq, bytes: number): void {
    this.#lastAck = ack
    this.#lastBytes = bytes
  }

  /** Judges the last exchange. @param ack the acknowledgment number of the next request */
  complete(ack: Seq): void {
    this.answered(distance(ack, this.#lastAck), this.#lastBytes)
    this.#lastAck = ack
    this.#lastBytes = 0
  }
}

function isLike(sourceBytes: number, targetBytes: number): boolean {
  return targetBytes * LIKE >= sourceBytes && targetBytes <= sourceBytes * LIKE
}
