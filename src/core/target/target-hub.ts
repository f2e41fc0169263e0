/** The interface of a hub, which creates the target sides of a worker and passes answers to them. */
import type { Seq } from '../../wire/seq.ts'
import type { Drop } from '../books/drop.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { CopiedIdentity } from './copied-identity.ts'
import type { TargetSide } from './target-side.ts'

/** What a target side that imitates the client must know about the client's connection. Other kinds ignore it. */
export interface ConnectionStart {
  /** Sequence number of the byte at offset 0 of the client's stream. */
  readonly base: Seq
  /** The client's latest timestamp value. */
  readonly tsVal: Seq
  /** The largest window that the client has advertised so far, in bytes. */
  readonly windowBytes: number
  /** The client's round trip to the source; 0: unknown so far. */
  readonly clientRttMs: number
}

/** @typeParam Answer what arrives from targets: for example a segment, or an event that a connection is readable */
export interface TargetHub<Answer> {
  /** Creates the connection of a slot's session without opening it. */
  create(slot: number, identity: CopiedIdentity, start: ConnectionStart, now: number): TargetSide
  /** Creates a connection in place of one that ended before its client. @param clientRttMs as in `ConnectionStart` */
  reconnect(slot: number, identity: CopiedIdentity, clientRttMs: number, now: number): TargetSide
  /** The slot of the session that an answer is for; −1: there is none. */
  slotOf(answer: Answer): number
  /** Passes an answer to the connection of a slot. @returns why it was dropped, or None */
  take(slot: number, answer: Answer, queue: SendQueue, now: number): Drop
  /** Takes an answer without a session. @returns false if its connection is unknown or nothing has to be done */
  takeLate(answer: Answer): boolean
  /**
   * The connection of a slot has ended or moved, and no other one follows with its address and port.
   * @param isForgotten late answers must be left unanswered, because the port belongs to another tcpcopy
   */
  release(slot: number, identity: CopiedIdentity, isForgotten: boolean): void
  /** The session of a slot hibernates or has ended. */
  leave(slot: number): void
  /** Passes every address that the hub remembers, apart from those of sessions, to `take`; also 0 for none. */
  eachAddress(take: (address: number) => void): void
}
