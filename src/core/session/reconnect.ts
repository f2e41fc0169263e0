/** What is left where a connection ended before its client: another session goes on with it. */
import { add, later, type Seq } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import { NONE } from '../memory/send-pool.ts'
import type { ClientEnd } from './client-end.ts'
import type { ClientStream } from './client-stream.ts'
import type { Session } from './session.ts'
import type { SessionStart } from './session-context.ts'

/** What a session takes over whose connection ended before its client. */
export interface Heritage {
  readonly stream: ClientStream
  readonly clientEnd: ClientEnd
  readonly clientRttMs: number
  /** Connections in a row that ended before the target had taken anything. */
  readonly failures: number
  /** One beyond the last octet that was sent on any connection before. */
  readonly sentEnd: Seq
}

/** Between connections to a target that takes nothing; doubled each time. */
const RESTART_FIRST_MS = 1000
const RESTART_MAX_MS = 60_000
/** After so many a request is given up although the target never read any of it: it may never let it be. */
const FAILURES_MAX = 10

/** Whether the request at which a connection ended is not sent once more. @param isUnread the target cannot have read it */
function isGivenUp(heritage: Heritage | undefined, isUnread: boolean): boolean {
  return heritage !== undefined && (!isUnread || heritage.failures >= FAILURES_MAX)
}

/** How long a session waits before it goes on, so that a target which ends every connection is not flooded. */
export function restartDelay({ heritage }: SessionStart): number {
  if (heritage === undefined || heritage.failures === 0) return 0
  return Math.min(RESTART_FIRST_MS * 2 ** (heritage.failures - 1), RESTART_MAX_MS)
}

/**
 * With what another session goes on for the client of one that ends: what the client has said and will say.
 * @param una the first octet that the target has not acknowledged
 * @returns undefined if there is nothing, and never will be
 */
export function continuationOf(
  session: Session,
  clientEnd: ClientEnd,
  una: Seq,
  reason: Drop
): SessionStart | undefined {
  const { stream, sender, heritage, clientRttMs } = session
  const isEvicted = reason === Drop.Evicted
  const isFruitless = una === add(session.iss, 1)
  // An epoch is sent again once: if it ended this connection too, it is given up.
  const isSkipping = isFruitless && isGivenUp(heritage, sender.isFresh || session.isDisowned)
  stream.resume(una, isSkipping, isEvicted, reason)
  if (stream.head === NONE && session.isClientDone) return undefined
  const failures = isFruitless ? (heritage?.failures ?? 0) + (isEvicted ? 0 : 1) : 0
  const { sndMax } = sender
  const sentEnd = later(heritage?.sentEnd ?? sndMax, sndMax)
  return {
    iss: session.clientIss,
    tsVal: session.tsVal,
    windowBytes: session.response.largestWindow,
    heritage: { stream, clientEnd, clientRttMs, failures, sentEnd }
  }
}
