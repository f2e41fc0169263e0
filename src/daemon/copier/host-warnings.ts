/** Warns of what this host does to a copy: packets lost in capture, and packets that the kernel refuses to send. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import type { PacketSender } from '../../ports.ts'
import { Condition } from '../notices/condition.ts'
import { Growth } from '../notices/growth.ts'
import type { Notices } from '../notices/notices.ts'

/** Without another loss or refusal for so long, it is over. */
const OVER_MS = 60_000

export class HostWarnings {
  readonly #counters: Counters
  readonly #sender: PacketSender
  readonly #dropping: Condition
  readonly #refusing: Condition
  readonly #dropped = new Growth()
  readonly #captured = new Growth()
  readonly #refused = new Growth()

  constructor(counters: Counters, sender: PacketSender, notices: Notices) {
    this.#counters = counters
    this.#sender = sender
    this.#dropping = new Condition(notices, {
      message: 'packets were lost in capture, so requests are missing in the copy',
      overMessage: 'no packets are lost in capture any more',
      overAfterMs: OVER_MS
    })
    this.#refusing = new Condition(notices, {
      message: 'the kernel refused to send packets',
      overMessage: 'the kernel refuses no packets any more',
      overAfterMs: OVER_MS
    })
  }

  /** Call it once a second. */
  onTimer(now: number): void {
    const dropped = this.#counters.get(Counter.captureDropped)
    const captured = this.#counters.get(Counter.capturedPackets)
    this.#dropped.see(dropped, this.#dropping.holds)
    this.#captured.see(captured, this.#dropping.holds)
    this.#dropping.update(this.#dropped.isGrowing ? true : undefined, now, () => ({
      lost: this.#dropped.total,
      captured: this.#captured.total,
      hint: 'Enlarge the ring (-B), give tcpcopy a core of its own, or add threads (--workers).'
    }))
    this.#refused.see(this.#counters.get(Counter.sendRefused), this.#refusing.holds)
    this.#refusing.update(this.#refused.isGrowing ? true : undefined, now, () => ({
      refused: this.#refused.total,
      errnos: Object.fromEntries(this.#sender.refused)
    }))
  }
}
