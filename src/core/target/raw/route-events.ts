/**
 * A queue of routes to announce to intercept and to withdraw, in order. The owner of the channel drains it before
 * packets are sent, so that a route arrives before its first answer.
 */
import { int32At } from '../../../wire/bytes.ts'
import type { CopiedFlow } from '../../../wire/flow.ts'

/** A route as the channel announces it. */
export interface Route extends CopiedFlow {
  /** The session's slot, the same for all its routes. */
  readonly id: number
}

/** The receiver of the events. */
export interface RouteSink {
  announce(route: Route): void
  withdraw(route: Route): void
}

/** Words of an event: client address, target address, both ports, and twice the slot, plus 1 for a withdrawal. */
const WORDS = 4

export class RouteEvents {
  #words = new Int32Array(64 * WORDS)
  #count = 0
  readonly #route = { id: 0, clientAddress: 0, clientPort: 0, targetAddress: 0, targetPort: 0 }

  /** A connection is about to be opened. */
  announce(slot: number, flow: CopiedFlow): void {
    this.#add(flow, slot * 2)
  }

  /** No more answers are expected. */
  withdraw(slot: number, flow: CopiedFlow): void {
    this.#add(flow, slot * 2 + 1)
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Passes all events to `sink` and removes them. Each route is valid only during its call. */
  drain(sink: RouteSink): void {
    const route = this.#route
    for (let at = 0; at < this.#count * WORDS; at += WORDS) {
      const ports = int32At(this.#words, at + 2)
      const what = int32At(this.#words, at + 3)
      route.clientAddress = int32At(this.#words, at)
      route.targetAddress = int32At(this.#words, at + 1)
      route.clientPort = ports >>> 16
      route.targetPort = ports & 0xffff
      route.id = what >>> 1
      if (what & 1) sink.withdraw(route)
      else sink.announce(route)
    }
    this.#count = 0
  }

  #add({ clientAddress, clientPort, targetAddress, targetPort }: CopiedFlow, what: number): void {
    const at = this.#count * WORDS
    if (at === this.#words.length) {
      const before = this.#words
      this.#words = new Int32Array(before.length * 2)
      this.#words.set(before)
    }
    this.#words[at] = clientAddress
    this.#words[at + 1] = targetAddress
    this.#words[at + 2] = (clientPort << 16) | targetPort
    this.#words[at + 3] = what
    this.#count += 1
  }
}
