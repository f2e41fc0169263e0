/** A reset of the client that is not at the end of the stream. It waits for silence, or for the bytes before it. */
import { type Seq, seq } from '../../wire/seq.ts'

export class WaitingReset {
  isWaiting = false
  at: Seq = seq(0)
  /** Its acknowledgment number; 0: it has none that can be used. */
  ack: Seq = seq(0)
  /** It is near the stream, so that silence can confirm it without the source's kernel. */
  isNear = false
  /** When the first reset since the client's last packet was captured. */
  since = 0

  wait(at: Seq, ack: Seq, isNear: boolean, now: number): void {
    if (!this.isWaiting) this.since = now
    this.isWaiting = true
    this.at = at
    this.ack = ack
    this.isNear = isNear
  }

  forget(): void {
    this.isWaiting = false
  }
}
