/** What all connections of a worker to its targets share. */
import type { Seq } from '../../wire/seq.ts'
import type { Drop } from '../books/drop.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { CopiedIdentity } from './copied-identity.ts'
import type { TargetSide } from './target-side.ts'

/** What a target side that imitates the client needs of its connection to the source. Others ignore it. */
export interface ConnectionStart {
  /** Sequence number of the byte at offset 0 of the client's stream. */
  readonly base: Seq
  /** The client's latest timestamp value. */
  readonly tsVal: Seq
  /** The client's largest window so far, in bytes. */
  readonly windowBytes: number
  /** Round trip of the client to the source, as far as it is known; 0: it is not. */
  readonly clientRttMs: number
}

/** @typeParam Answer what comes from targets: a segment, say, or a note that a connection has something to read */
export interface TargetHub<Answer> {
  /** A connection for the session of a slot, which is not opened yet. */
  create(slot: number, identity: CopiedIdentity, start: ConnectionStart, now: number): TargetSide
  /** One more for the same session, in place of one that has ended before its client. @param clientRttMs as in `start` */
  reconnect(slot: number, identity: CopiedIdentity, clientRttMs: number, now: number): TargetSide
  /** The slot of the session that an answer is for; −1: none. */
  slotOf(answer: Answer): number
  /** Gives an answer to the connection of a slot. @returns why it counts for nothing, or None */
  take(slot: number, answer: Answer, queue: SendQueue, now: number): Drop
  /** Takes an answer for which there is no session. @returns false if it calls for nothing, or is for none that is known */
  takeLate(answer: Answer): boolean
  /**
   * The connection of a slot has ended, or has moved, and no other follows with its address and port.
   * @param isForgotten what still comes for it is not ours to answer
   */
  release(slot: number, identity: CopiedIdentity, isForgotten: boolean): void
  /** The session of a slot hibernates, or is gone. */
  leave(slot: number): void
  /** Every address that is remembered beside those of sessions; 0 where there is none. */
  eachAddress(take: (address: number) => void): void
}
