/**
 * Decides how a session reconnects after its connection to the target ended before its client did: what is sent again,
 * what is given up, and how long it waits.
 */
import { isAfter, isBefore, later, type Seq } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import { NONE } from '../memory/send-pool.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { TargetEnd, type TargetSide, TargetState } from '../target/target-side.ts'
import type { ClientSide } from './client-side.ts'
import type { ClientStream } from './client-stream.ts'

/** Delay after a connection that brought no progress. It doubles each time. */
const DELAY_FIRST_MS = 1000
const DELAY_MAX_MS = 60_000
/** After this many attempts a request is given up even if the target cannot have read any of it. */
const FAILURES_MAX = 10

export class Reconnects {
  /** The current connection, or the one to come, is not the session's first. */
  isReconnect = false
  /** Offset after the last byte that was sent on an earlier connection; undefined: nothing is sent again. */
  repeatedEnd: Seq | undefined
  /** Connections in a row on which the target acknowledged nothing. */
  #failures = 0

  /** See `Snapshot`. Only while everything that was sent is acknowledged. */
  save(snapshot: Snapshot): void {
    this.isReconnect = snapshot.flag(this.isReconnect)
    this.#failures = snapshot.short(this.#failures)
    this.repeatedEnd = undefined
  }

  /** How long to wait before the next connection, so that a target that ends every connection is not flooded. */
  get delayMs(): number {
    return this.#failures === 0 ? 0 : Math.min(DELAY_FIRST_MS * 2 ** (this.#failures - 1), DELAY_MAX_MS)
  }

  /** Bytes up to `sentEnd` were sent on the current connection. */
  sent(sentEnd: Seq): void {
    if (this.repeatedEnd !== undefined && !isBefore(sentEnd, this.repeatedEnd)) this.repeatedEnd = undefined
  }

  /**
   * Prepares the client's stream for another connection.
   * @param target the connection that has ended; @param una offset of the first byte that it has not acknowledged
   * @returns false if there is nothing left to deliver and the client has ended
   */
  takeUp(client: ClientSide, target: TargetSide, una: Seq, reason: Drop): boolean {
    const isEvicted = reason === Drop.Evicted
    const wasOpened = target.state !== TargetState.Waiting
    const isFruitless = !wasOpened || una === target.start
    const isUnread = !wasOpened || target.isFresh || target.end === TargetEnd.UnknownThere
    // A request is sent again once. If it ends the next connection too, it is given up.
    const isGivenUp = this.isReconnect && (!isUnread || this.#failures >= FAILURES_MAX)
    client.stream.resume(una, isFruitless && isGivenUp, isEvicted, reason)
    if (client.stream.first === NONE && client.isDone) return false
    this.isReconnect = true
    this.#failures = isFruitless ? this.#failures + (isEvicted ? 0 : 1) : 0
    const isFarther = this.repeatedEnd === undefined || isAfter(target.sentEnd, this.repeatedEnd)
    if (wasOpened && isFarther) this.repeatedEnd = target.sentEnd
    return true
  }
}

/** Offset of the first byte that the target has not acknowledged on a connection that has ended. */
export function unacknowledgedFrom({ firstAt }: ClientStream, target: TargetSide): Seq {
  return target.state === TargetState.Waiting ? firstAt : later(target.acknowledgedEnd, target.start)
}
