/** Changes the chain of successors: sessions with the same address and port at the target that wait for each other. */
import type { Session } from '../session/session.ts'

/**
 * Replaces a waiting session that has ended in its chain.
 * @param by its successor, if it has one; @param holder the session at the head of the chain
 */
export function replaceInQueue(session: Session, by: Session | undefined, holder: Session | undefined): void {
  let before = holder
  while (before !== undefined && before.successor !== session) before = before.successor
  if (before !== undefined) before.successor = by
}
