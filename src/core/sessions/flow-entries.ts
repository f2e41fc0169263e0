/**
 * Encodes entries of the table of captured flows: the slot of the flow's first session, or the number of a closed or
 * ignored flow. An entry is an int32 that is not negative: 2n for a session, 4n + 1 for a closed flow, 4n + 3 for an
 * ignored one.
 */

const CLOSED = 1
const IGNORED = 3

/** @param slot from 0 to 2^30 − 1 */
export function entryOfSession(slot: number): number {
  return slot * 2
}

/** @param serial from 0 to 2^29 − 1 */
export function entryOfClosed(serial: number): number {
  return serial * 4 + CLOSED
}

/** @param id from 0 to 2^29 − 1 */
export function entryOfIgnored(id: number): number {
  return id * 4 + IGNORED
}

/** @returns the slot of the session, or −1 if the entry is not a session */
export function slotOf(entry: number): number {
  return entry >= 0 && entry % 2 === 0 ? entry / 2 : -1
}

/** @returns the number of the ignored flow, or −1 if the entry is not an ignored flow */
export function ignoredIdOf(entry: number): number {
  return entry >= 0 && (entry & 3) === IGNORED ? entry >>> 2 : -1
}
