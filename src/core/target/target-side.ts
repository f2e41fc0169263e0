/**
 * The interface of a session's target side, one connection to the target of whatever kind. It delivers the send queue,
 * reports how much is acknowledged and how much of the answer has arrived, and ends when the session asks. Others read
 * its fields but never write them.
 *
 * Events of the client, answers of the target and time reach it as calls. The interface does not mention sequence
 * numbers or packets.
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

/** Why a connection ended other than by the session; before it is open, the reason if it is given up now. */
export const TargetEnd = {
  None: 0,
  /** The target did not answer the attempts to open it. */
  Silent: 1,
  Refused: 2,
  Reset: 3
} as const
export type TargetEnd = (typeof TargetEnd)[keyof typeof TargetEnd]

/** What the gate needs to know about the target's answer. */
export interface AnswerRhythm {
  /** Bytes received in order since the connection was opened; the target's close counts as one. */
  readonly receivedBytes: number
  /** The last received segment with payload had PSH. */
  readonly isPushed: boolean
  /** The target has closed its half, and everything before that was received. */
  readonly isClosed: boolean
  /** When the last part of the answer arrived at the assistant; NaN: unknown. */
  readonly arrivedAt: number
  /** Since when the target is silent although it could send; Infinity: it could not, or a part is missing. */
  readonly quietSince: number
  /** Time from the last bytes of the request to the first of the current answer, in ms. */
  readonly waitMs: number
  /** Longest pause between two parts of the current answer, in ms. */
  readonly pauseMs: number
}

export interface TargetSide {
  readonly state: TargetState
  readonly end: TargetEnd
  /** Offset of the first byte that this connection delivers. */
  readonly start: Seq
  /** Offset in the send queue after the last byte sent; a half-close counts as one byte. */
  readonly sentEnd: Seq
  /** Offset in the send queue after the last byte that the target has acknowledged, counted like `sentEnd`. */
  readonly acknowledgedEnd: Seq
  /** Neither payload nor a half-close was sent yet. */
  readonly isFresh: boolean
  /** Counts an answer only once `acknowledgedEnd` has passed the request: else one could be sent three times. */
  readonly rhythm: AnswerRhythm
  /** Smoothed round trip to the target, in ms. */
  readonly roundTripMs: number
  /** Largest payload of a segment, in bytes. Pieces should be a multiple of it. */
  readonly segmentMax: number
  /** When the connection last made progress: it was opened, or bytes were acknowledged or received. */
  readonly progressAt: number
  /** When to call `onTimer`, computed by `plan`; Infinity: never. */
  readonly deadline: number
  /** Nothing is in flight in either direction, so `save` covers the whole state. */
  readonly isQuiescent: boolean
  /** Both halves are closed, and everything is acknowledged. */
  readonly isClosed: boolean
  /** Why bytes that may go are not sent, as text for a trace. */
  readonly waitsFor: string

  /** Opens the connection. The first byte that it sends is at offset `start`. */
  open(start: Seq, now: number): void
  /** The client's handshake with the source is complete. @param rttMs its round trip to the source */
  clientConnected(rttMs: number, now: number): void
  /** Takes a window that the client has advertised, in bytes. */
  clientWindow(bytes: number): void
  /** Takes the bytes that the client sent before it received an acknowledgment; as many may be sent at once. */
  clientFlight(bytes: number): void
  /** To be called before anything is sent in a turn. @returns whether bytes may be sent */
  prepare(now: number): boolean
  /** Retransmits lost bytes as far as possible. @returns false if some of them have to wait */
  resend(queue: SendQueue, now: number): boolean
  /**
   * Sends bytes from `sentEnd` on, in one step.
   * @param upTo offset of the first byte that may not be sent; @param most approximate limit of bytes
   * @returns false if nothing can be sent now
   */
  send(queue: SendQueue, upTo: Seq, most: number, now: number): boolean
  /** Closes our half after the last byte. @param ipId IP id of the client's own packet; 0: none */
  halfClose(ipId: number, now: number): void
  /**
   * Another connection waits for the end of this one: probes the target, which resets a connection that it has
   * forgotten.
   */
  hasten(now: number): void
  /** Sends an acknowledgment if one is due. To be called at the end of a turn. */
  acknowledge(now: number): void
  /** Ends a connection that both sides have closed, with a last acknowledgment if one is missing. */
  finish(): void
  /** Resets the connection, as the client has reset its own. */
  reset(now: number): void
  /** Ends the connection early, with a reset if the target may know it. */
  abandon(now: number): void
  /** Computes `deadline`. To be called last in a turn. */
  plan(): void
  onTimer(queue: SendQueue, now: number): void
  /** See `Snapshot`. Only while `isQuiescent`. */
  save(snapshot: Snapshot): void
}
