/** A FIN of the client ahead of its stream. It takes effect when the stream reaches it, and never if bytes pass it. */
import { type Seq, seq } from '../../wire/seq.ts'

export class PendingFin {
  isPending = false
  at: Seq = seq(0)
  /** The client went on in order after it, but did not reach it: it may be forged, so nothing waits for it. */
  isDoubtful = false

  expect(at: Seq): void {
    this.isPending = true
    this.at = at
    this.isDoubtful = false
  }

  forget(): void {
    this.isPending = false
  }
}
