/**
 * What the table of captured flows holds: the slot of the flow's first session, or the number of a closed or ignored flow.
 * Both are packed into one int32 ≥ 0: even for a session, 4n + 1 for a closed flow, 4n + 3 for an ignored one.
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

/** @returns the session's slot, or −1 where the entry stands for none */
export function slotOf(entry: number): number {
  return entry >= 0 && entry % 2 === 0 ? entry / 2 : -1
}

/** @returns the number of the ignored flow, or −1 where the entry stands for none */
export function ignoredIdOf(entry: number): number {
  return entry >= 0 && (entry & 3) === IGNORED ? entry >>> 2 : -1
}
