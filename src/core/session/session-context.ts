/** What sessions share, and where one begins. */
import type { Segment } from '../../wire/segment.ts'
import type { Seq } from '../../wire/seq.ts'
import type { Counters } from '../books/counters.ts'
import type { Drop } from '../books/drop.ts'
import type { Latency } from '../books/latency.ts'
import type { SendPool } from '../memory/send-pool.ts'
import type { Frames, PacketStyle } from '../packets/frames.ts'
import type { EpochOptions } from './epochs.ts'
import type { HolePatience } from './hole-watch.ts'
import type { IdlePolicy } from './idle-policy.ts'
import type { LeastRoundTrips } from './least-round-trips.ts'
import type { Heritage } from './reconnect.ts'
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
  readonly holes: HolePatience
  readonly latency: Latency
  /** `-t`: a session that makes no progress for so long ends. */
  readonly timeoutMs: number
  /** `-k`: a session that has nothing to do for so long ends. */
  readonly keepAliveMs: number
  /** When a session that has nothing to do lies down. */
  readonly idlePolicy: IdlePolicy
  /** `-R`: the client's round trip, instead of the one that its handshake shows; 0: acknowledge at once. */
  readonly clientRttMs: number | undefined
  /** `--acks drop`: clients' acknowledgments without payload are not captured, and this tells their round trips. */
  readonly roundTrips: LeastRoundTrips | undefined
  /** Most octets of an IP packet to this target (`-M`, or what the way there takes). */
  mtu(targetAddress: number): number
  /** A SYN is about to go out for the first time: intercept has to know whose answers are ours. */
  announce(session: Session): void
  /** Nobody has this session's address and port any more: its answers are not needed. */
  withdraw(session: Session): void
  /** The target has answered the SYN. */
  onOpen(session: Session): void
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

/** Sees what is captured and answered, for `--trace`. */
export interface PacketTrace {
  captured(segment: Segment, session: Session | undefined): void
  answered(segment: Segment, session: Session | undefined): void
  /** What came last of this client, or for it, goes no further. Both as captured. */
  refused(address: number, port: number, drop: Drop): void
}

/** Whose copy a session is, and how its SYN looks. */
export interface CopiedIdentity extends PacketStyle {
  readonly sourceAddress: number
  readonly sourcePort: number
  /** The client as captured; `clientAddress` and `clientPort` are what the target sees. */
  readonly capturedAddress: number
  readonly capturedPort: number
  /** 0: the first copy of its connection to this target, or the only one; of further ones (`-n`) the number. */
  readonly copy: number
  /** Index of the `-x` mapping. */
  readonly mapIndex: number
  readonly isJoined: boolean
  /** IP id of the captured SYN; 0 if there was none. */
  readonly ipId: number
}

/** With what a session begins. */
export interface SessionStart {
  /** The client's initial sequence number; where no SYN was captured, the number before the first octet. */
  readonly iss: Seq
  readonly tsVal: Seq
  /** The client's window, in octets. */
  readonly windowBytes: number
  /** Set if the session goes on where another connection ended. */
  readonly heritage?: Heritage | undefined
}
