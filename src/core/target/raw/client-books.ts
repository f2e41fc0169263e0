/** Counts connections by client address, so that clients whose answers never come are told from the others. */
import { isIpv6 } from '../../../wire/address-book.ts'

/** Addresses that are remembered at once. Further ones are not counted. */
const CLIENTS_MAX = 2048
/**
 * What is known of a client is one number, which needs no memory of its own unless many of its connections are overdue:
 * opened connections, two bits, and from 2^24 on overdue connections.
 */
const OPENED_MAX = (1 << 22) - 1
const ANSWERED = 1 << 22
/** It was undecided when the books were last drained. */
const OLD = 1 << 23
const OVERDUE = 2 ** 24

/** Takes a client of which it is known whether it gets answers, and how many connections it has opened. */
type TakeClient = (address: number, opened: number, isAnswered: boolean) => void

export class ClientBooks {
  readonly #counts = new Map<number, number>()

  /** @param address as the target sees it */
  opened(address: number): void {
    const counts = this.#counts.get(address)
    if (counts === undefined) {
      if (this.#counts.size < CLIENTS_MAX) this.#counts.set(address, 1)
    } else if ((counts & OPENED_MAX) < OPENED_MAX) this.#counts.set(address, counts + 1)
  }

  /** A connection has no answer after a second. */
  overdue(address: number): void {
    const counts = this.#counts.get(address)
    if (counts !== undefined) this.#counts.set(address, counts + OVERDUE)
  }

  answered(address: number): void {
    const counts = this.#counts.get(address)
    if (counts !== undefined && (counts & ANSWERED) === 0) this.#counts.set(address, counts + ANSWERED)
  }

  /**
   * Gives and forgets each client of which it is known whether it gets answers. One whose connections were too short to
   * tell is forgotten the next time.
   */
  drain(take: TakeClient): void {
    for (const [address, counts] of this.#counts) {
      const isAnswered = (counts & ANSWERED) !== 0
      const isDecided = isAnswered || counts >= OVERDUE
      if (isDecided) take(address, counts & OPENED_MAX, isAnswered)
      if (isDecided || (counts & OLD) !== 0) this.#counts.delete(address)
      else this.#counts.set(address, counts + OLD)
    }
  }

  /** Gives the IPv6 addresses. */
  eachAddress(take: (address: number) => void): void {
    for (const address of this.#counts.keys()) if (isIpv6(address)) take(address)
  }
}
