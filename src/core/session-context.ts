/** What sessions share, and where one begins. */
import type { Counters } from './counters.ts'
import type { Drop } from './drop.ts'
import type { EpochOptions } from './epochs.ts'
import type { Frames, PacketStyle } from './frames.ts'
import type { SendPool } from './send-pool.ts'
import type { Session } from './session.ts'

export const State = {
  /** The previous copy with this client's address and port has not ended yet. */
  Waiting: 0,
  SynSent: 1,
  Established: 2,
  Closed: 3
} as const
export type State = (typeof State)[keyof typeof State]
export const stateNames = ['WAITING', 'SYN-SENT', 'ESTABLISHED', 'CLOSED'] as const

/** What all sessions share. */
export interface SessionContext {
  readonly pool: SendPool
  readonly frames: Frames
  readonly counters: Counters
  readonly epochs: EpochOptions
  /** `-t`: a session that makes no progress for so long ends. */
  readonly timeoutMs: number
  /** `-k`: a session that has nothing to do for so long ends. */
  readonly keepAliveMs: number
  /** `-M`: most octets of an IP packet. */
  readonly mtuBytes: number
  /** Tells intercept whose answers are ours; before the first SYN. */
  announce(session: Session): void
  /** The session has ended and holds nothing any more. */
  onEnd(session: Session, now: number): void
  /** With `--trace` only. */
  readonly trace?: SessionTrace | undefined
}

/** Sees what sessions send, for `--trace`. */
export interface SessionTrace {
  /** @param headerAt where the packet's headers lie in the outbox's memory */
  sent(session: Session, headerAt: number, payloadLength: number, why: string): void
  /** Nothing more can be sent now, although octets are there. */
  waits(session: Session, why: string): void
  ended(session: Session, reason: Drop): void
}

/** Where a session begins: at a captured SYN, or at a payload in mid-stream (then `syn` is false). */
export interface Origin extends PacketStyle {
  readonly sourceAddress: number
  readonly sourcePort: number
  /** The client as captured; `clientAddress` and `clientPort` are what the target sees. */
  readonly capturedAddress: number
  readonly capturedPort: number
  /** 0: the first copy of its connection, or the only one; of further ones (`-n`) the number. */
  readonly copy: number
  /** Index of the `-x` mapping. */
  readonly mapIndex: number
  readonly isJoined: boolean
  /** IP id of the captured SYN; 0 if there was none. */
  readonly ipId: number
}
