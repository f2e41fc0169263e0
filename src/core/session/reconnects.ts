/**
 * Decides how a session reconnects after its connection to the target ended before its client did: what is sent again,
 * what is given up, and how long it waits.
 */
import { isAfter, isBefore, later, type Seq } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { MapCount } from '../books/map-counts.ts'
import type { ConnectionUse } from '../gate/connection-use.ts'
import { NONE } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { CopiedIdentity } from '../target/copied-identity.ts'
import { type TargetSide, TargetState } from '../target/target-side.ts'
import type { ClientSide } from './client-side.ts'
import type { ClientStream } from './client-stream.ts'
import { ReconnectPause } from './reconnect-pause.ts'
import type { SessionContext } from './session-context.ts'

/** Delay after a connection that brought no progress. It doubles each time. */
const DELAY_FIRST_MS = 1000
const DELAY_MAX_MS = 60_000
/** After this many attempts a request is given up even if the target cannot have read any of it. */
const FAILURES_MAX = 10

/** What it needs of the session's context. */
type ReconnectContext = Pick<SessionContext<never>, 'counters' | 'mapCounts' | 'firstSpeaker'>

export class Reconnects {
  /** The current connection, or the one to come, is not the session's first. */
  isReconnect = false
  /** Offset after the last byte that was sent on an earlier connection; undefined: nothing is sent again. */
  repeatedEnd: Seq | undefined
  /** Connections in a row on which the target acknowledged nothing. */
  #failures = 0
  readonly #pause = new ReconnectPause()
  readonly #context: ReconnectContext
  readonly #mapIndex: number
  readonly #sourcePort: number

  constructor(context: ReconnectContext, { mapIndex, sourcePort }: CopiedIdentity) {
    this.#context = context
    this.#mapIndex = mapIndex
    this.#sourcePort = sourcePort
  }

  /** See `Snapshot`. Only while everything that was sent is acknowledged. */
  save(snapshot: Snapshot): void {
    this.isReconnect = snapshot.flag(this.isReconnect)
    this.#failures = snapshot.short(this.#failures)
    this.repeatedEnd = undefined
    this.#pause.save(snapshot)
  }

  /** What the gate reports about the current connection. */
  get use(): ConnectionUse {
    return this.#pause.use
  }

  /** How long to wait before the next connection, so that a target that ends every connection is not flooded. */
  get delayMs(): number {
    return this.#failures === 0 ? 0 : Math.min(DELAY_FIRST_MS * 2 ** (this.#failures - 1), DELAY_MAX_MS)
  }

  /**
   * To be called when a session has something to send on a new connection.
   * @returns until when it pauses instead; what was captured is dropped then. `now`: it connects
   */
  pauseUntil(client: ClientSide, queue: SendQueue, now: number): number {
    const { counters, mapCounts } = this.#context
    if (queue.head !== NONE) this.use.complete(queue.pool.ack(queue.head))
    if (!this.#pause.begins(now)) {
      this.#pause.opened(now)
      return now
    }
    client.stream.pause(this.#pause.until)
    counters.add(Counter.reconnectPauses, 1)
    mapCounts.add(this.#mapIndex, MapCount.Pauses)
    return this.#pause.until
  }

  /** Bytes up to `sentEnd` were sent on the current connection. */
  sent(sentEnd: Seq): void {
    if (this.repeatedEnd !== undefined && !isBefore(sentEnd, this.repeatedEnd)) this.repeatedEnd = undefined
  }

  /**
   * Prepares the client's stream for another connection.
   * @param target the connection that has ended; @param una offset of the first byte that it has not acknowledged
   * @returns false if there is nothing left to deliver and the client has ended, or what is left makes no sense alone
   */
  takeUp(client: ClientSide, target: TargetSide, una: Seq, reason: Drop): boolean {
    const isEvicted = reason === Drop.Evicted
    const wasOpened = target.state !== TargetState.Waiting
    const isFruitless = !wasOpened || una === target.start
    const isUnread = !wasOpened || target.isFresh
    // A request is sent again once. If it ends the next connection too, it is given up: a target that no longer knows
    // its connection may have read the request before.
    const isGivenUp = this.isReconnect && (!isUnread || this.#failures >= FAILURES_MAX)
    client.stream.resume(una, isFruitless && isGivenUp, isEvicted, reason)
    if (client.stream.first === NONE && client.isDone) return false
    this.isReconnect = true
    if (!isUnread) this.#pause.ended(target.progressAt, reason)
    this.#failures = isFruitless ? this.#failures + (isEvicted ? 0 : 1) : 0
    const isFarther = this.repeatedEnd === undefined || isAfter(target.sentEnd, this.repeatedEnd)
    if (wasOpened && isFarther) this.repeatedEnd = target.sentEnd
    const { first, firstAt } = client.stream
    return this.mayContinueAt(first === NONE ? undefined : firstAt)
  }

  /**
   * Where the server speaks first, another connection makes sense only if it delivers everything from the beginning. Who
   * does may be learned only while the session waits for the client.
   * @param start offset of its first byte; undefined: it is not captured yet
   */
  mayContinueAt(start: Seq | undefined): boolean {
    return start === 0 || !this.#context.firstSpeaker.isServer(this.#mapIndex, this.#sourcePort)
  }
}

/** Offset of the first byte that the target has not acknowledged on a connection that has ended. */
export function unacknowledgedFrom({ firstAt }: ClientStream, target: TargetSide): Seq {
  return target.state === TargetState.Waiting ? firstAt : later(target.acknowledgedEnd, target.start)
}
