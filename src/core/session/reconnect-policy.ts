/** How a session goes on where its connection to the target ended before its client: what goes again, and when. */

/** Between connections to a target that takes nothing; doubled each time. */
const DELAY_FIRST_MS = 1000
const DELAY_MAX_MS = 60_000
/** After so many a request is given up although the target never read any of it: it may never let it be. */
const FAILURES_MAX = 10

/** @param failures connections in a row that ended before the target had taken anything */
export function reconnectDelay(failures: number): number {
  return failures === 0 ? 0 : Math.min(DELAY_FIRST_MS * 2 ** (failures - 1), DELAY_MAX_MS)
}

/**
 * Whether the request at which a connection ended before it had taken anything is not sent once more.
 * @param isReconnect it had been sent on another connection before; @param isUnread the target cannot have read it
 */
export function isGivenUp(isReconnect: boolean, isUnread: boolean, failures: number): boolean {
  return isReconnect && (!isUnread || failures >= FAILURES_MAX)
}
