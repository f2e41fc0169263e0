/**
 * The target side of a session: one connection to the target, whatever it is made of. It delivers the send queue, tells
 * how far that is acknowledged and how far the answer has come, and ends as the session asks. Others read its fields and
 * write none.
 *
 * It is driven by calls: events of the client, what comes from the target, and time. Nothing here knows of sequence
 * numbers, windows or packets.
 */
import type { Seq } from '../../wire/seq.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'

export const TargetState = {
  /** Not opened yet. */
  Waiting: 0,
  Opening: 1,
  Open: 2,
  Ended: 3
} as const
export type TargetState = (typeof TargetState)[keyof typeof TargetState]

/** Why a connection ended without the session's doing, or why it would be given up if it does not open. */
export const TargetEnd = {
  None: 0,
  /** No answer to the attempts to open it. */
  Silent: 1,
  Refused: 2,
  Reset: 3,
  /** The target does not know a connection that it has just accepted: it read nothing of what was sent on it. */
  UnknownThere: 4
} as const
export type TargetEnd = (typeof TargetEnd)[keyof typeof TargetEnd]

/** How the target's answer comes: what the gate goes by. */
export interface AnswerRhythm {
  /** Bytes received in order since the connection was opened; the target's close counts as one. */
  readonly receivedBytes: number
  /** The answer so far ended where the target said that it is to be read (PSH). */
  readonly isPushed: boolean
  /** The target has closed its half, and all in front of that has come. */
  readonly isClosed: boolean
  /** When the last part of the answer came to where it was captured; NaN: not known. */
  readonly arrivedAt: number
  /** Since when the target says nothing although it could; Infinity: it could not. */
  readonly quietSince: number
  /** From the last bytes of the request to the first of the answer at hand, in ms. */
  readonly waitMs: number
  /** The longest time between two parts of the answer at hand, in ms. */
  readonly pauseMs: number
}

export interface TargetSide {
  readonly state: TargetState
  readonly end: TargetEnd
  /** Offset of the first byte that this connection delivers. */
  readonly start: Seq
  /** One beyond the last byte that was sent, as an offset in the send queue; a half-close counts as one byte. */
  readonly sentEnd: Seq
  /** One beyond the last byte that the target has acknowledged, counted like `sentEnd`. */
  readonly acknowledgedEnd: Seq
  /** Nothing was sent yet. */
  readonly isFresh: boolean
  /** Counts an answer only once `acknowledgedEnd` has passed the request: else one could be sent three times. */
  readonly rhythm: AnswerRhythm
  /** Smoothed round trip to the target, in ms. */
  readonly roundTripMs: number
  /** Bytes to a segment: pieces of the client's stream are best cut at multiples of it. */
  readonly segmentMax: number
  /** When it last got on: it was opened, delivered something, or received something. */
  readonly progressAt: number
  /** When `onTimer` wants to be called, as `plan` found; Infinity: never. */
  readonly deadline: number
  /** Nothing is under way in either direction: `save` holds all that it has to know. */
  readonly isQuiescent: boolean
  /** It is half-closed and all is acknowledged, and the target has closed as well. */
  readonly isClosed: boolean
  /** Why bytes that were admitted are not sent, for a trace; empty if nothing holds them up. */
  readonly waitsFor: string

  /** Opens the connection. What it sends begins at offset `start`. */
  open(start: Seq, now: number): void
  /** The client's own connection is complete. @param rttMs its round trip to the source */
  clientConnected(rttMs: number, now: number): void
  /** The largest window that the client has advertised so far, or any other, in bytes. */
  clientWindow(bytes: number): void
  /** Bytes that the client sent before it can have heard of any: so much may go at once. */
  clientFlight(bytes: number): void
  /** To be called before anything is sent in a turn. @returns whether bytes may go */
  prepare(now: number): boolean
  /** Sends again what was lost, as far as it can. @returns false if something of it has to wait */
  resend(queue: SendQueue, now: number): boolean
  /**
   * Sends bytes from `sentEnd` on, in one step.
   * @param upTo offset of the first byte that may not go; @param most bytes, about
   * @returns false if nothing can be sent now
   */
  send(queue: SendQueue, upTo: Seq, most: number, now: number): boolean
  /** Closes our half behind the last byte. @param ipId of the client's own packet; 0: none */
  halfClose(ipId: number, now: number): void
  /** Another connection waits for the end of this one: a target that has forgotten it is made to say so. */
  hasten(now: number): void
  /** Acknowledges what is due; at the end of a turn. */
  acknowledge(now: number): void
  /** The session ends with both sides closed: tells the target what it has not been told. */
  finish(): void
  /** The client has reset its connection: so is this one. */
  reset(now: number): void
  /** Gives the connection up, with a reset where the target may have it. */
  abandon(now: number): void
  /** Works out `deadline`. To be called after anything else was. */
  plan(): void
  onTimer(queue: SendQueue, now: number): void
  /** See `Snapshot`. Only where `isQuiescent`. */
  save(snapshot: Snapshot): void
}
