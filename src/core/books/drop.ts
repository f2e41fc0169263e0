/** Reasons why a captured packet or captured bytes were dropped. 0 is none. docs/drops.md explains each reason. */
import { Flaw } from '../../wire/flaw.ts'

export const Drop = {
  ...Flaw,
  /** For an address and port that `-x` does not name. */
  NotMapped: 16,
  /** There is no session, and a packet with neither SYN nor payload starts none. */
  NoSession: 17,
  /** The copy of this connection has already ended. */
  AfterEnd: 18,
  /** An acknowledgment without payload. Sessions send their own. */
  PureAck: 19,
  /** The client sent these bytes before. */
  Duplicate: 20,
  /** The send pool of `-m` is full. */
  PoolFull: 21,
  /** Too far beyond the known part of the stream. */
  TooFarAhead: 22,
  /** Earlier bytes were never captured. */
  Hole: 23,
  /** No SYN-ACK within `-t`. */
  Unanswered: 24,
  /** The target refused the connection. */
  TargetRefused: 25,
  /** The target reset the connection. */
  TargetReset: 26,
  /** No progress within `-t`, or nothing to do within `-k`. */
  TimedOut: 27,
  /** tcpcopy was stopped. */
  Shutdown: 28,
  /** Payload beyond the client's own FIN or RST, or unacknowledged at the normal end of the session. */
  BeyondEnd: 29,
  /** More sessions than the table holds. */
  TableFull: 30,
  /** The client address has no free port left at this target. */
  NoFreePort: 31,
  /** From the target: no session has this client address and port. */
  AnswerNoSession: 32,
  /** From the target: it acknowledges what was never sent, is outside the window, or is unacceptable otherwise. */
  AnswerUnacceptable: 33,
  /** The target closed the connection while the client had more to send. */
  TargetClosed: 34,
  /** `-r` or `-g` leaves this flow out. */
  SampledOut: 35,
  /** `-O` leaves this flow out because its SYN was not captured. */
  NotFromSyn: 36,
  /** A copy gave up its port to a client that uses it. */
  Displaced: 37,
  /** The pool ran short, and the session's bytes had waited longest. */
  Evicted: 38,
  /** Another tcpcopy has the copy's client address and port at the target. */
  PortTaken: 39,
  /** SYN together with FIN or RST, which no host sends and every host ignores. */
  BadFlags: 40,
  /** The kernel refused to send a datagram or a fragment of one. */
  SendRefused: 41,
  /** A SYN that waits. The client's next packet starts its connection if it shows that the source accepted the SYN. */
  SynHeld: 42,
  /** The client never acknowledged the source's SYN-ACK, so the copied connection was not opened either. */
  NotConnected: 43,
  /** Of a connection whose SYN was not captured, before a request that is certainly whole. */
  NotJoined: 44,
  /** Numbers that the source would not accept. It waits for a second packet that agrees, or a reset for silence. */
  Implausible: 45,
  /** Captured while the session paused because its connections to the target were of no use. */
  ReconnectPaused: 46,
  /** The connection uses TLS, and a copy of it cannot work. */
  Tls: 47,
  /** For an address that is not this host's, which forwards or discards the packet. */
  Forwarded: 48,
  /** The client has the address of a target. */
  FromTarget: 49,
  /** The target passes its copies on, and they came back as requests of this client. */
  Loop: 50
} as const
export type Drop = (typeof Drop)[keyof typeof Drop]

/** One more than the largest drop reason. */
export const DROPS_END = Math.max(...Object.values(Drop)) + 1

/** Names of the reasons by number, for statistics: `badChecksum`. Unused numbers are undefined. */
export const dropNames: readonly (string | undefined)[] = (() => {
  const names: (string | undefined)[] = new Array(DROPS_END).fill(undefined)
  for (const [name, reason] of Object.entries(Drop)) names[reason] = name.charAt(0).toLowerCase() + name.slice(1)
  return names
})()

/** Reasons that are choices: what is dropped for them is left out, not lost. */
export const LEFT_OUT: readonly Drop[] = [
  Drop.SampledOut,
  Drop.NotFromSyn,
  Drop.NotJoined,
  Drop.Tls,
  Drop.FromTarget,
  Drop.Loop
]

const CHOICES = new Uint8Array(DROPS_END)
for (const reason of LEFT_OUT) CHOICES[reason] = 1

/** Whether what is dropped for this reason is left out by choice. */
export function isChoice(reason: Drop): boolean {
  return CHOICES[reason] === 1
}

/** What is dropped for these reasons is no loss: it is left out by choice, or was pending when tcpcopy was stopped. */
export const NO_LOSS: readonly Drop[] = [...LEFT_OUT, Drop.Shutdown]

/** Whether what is dropped for this reason is lost. */
export function isLoss(reason: Drop): boolean {
  return !isChoice(reason) && reason !== Drop.Shutdown
}

/** Whether a session reconnects after its connection ended for this reason. */
export function reconnectsAfter(reason: Drop): boolean {
  const { Hole, TargetReset, TargetClosed, PortTaken, Evicted } = Drop
  const isOfTarget = reason === TargetReset || reason === TargetClosed || reason === PortTaken
  return isOfTarget || reason === Hole || reason === Evicted
}
