/**
 * The client side of a session rebuilds what the client said and when from captured segments: its byte stream, its
 * round trip, how much it sends at once, and how it ended. It does not know the target and outlives every connection to
 * it.
 */
import { FIN, PSH, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add, distance, isAfter, type Seq, seq } from '../../wire/seq.ts'
import { Belief } from '../belief/belief.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { CopiedIdentity } from '../target/copied-identity.ts'
import { ClientStream } from './client-stream.ts'
import type { LeastRoundTrips } from './least-round-trips.ts'
import type { SessionContext } from './session-context.ts'

export class ClientSide {
  readonly stream: ClientStream
  readonly belief: Belief
  /** The initial sequence number of the client's connection. */
  iss: Seq
  /** The client's round trip to the source, in ms; 0: unknown. */
  rttMs: number
  /** The acknowledgment number of the client's FIN. */
  finAck: Seq = seq(0)
  /** The IP id of the client's FIN if it had no payload; otherwise 0. */
  finIpId = 0
  hasReset = false
  /** The segment taken last began a write: the one before it ended one. A request may begin with it. */
  beginsWrite = false
  #hasEndedWrite = true
  /** Offset of the client's reset in its stream. */
  #resetAt: Seq = seq(0)
  /** The acknowledgment number with which the reset waits at the gate; 0: it does not wait. */
  resetAck: Seq = seq(0)
  /** The client's handshake is complete, or was not captured. */
  #hasHandshake: boolean
  /** When the SYN was captured, or the first packet of a connection that is joined. */
  beganAt: number
  #firstFlightEnds = Number.NaN
  #isJoined: boolean
  readonly #roundTrips: LeastRoundTrips | undefined
  readonly #counters: Counters
  readonly #identity: CopiedIdentity

  constructor(
    iss: Seq,
    identity: CopiedIdentity,
    queue: SendQueue,
    context: SessionContext<never>,
    capturedAt: number
  ) {
    const { capturedAddress, isJoined } = identity
    const { roundTrips, counters, belief } = context
    this.#identity = identity
    this.iss = iss
    this.stream = new ClientStream(add(iss, 1), queue, counters)
    this.belief = new Belief(this.stream, identity, belief)
    this.rttMs = roundTrips?.of(capturedAddress, capturedAt) ?? 0
    this.belief.rttMs = this.rttMs
    this.#hasHandshake = isJoined
    this.beganAt = capturedAt
    this.#isJoined = isJoined
    this.#roundTrips = roundTrips
    this.#counters = counters
  }

  /** See `Snapshot`. Only while the client has neither closed nor reset. */
  save(snapshot: Snapshot): void {
    this.iss = snapshot.seq(this.iss)
    this.rttMs = snapshot.number(this.rttMs)
    this.#hasHandshake = snapshot.flag(this.#hasHandshake)
    this.beganAt = snapshot.number(this.beganAt)
    this.#firstFlightEnds = snapshot.number(this.#firstFlightEnds)
    this.#hasEndedWrite = snapshot.flag(this.#hasEndedWrite)
    this.stream.save(snapshot)
    this.belief.save(snapshot)
    this.belief.rttMs = this.rttMs
  }

  /** The sequence number after the last contiguous byte captured. */
  get endSequence(): Seq {
    return add(this.stream.base, this.stream.end)
  }

  /** True once the client has closed its half or reset the connection. */
  get isDone(): boolean {
    return this.stream.hasFin || this.hasReset
  }

  /** Like `isDone`, or its FIN is captured but not reached yet. */
  get isEnding(): boolean {
    return this.isDone || this.stream.expectsFin
  }

  /** Nothing of the client waits for its next packets or for time. */
  get isSettled(): boolean {
    return !this.stream.lacksRefused && this.belief.deadline === Number.POSITIVE_INFINITY
  }

  /** Bytes before a later byte, the FIN or the reset are not captured yet. */
  get lacksBytes(): boolean {
    const end = this.stream.isComplete ? add(this.stream.end, 1) : this.stream.end
    return this.stream.hasHole || (this.hasReset && isAfter(this.#resetAt, end))
  }

  /** Changes with every packet of the client that tells anything. */
  get mark(): string {
    return `${this.isDone} ${this.endSequence} ${this.belief.latestAck}`
  }

  /** Judges a captured segment. @returns None: it is to be taken. Otherwise why not, or not yet */
  judge(segment: Segment, now: number): Drop {
    return this.belief.judge(segment, now)
  }

  /**
   * Takes a segment that is believed, except for the SYN that began the connection.
   * @param unit see `ClientStream.insert`; @returns None if it contains anything new
   */
  take(segment: Segment, unit: number, now: number): Drop {
    const drop = this.#take(segment, unit)
    const { belief } = this
    if (belief.isWaiting && belief.reviewReset(segment, now)) this.#endWith(belief.reset.at)
    return drop
  }

  /** Judges what waited for the client's silence. @returns a held segment that is to be taken now */
  onTimer(now: number): Segment | undefined {
    const { belief } = this
    if (belief.isResetDue(now)) this.#endWith(this.stream.end)
    return belief.isHeldDue(now) ? belief.release() : undefined
  }

  #take(segment: Segment, unit: number): Drop {
    // Bytes in a SYN (RFC 7413) are sent once the target has answered our SYN.
    if (segment.flags & SYN) return segment.payloadLength > 0 ? this.#takePayload(segment, unit) : Drop.Duplicate
    if (segment.flags & RST) return this.#takeReset(segment)
    const drop = segment.payloadLength > 0 ? this.#takePayload(segment, unit) : Drop.PureAck
    if ((segment.flags & FIN) === 0) return drop
    const end = this.#takeFin(segment)
    return end === Drop.None || segment.payloadLength === 0 ? end : drop
  }

  /** Notes who speaks first on this connection. To be called for payload until some was taken. */
  noteFirstSpeaker({ flags, seq: sequence, ack }: Segment, context: SessionContext<never>): void {
    const { firstSpeaker, settings } = context
    const { mapIndex, copy, isJoined } = this.#identity
    const { firstAck } = this.stream
    // Behind bytes that were missed, an answer may be one to these. The source's FIN counts as one byte of an answer.
    if (this.stream.offsetOf(sequence) !== 0) return
    const isOfFirstCopy = !isJoined && copy === 0 && (flags & SYN) === 0
    if (!isOfFirstCopy || firstAck === 0 || settings.isWithoutAcks) return
    firstSpeaker.saw(mapIndex, distance(ack, firstAck) > 1)
  }

  #takePayload(segment: Segment, unit: number): Drop {
    const drop = this.stream.insert(segment, unit)
    this.beginsWrite = drop === Drop.None && this.#hasEndedWrite
    if (drop === Drop.None) this.#hasEndedWrite = (segment.flags & PSH) !== 0
    return drop
  }

  /** The client has opened another connection with this address and port, so nothing more follows on this one. */
  endHere(): void {
    this.#reset(this.stream.end, this.finAck)
  }

  /** The client has ended, but its end was not captured. It gets a FIN, as most have. */
  endUncaptured(): void {
    const { stream, belief } = this
    if (stream.hasHole || this.isDone) return
    this.#counters.add(Counter.endsMissed, 1)
    if (belief.latestAck === undefined || stream.close(stream.end) !== Drop.None) this.endHere()
    else this.finAck = belief.latestAck
  }

  /** The source's kernel says that the client's handshake is complete. */
  connects(): void {
    this.#hasHandshake = true
  }

  /** Frees everything. @param una, reason see `ClientStream.clear` */
  clear(una: Seq, reason: Drop): void {
    this.stream.clear(una, reason)
    this.belief.clear()
  }

  /** A connection to the target follows in mid-stream, so the client's handshake and first flight are over. */
  joins(): void {
    this.#hasHandshake = true
    this.#isJoined = true
  }

  /**
   * To be called for each acknowledgment.
   * @param isLate others were captured before it, so neither is it the first nor does it tell the round trip
   * @returns true for the one that completes the client's handshake, and with which the source's answers begin
   */
  completesHandshake(isLate: boolean, now: number): boolean {
    if (this.#hasHandshake) return false
    this.#hasHandshake = true
    if (isLate) return false
    const measured = Math.max(now - this.beganAt, Number.MIN_VALUE)
    this.rttMs = this.#roundTrips?.note(this.#identity.capturedAddress, measured, now) ?? measured
    this.belief.rttMs = this.rttMs
    return true
  }

  /**
   * To be called when payload was captured. The first flight ends half a round trip after its first byte, well before
   * the client can receive an acknowledgment of it.
   * @returns bytes of the first flight so far; 0 if it is over
   */
  firstFlightBytes(now: number): number {
    if (Number.isNaN(this.#firstFlightEnds)) this.#firstFlightEnds = now + this.rttMs / 2
    const isFirst = now <= this.#firstFlightEnds && !this.#isJoined
    return isFirst ? distance(this.stream.end, seq(0)) : 0
  }

  #takeFin(segment: Segment): Drop {
    const { stream } = this
    const drop = stream.close(stream.offsetOf(add(segment.seq, segment.payloadLength)))
    if (drop !== Drop.None) return drop
    this.finAck = segment.ack
    this.finIpId = segment.payloadLength === 0 ? segment.ipId : 0
    return drop
  }

  #takeReset(segment: Segment): Drop {
    if (segment.payloadLength > 0) this.#counters.drop(Drop.BeyondEnd, 0, segment.payloadLength)
    if (this.hasReset) return Drop.Duplicate
    const at = this.stream.offsetOf(segment.seq)
    // Elsewhere it is believed because the source's kernel no longer knows the connection.
    this.#reset(this.belief.isAtEnd(at) ? at : this.stream.end, this.belief.hasAck(segment) ? segment.ack : this.finAck)
    return Drop.None
  }

  /** The reset that waited counts. */
  #endWith(at: Seq): void {
    const { ack } = this.belief.reset
    this.belief.forgetReset()
    if (!this.hasReset) this.#reset(at, ack === 0 ? this.finAck : ack)
  }

  #reset(at: Seq, ack: Seq): void {
    this.hasReset = true
    this.#resetAt = at
    this.resetAck = ack
  }
}
