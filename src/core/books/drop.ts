/** Why a captured packet, or bytes that were captured, went no further. 0 is none. docs/drops.md explains each. */
import { Flaw } from '../../wire/flaw.ts'

export const Drop = {
  ...Flaw,
  /** Not towards an address and port that `-x` names. */
  NotMapped: 16,
  /** No session, and nothing to begin one with: neither SYN nor payload. */
  NoSession: 17,
  /** The copy of this connection has ended already. */
  AfterEnd: 18,
  /** An acknowledgment without payload: sessions make their own. */
  PureAck: 19,
  /** The client sent these bytes before. */
  Duplicate: 20,
  /** The send buffers of `-m` are full. */
  PoolFull: 21,
  /** Too far beyond what is known of the stream to be held. */
  TooFarAhead: 22,
  /** Bytes before these were missed for good. */
  Hole: 23,
  /** No SYN-ACK within the time limit. */
  Unanswered: 24,
  /** The target refused the connection. */
  TargetRefused: 25,
  /** The target reset the connection. */
  TargetReset: 26,
  /** No progress within `-t`. */
  TimedOut: 27,
  /** tcpcopy ended. */
  Shutdown: 28,
  /** The client sent FIN or RST, and then payload beyond it. */
  BeyondEnd: 29,
  /** More sessions than the table holds. */
  TableFull: 30,
  /** A copied client address has no free port left at this target. */
  NoFreePort: 31,
  /** From the target: no session has this client's address and port. */
  AnswerNoSession: 32,
  /** From the target: acknowledges what was never sent, or is outside the window. */
  AnswerUnacceptable: 33,
  /** The target closed the connection while the client had more to send. */
  TargetClosed: 34,
  /** `-r` or `-g` leaves this flow out. */
  SampledOut: 35,
  /** `-O` leaves this flow out: its SYN was not captured. */
  NotFromSyn: 36,
  /** A copy gave its port to the client that owns it. */
  Displaced: 37,
  /** The pool ran short, and what its session held had waited longest. */
  Evicted: 38,
  /** Another tcpcopy has the copy's address and port at the target. */
  PortTaken: 39,
  /** SYN together with FIN or RST, which no host sends and none answers. */
  BadFlags: 40,
  /** The kernel did not take a datagram, or a fragment of one. */
  SendRefused: 41,
  /** A SYN for a connection that goes on: another begins once the client's next packet shows that the source took it. */
  SynHeld: 42
} as const
export type Drop = (typeof Drop)[keyof typeof Drop]

/** One more than the greatest drop reason. */
export const DROPS_END = Math.max(...Object.values(Drop)) + 1

/** Names of the reasons in the order of their numbers, for statistics: `badChecksum`; undefined where none is. */
export const dropNames: readonly (string | undefined)[] = (() => {
  const names: (string | undefined)[] = new Array(DROPS_END).fill(undefined)
  for (const [name, reason] of Object.entries(Drop)) names[reason] = name.charAt(0).toLowerCase() + name.slice(1)
  return names
})()

/** Whether what the client has said, and will say, goes on with another connection after an end for this reason. */
export function goesOn(reason: Drop): boolean {
  const { Hole, TargetReset, TargetClosed, PortTaken, Evicted } = Drop
  const isOfTarget = reason === TargetReset || reason === TargetClosed || reason === PortTaken
  return isOfTarget || reason === Hole || reason === Evicted
}
