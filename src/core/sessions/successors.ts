/** Sessions that wait for each other, because they have the same address and port at the target: a chain of successors. */
import type { Session } from '../session/session.ts'

/**
 * One that waits ends: who waits for it waits for `by`, or for the one before it.
 * @param holder the one that all others wait for
 */
export function replaceInQueue(session: Session, by: Session | undefined, holder: Session | undefined): void {
  let before = holder
  while (before !== undefined && before.successor !== session) before = before.successor
  if (before !== undefined) before.successor = by
}
