/**
 * Decides which captured segments of one connection the source's kernel would believe. A segment with plausible numbers
 * is believed at once. Any other waits for a second one that agrees with it, and a reset that is not at the end of the
 * stream waits for silence. So a stranger who guesses numbers changes nothing (docs/internals/belief.md).
 */
import { ACK, FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add, distance, isAfter, type Seq, seq } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { SourceState } from '../selection/source-sockets.ts'
import { scaledWindow } from '../tcp/segment-writer.ts'
import type { BeliefContext, CapturedConnection, KnownStream } from './belief-context.ts'
import { NOT_HELD } from './held-segments.ts'
import { Plausibility } from './plausibility.ts'
import { WaitingReset } from './waiting-reset.ts'

/** How long the client must be silent before a doubtful segment at the next byte, or a reset, counts. */
const SILENCE_MS = 3000
/** How long a doubtful segment elsewhere waits for one that agrees. */
const HELD_MS = 60_000
/** Packets that overtook each other arrive within this time. */
const DISORDER_MS = 100
/** What lies at most this far behind was retransmitted. It changes nothing, so it is not doubted. */
const BEHIND_MAX = 1 << 24
/** A longer round trip counts as this one. */
const RTT_MAX_US = 60_000_000
const NEVER = Number.POSITIVE_INFINITY

/** A segment that waits for a second one. */
interface Doubt {
  readonly at: Seq
  readonly end: Seq
  readonly ack: Seq
  readonly since: number
  /** It is at the next byte; only its acknowledgment number is implausible. */
  readonly isNext: boolean
  /** Where its payload or FIN is held; NOT_HELD: it has neither. */
  readonly ticket: number
}

/** Bytes or a FIN at the next byte: silence confirms them. */
function isHeldNext({ isNext, ticket }: Doubt): boolean {
  return isNext && ticket !== NOT_HELD
}

/** When anything else is forgotten; an acknowledgment soon, since the next one follows soon. */
function expiryOf({ since, ticket }: Doubt): number {
  return since + (ticket === NOT_HELD ? SILENCE_MS : HELD_MS)
}

export class Belief {
  /** The segment judged last agrees with a held one, which must be taken before it. */
  isConfirmed = false
  /** Something waits for another segment or for silence. A field, since it is read on the way of every packet. */
  isWaiting = false
  /** When what waits must be judged; Infinity: nothing does. */
  deadline = NEVER
  /** The client's round trip, in µs; 0: unknown. */
  #rttUs = 0
  /** Created when first needed. */
  #reset: WaitingReset | undefined
  readonly #known = new Plausibility()
  #doubt: Doubt | undefined
  /** When the client was last heard while something waited. */
  #heardAt = 0
  /** The stream begins at the connection's first byte, so its offsets are the kernel's. */
  #isFromStart: boolean
  readonly #stream: KnownStream
  readonly #connection: CapturedConnection
  readonly #context: BeliefContext

  constructor(stream: KnownStream, connection: CapturedConnection, context: BeliefContext) {
    this.#stream = stream
    this.#connection = connection
    this.#context = context
    this.#isFromStart = !connection.isJoined
  }

  /** See `Snapshot`. Only while nothing waits. */
  save(snapshot: Snapshot): void {
    this.#known.save(snapshot)
    this.#isFromStart = snapshot.flag(this.#isFromStart)
  }

  /** The client's latest acknowledgment number; undefined: it has sent none. */
  get latestAck(): Seq | undefined {
    return this.#known.hasAck ? this.#known.ack : undefined
  }

  /** Takes the client's round trip, in ms. */
  set rttMs(rttMs: number) {
    this.#rttUs = Math.min(rttMs * 1000, RTT_MAX_US) | 0
  }

  /** @returns None: the segment is believed and must be taken. Otherwise it is dropped */
  judge(segment: Segment, now: number): Drop {
    this.isConfirmed = false
    if ((segment.flags & (SYN | RST | ACK)) !== ACK) return this.#judgeOther(segment, now)
    const at = this.#stream.offsetOf(segment.seq)
    const known = this.#known
    if (!known.continues(segment, at)) {
      if (!this.#isPlausible(segment, at)) {
        const drop = this.#doubtAbout(segment, at, now)
        if (drop !== Drop.None) return drop
      }
      known.learnAck(segment.ack)
      known.learnWindow(scaledWindow(segment.window, this.#connection.windowScale))
    }
    if (segment.payloadLength > 0) known.learnBytes(at, segment.payloadLength, this.#rttUs, now)
    if (this.isWaiting) this.#hear(now)
    return Drop.None
  }

  /** Judges a segment that is more or less than an ordinary one with an acknowledgment number. */
  #judgeOther(segment: Segment, now: number): Drop {
    const { flags } = segment
    if (flags & SYN) return Drop.None
    if (flags & RST) return this.#judgeReset(segment, this.#stream.offsetOf(segment.seq), now)
    // RFC 9293 §3.10.7.4: a segment without ACK is dropped.
    this.#context.counters.drop(Drop.Implausible, 0, segment.payloadLength)
    return Drop.Implausible
  }

  /** To be called after a segment was taken. @returns whether the held one has become plausible and is to be taken */
  review(): boolean {
    const doubt = this.#doubt
    if (doubt === undefined) return false
    const known = this.#known
    const { end } = this.#stream
    if (known.isNear(doubt.at, end) && known.isWithinWindows(doubt.ack, known.ack)) return true
    // The client has sent other bytes there.
    if (doubt.isNext && isAfter(end, doubt.at)) this.#forget()
    return false
  }

  /** @returns the held segment, to be taken now; undefined if there is none */
  release(): Segment | undefined {
    const doubt = this.#doubt
    this.#doubt = undefined
    this.#plan()
    if (doubt === undefined) return undefined
    const segment = this.#context.held.take(doubt.ticket)
    if (segment === undefined) return undefined
    this.#known.reach(doubt.end)
    if (segment.flags & ACK) this.#known.learnAck(doubt.ack)
    return segment
  }

  /** The reset that waits, if one does. */
  get reset(): WaitingReset {
    this.#reset ??= new WaitingReset()
    return this.#reset
  }

  /** Drops what waits. */
  clear(): void {
    this.#forget()
    this.forgetReset()
  }

  forgetReset(): void {
    this.#reset?.forget()
    this.#plan()
  }

  /** Whether a reset at this offset is at the source's next byte, as far as the capture knows. */
  isAtEnd(at: Seq): boolean {
    const { end, hasFin, finAt } = this.#stream
    return at === end || at === this.#known.reached || (hasFin && at === add(finAt, 1))
  }

  /** Whether the acknowledgment number of a reset is plausible. */
  hasAck(segment: Segment): boolean {
    const isIncomparable = !this.#known.hasAck || this.#context.isWithoutAcks
    return this.#known.isNearAck(segment) || (isIncomparable && (segment.flags & ACK) !== 0)
  }

  /** To be called after a segment was taken. @returns whether the reset counts now */
  reviewReset(segment: Segment, now: number): boolean {
    const { reset } = this
    if (!reset.isWaiting) return false
    const isLate = now - reset.since > DISORDER_MS
    if (!isLate && this.isAtEnd(reset.at)) return true
    // A client that goes on has not reset its connection, and nothing but a reset at the end follows a FIN.
    const end = add(this.#stream.offsetOf(segment.seq), segment.payloadLength)
    if (isLate || isAfter(end, reset.at) || this.#stream.hasFin) this.forgetReset()
    return false
  }

  /** Whether the waiting reset counts because the client has been silent since. If the source denies it, it is over. */
  isResetDue(now: number): boolean {
    const { reset } = this
    if (!reset.isWaiting || now < this.#silentAt(reset.since)) return false
    const state = this.#stateAtSource(now)
    if (state === SourceState.None || (state === SourceState.Unknown && reset.isNear)) return true
    if (this.#isPutOff(state, now)) return false
    this.forgetReset()
    return false
  }

  /** Whether the held segment counts because the client has been silent since. If its time is over, it is dropped. */
  isHeldDue(now: number): boolean {
    const doubt = this.#doubt
    if (doubt === undefined) return false
    if (isHeldNext(doubt) && now >= this.#silentAt(doubt.since)) {
      if (this.#isPutOff(this.#stateAtSource(now), now)) return false
      if (!this.#isDenied(doubt.end, now)) return true
      this.#forget()
    } else if (now >= expiryOf(doubt)) this.#forget()
    return false
  }

  /** Whether the source's kernel was asked too often. What waits does so for another silence. */
  #isPutOff(state: SourceState, now: number): boolean {
    if (state !== SourceState.Later) return false
    this.#hear(now)
    return true
  }

  /** The client was heard while something waits. */
  #hear(now: number): void {
    this.#heardAt = now
    this.#plan()
  }

  #plan(): void {
    const doubt = this.#doubt
    const reset = this.#reset
    const hasReset = reset?.isWaiting === true
    this.isWaiting = hasReset || doubt !== undefined
    this.deadline = hasReset ? this.#silentAt(reset.since) : NEVER
    if (doubt === undefined) return
    this.deadline = Math.min(this.deadline, isHeldNext(doubt) ? this.#silentAt(doubt.since) : expiryOf(doubt))
  }

  #silentAt(since: number): number {
    return Math.max(since, this.#heardAt) + SILENCE_MS
  }

  #isPlausible(segment: Segment, at: Seq): boolean {
    const known = this.#known
    const { end } = this.#stream
    if (known.isNearAck(segment)) return known.isNear(at, end)
    const isNext = at === end || at === known.reached
    // With nothing to compare the acknowledgment number with, the exact sequence number is evidence enough.
    if (!known.hasAck) return isNext || at === 0
    return isNext && this.#context.isWithoutAcks
  }

  /** Takes a segment with implausible numbers. @returns None if it is believed nevertheless */
  #doubtAbout(segment: Segment, at: Seq, now: number): Drop {
    const { counters, held } = this.#context
    const { payloadLength, flags, ack } = segment
    const { end: known } = this.#stream
    const end = add(at, payloadLength)
    if (payloadLength > 0 && !isAfter(end, known) && distance(known, at) <= BEHIND_MAX) {
      counters.add(Counter.duplicateBytes, payloadLength)
      return Drop.Duplicate
    }
    const isNext = at === known
    this.isConfirmed = (flags & ACK) !== 0 && this.#agrees(at, end, ack)
    if (this.isConfirmed || (isNext && payloadLength > 0 && this.#hasReceived(end, now))) {
      this.#known.learnAck(ack)
      return Drop.None
    }
    const hasContent = payloadLength > 0 || (flags & FIN) !== 0
    if (this.#keepsHeld(hasContent, isNext)) counters.drop(Drop.Implausible, 0, payloadLength)
    else {
      this.#forget()
      this.#doubt = { at, end, ack, since: now, isNext, ticket: hasContent ? held.hold(segment) : NOT_HELD }
      this.#plan()
    }
    return Drop.Implausible
  }

  /** Whether a segment agrees with the doubtful one: it continues it, or the other way round. */
  #agrees(at: Seq, end: Seq, ack: Seq): boolean {
    const doubt = this.#doubt
    if (doubt === undefined || (at !== doubt.end && end !== doubt.at)) return false
    const isSame = at === doubt.at && end === doubt.end && ack === doubt.ack
    return !isSame && this.#known.isWithinWindows(ack, doubt.ack)
  }

  /** Whether the held segment is worth more than another that is doubtful too. */
  #keepsHeld(hasContent: boolean, isNext: boolean): boolean {
    const doubt = this.#doubt
    if (doubt === undefined || doubt.ticket === NOT_HELD) return false
    return !hasContent || (doubt.isNext && !isNext)
  }

  #judgeReset(segment: Segment, at: Seq, now: number): Drop {
    if (this.isAtEnd(at)) return Drop.None
    const { counters, source } = this.#context
    const { reset } = this
    const isNear = this.#known.isNear(at, this.#stream.end)
    const isFirst = !reset.isWaiting
    if (isNear || (isFirst && source.canBeAsked)) {
      // Before the client's first acknowledgment the kernel may not have the connection yet.
      const isGone = isFirst && this.#known.hasAck && this.#stateAtSource(now) === SourceState.None
      if (isGone) return Drop.None
      reset.wait(at, this.hasAck(segment) ? segment.ack : seq(0), isNear, now)
      this.#plan()
    }
    counters.drop(Drop.Implausible, 0, segment.payloadLength)
    return Drop.Implausible
  }

  #stateAtSource(now: number): SourceState {
    return this.#context.source.stateOf(this.#connection, now)
  }

  /** Whether the source's kernel says that it has not received all bytes up to an offset. */
  #isDenied(end: Seq, now: number): boolean {
    return isAfter(end, this.#receivedEnd(now) ?? end)
  }

  /** Whether the source's kernel has received all bytes up to an offset. */
  #hasReceived(end: Seq, now: number): boolean {
    const received = this.#receivedEnd(now)
    return received !== undefined && !isAfter(end, received)
  }

  /** Offset after the last byte that the source's kernel has received; undefined if it cannot say. */
  #receivedEnd(now: number): Seq | undefined {
    if (!this.#isFromStart || this.#stateAtSource(now) !== SourceState.Connected) return undefined
    const { receivedBytes } = this.#context.source
    return Number.isNaN(receivedBytes) ? undefined : seq(receivedBytes)
  }

  #forget(): void {
    if (this.#doubt === undefined) return
    this.#context.held.drop(this.#doubt.ticket)
    this.#doubt = undefined
    this.#plan()
  }
}
