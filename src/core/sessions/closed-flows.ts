/**
 * Remembers for a while which flows have ended, so that late packets of theirs do not begin a new copy in mid-stream.
 * All live equally long, so the oldest is always the first to go.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import { Drop } from '../books/drop.ts'
import type { FlowTable } from '../memory/flow-table.ts'
import type { Session } from '../session/session.ts'
import type { CopiedIdentity } from '../session/session-context.ts'

const KEY = 4

export class ExpiryQueue {
  readonly #lifetimeMs: number
  #keys = new Int32Array(256 * KEY)
  #expiry = new Float64Array(256)
  #first = 0
  size = 0

  constructor(lifetimeMs: number) {
    this.#lifetimeMs = lifetimeMs
  }

  /** @param marker what the flow table holds for it */
  add(addressA: number, addressB: number, ports: number, marker: number, now: number): void {
    if (this.size === this.#expiry.length) this.#grow()
    const index = (this.#first + this.size) % this.#expiry.length
    this.#keys[index * KEY] = addressA
    this.#keys[index * KEY + 1] = addressB
    this.#keys[index * KEY + 2] = ports
    this.#keys[index * KEY + 3] = marker
    this.#expiry[index] = now + this.#lifetimeMs
    this.size += 1
  }

  /** Gives up to `most` that have expired to `bury`. */
  expire(now: number, most: number, bury: (a: number, b: number, ports: number, marker: number) => void): void {
    for (let count = 0; count < most && this.size > 0; count++) {
      if (float64At(this.#expiry, this.#first) > now) return
      const at = this.#first * KEY
      this.#first = (this.#first + 1) % this.#expiry.length
      this.size -= 1
      const keys = this.#keys
      bury(int32At(keys, at), int32At(keys, at + 1), int32At(keys, at + 2), int32At(keys, at + 3))
    }
  }

  #grow(): void {
    const length = this.#expiry.length
    const keys = new Int32Array(length * 2 * KEY)
    const expiry = new Float64Array(length * 2)
    for (let index = 0; index < this.size; index++) {
      const from = (this.#first + index) % length
      for (let word = 0; word < KEY; word++) keys[index * KEY + word] = int32At(this.#keys, from * KEY + word)
      expiry[index] = float64At(this.#expiry, from)
    }
    this.#keys = keys
    this.#expiry = expiry
    this.#first = 0
  }
}

/** True for a session without a tombstone: it was given up although its connection goes on, and may be joined again. */
export function mayJoinAgain({ endReason, isClientDone }: Session): boolean {
  if (endReason === Drop.TimedOut) return !isClientDone
  return endReason === Drop.Shutdown || endReason === Drop.Displaced
}

/** Late packets of a connection that both sides have closed come within this time. */
const CLOSED_LINGER_MS = 60_000

/** The tombstones of copied flows, each with a marker (4n + 1) in the table of flows. */
export class ClosedFlows {
  readonly #flows: FlowTable
  readonly #closed = new ExpiryQueue(CLOSED_LINGER_MS)
  readonly #broken: ExpiryQueue
  #serial = 0
  readonly #bury: (a: number, b: number, ports: number, marker: number) => void

  /** @param brokenMs how long a flow is remembered that was not closed by both sides */
  constructor(flows: FlowTable, brokenMs: number) {
    this.#flows = flows
    this.#broken = new ExpiryQueue(brokenMs)
    this.#bury = (a, b, ports, marker) => {
      if (flows.get(a, ports >>> 16, b, ports & 0xffff) === marker) flows.delete(a, ports >>> 16, b, ports & 0xffff)
    }
  }

  add(identity: CopiedIdentity, isClosed: boolean, now: number): void {
    const { capturedAddress: a, capturedPort, sourceAddress: b, sourcePort } = identity
    this.#serial = (this.#serial + 1) & 0x1fffffff
    const marker = this.#serial * 4 + 1
    this.#flows.set(a, capturedPort, b, sourcePort, marker)
    const tombstones = isClosed ? this.#closed : this.#broken
    tombstones.add(a, b, (capturedPort << 16) | sourcePort, marker, now)
  }

  /** Forgets up to `most` of either kind whose time is over. */
  expire(now: number, most: number): void {
    this.#closed.expire(now, most, this.#bury)
    this.#broken.expire(now, most, this.#bury)
  }
}
