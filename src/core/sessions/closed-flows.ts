/** Remembers closed flows for a while, so that their late packets do not start a new copy in mid-stream. */
import type { Flow } from '../../wire/flow.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { ExpiryQueue, type TakeExpired } from '../memory/expiry-queue.ts'
import type { FlowTable } from '../memory/flow-table.ts'
import type { Session } from '../session/session.ts'
import { entryOfClosed } from './flow-entries.ts'

/** Late packets of a connection that its client has ended arrive within this time. */
const CLOSED_LINGER_MS = 60_000

/**
 * True if the flow of a session is not remembered: the copy ended although its connection continues, and may be joined
 * again.
 */
export function mayJoinAgain({ endReason, isClientDone }: Session): boolean {
  if (endReason === Drop.TimedOut) return !isClientDone
  return endReason === Drop.Shutdown || endReason === Drop.NotConnected || endReason === Drop.Displaced
}

export class ClosedFlows {
  readonly #flows: FlowTable
  readonly #closed = new ExpiryQueue(CLOSED_LINGER_MS)
  readonly #broken: ExpiryQueue
  #serial = 0
  readonly #most: number
  readonly #counters: Counters
  readonly #forget: TakeExpired

  /** @param brokenMs how long to remember a flow whose client had not ended; @param most beyond, the oldest is forgotten */
  constructor(flows: FlowTable, brokenMs: number, most: number, counters: Counters) {
    this.#flows = flows
    this.#most = most
    this.#counters = counters
    this.#broken = new ExpiryQueue(brokenMs)
    this.#forget = (flow, entry) => {
      if (flows.get(flow) === entry) flows.delete(flow)
    }
  }

  /** @param flow the captured flow; @param isClosed its client had ended */
  add(flow: Flow, isClosed: boolean, now: number): void {
    if (this.#closed.size + this.#broken.size >= this.#most) this.#forgetOldest()
    this.#serial = (this.#serial + 1) & 0x1fffffff
    const entry = entryOfClosed(this.#serial)
    this.#flows.set(flow, entry)
    const queue = isClosed ? this.#closed : this.#broken
    queue.add(flow, entry, now)
  }

  #forgetOldest(): void {
    const queue = this.#closed.size > 0 ? this.#closed : this.#broken
    queue.removeOldest(this.#forget)
    this.#counters.add(Counter.flowsForgotten, 1)
  }

  /** Forgets up to `most` expired flows of either kind. */
  expire(now: number, most: number): void {
    this.#closed.expire(now, most, this.#forget)
    this.#broken.expire(now, most, this.#forget)
  }
}
