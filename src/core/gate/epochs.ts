/**
 * Decides when the client's next request may be sent. The client's stream is a list of epochs, or requests: bytes sent
 * after the client had read the same amount of answer. An epoch is released when the target has answered as much as the
 * source had, or will evidently not do so (docs/internals/requests.md).
 */
import { add, distance, isAfter, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { AnswerRhythm, TargetSide } from '../target/target-side.ts'

/** Why a request may be sent, or that it must wait. */
export const Release = {
  /** Not yet. Ask again at `lookAgainAt`. */
  Closed: 0,
  /** The bytes belong to the epoch that was released last. */
  SameEpoch: 1,
  /** The target's answer is as long as the source's. */
  Answered: 2,
  /** The target has answered with less than the source and fell silent. */
  Quiet: 3,
  /** The target has closed, so there is nothing to wait for. */
  TargetClosed: 4,
  /** `--epoch-timeout` is over, or for an end its own, longer limit. */
  TimedOut: 5,
  /** The target has answered, but does not close its half as the source had. */
  NotClosed: 6,
  /** Both sides talk at once, so there is no answer to wait for. */
  Ungated: 7
} as const
export type Release = (typeof Release)[keyof typeof Release]

/** What asks to be sent. */
export const Asking = {
  Request: 0,
  /** The client's FIN or RST. */
  End: 1,
  /** The client's FIN or RST, while a new connection needs the port. */
  HurriedEnd: 2
} as const
export type Asking = (typeof Asking)[keyof typeof Asking]

export interface GateSettings {
  /** False: epochs do not wait (`-W`). */
  readonly isWaiting: boolean
  /** `--epoch-timeout`. */
  readonly timeoutMs: number
}

/** The part of a target side that the gate reads. */
export type Answering = Pick<TargetSide, 'rhythm' | 'roundTripMs' | 'sentEnd' | 'acknowledgedEnd'>

/** A pause longer than the pauses before it by this factor means that an answer is over. */
const PAUSE_FACTOR = 2
const QUIET_LEAST_MS = 1
/** No request waits behind a FIN or RST, and one sent too early may cut off the rest of an answer. */
const QUIET_BEFORE_END_MS = 200
/** How long an end waits for answers. An end that is sent earlier tells a slow target that nobody wants its answer. */
const END_TIMEOUT_MS = 60_000
/** Least time from the end of an answer until the target closes, if the source had closed. */
const CLOSE_MS = 1000
/**
 * This many bytes within the timeout show that a long answer is still coming. What a target says by itself is shorter.
 */
const ON_ITS_WAY = 16_384

export class Epochs {
  /** When to ask again after `Release.Closed`; Infinity: no time is set. */
  lookAgainAt = Number.POSITIVE_INFINITY
  /** Bytes of the source's answer that the client had read between the last two released epochs. */
  answerBytes = 0
  /** Bytes that the target had answered meanwhile; its close does not count. */
  targetBytes = 0
  /** The last released epoch had to wait, for so long. */
  hasWaited = false
  waitedMs = 0
  /** Answer bytes of the target that were due when the last epoch was released. */
  dueBytes = 0
  /** Both sides talk at once: requests do not wait. Ends do. */
  isUngated = false
  /** Answer bytes that the client had acknowledged in the last released epoch. */
  #released = 0
  /** The client's latest acknowledgment number, from which distances are counted. */
  #ack: Seq = seq(0)
  /** Bytes of the source's answers up to `#ack`. A running sum, since answers may be longer than a 32-bit distance. */
  #acknowledged = 0
  #hasBase = false
  /** Bytes by which the target's answers have been longer than the source's so far; negative if shorter. */
  #surplus = 0
  /** Answer bytes of the target when the last epoch was released. */
  #receivedBefore = 0
  /** When the timeout of the next epoch started; NaN: no epoch waits. */
  #waitingSince = Number.NaN
  /** Answer bytes of the target at `#waitingSince`. */
  #receivedThen = 0
  readonly #options: GateSettings

  constructor(options: GateSettings) {
    this.#options = options
  }

  /** See `Snapshot`. Only while no epoch waits. */
  save(snapshot: Snapshot): void {
    this.#released = snapshot.number(this.#released)
    this.#ack = snapshot.seq(this.#ack)
    this.#acknowledged = snapshot.number(this.#acknowledged)
    this.#hasBase = snapshot.flag(this.#hasBase)
    this.#surplus = snapshot.number(this.#surplus)
    this.#receivedBefore = snapshot.number(this.#receivedBefore)
  }

  /** Takes the client's first acknowledgment number, where the source's answers begin. */
  begin(ack: Seq): void {
    if (this.#hasBase) return
    this.#hasBase = true
    this.#ack = ack
  }

  /** Takes every captured acknowledgment number, so that no distance between two of them wraps. */
  saw(ack: Seq): void {
    if (!this.#hasBase || !isAfter(ack, this.#ack)) return
    this.#acknowledged += distance(ack, this.#ack)
    this.#ack = ack
  }

  /** The client's latest acknowledgment number on this connection; undefined: none is known. */
  get latestAck(): Seq | undefined {
    return this.#hasBase ? this.#ack : undefined
  }

  /** True if bytes with this acknowledgment number belong to a later epoch than the last released one. */
  isNew(ack: Seq): boolean {
    return this.#answerBytesAt(ack) > this.#released
  }

  /** Asks whether what the client sent with `ack` may be sent. */
  ask(ack: Seq, asking: Asking, target: Answering, now: number): Release {
    this.begin(ack)
    this.saw(ack)
    this.lookAgainAt = Number.POSITIVE_INFINITY
    if (!this.isNew(ack)) return Release.SameEpoch
    const release = this.#judge(ack, asking, target, now)
    if (release === Release.Closed) return release
    this.dueBytes = this.#expected(ack)
    this.#adjust(release, ack, target)
    this.answerBytes = this.#answerBytesAt(ack) - this.#released
    this.targetBytes = this.answeredBytes(target.rhythm)
    this.#released = this.#answerBytesAt(ack)
    this.#receivedBefore = target.rhythm.receivedBytes
    this.hasWaited = !Number.isNaN(this.#waitingSince)
    this.waitedMs = this.hasWaited ? now - this.#waitingSince : 0
    this.#waitingSince = Number.NaN
    return release
  }

  /** The acknowledgment number of the last released epoch. */
  get releasedAck(): Seq {
    return add(this.#ack, this.#released - this.#acknowledged)
  }

  /** Bytes of the source's answers that the client has read on this connection. */
  get readBytes(): number {
    return this.#acknowledged
  }

  /** Requests do not wait: both sides talk at once, or `-W` is given. */
  get isFree(): boolean {
    return this.isUngated || !this.#options.isWaiting
  }

  /** Bytes of the source's answers that the client has read since the last epoch was sent. */
  get newlyReadBytes(): number {
    return this.#acknowledged - this.#released
  }

  /** Whether the target has answered as much as the client has read so far, or is at most `slack` bytes short of it. */
  hasAnsweredAll({ receivedBytes }: AnswerRhythm, slack: number): boolean {
    return receivedBytes >= this.#expected(this.#ack) - slack
  }

  /** Whether the target has answered at least half as much as the client has read on this connection. */
  hasAnsweredMost({ receivedBytes }: AnswerRhythm): boolean {
    return receivedBytes > 0 && receivedBytes * 2 >= this.#acknowledged
  }

  /** When the answer to the last epoch counts as finished if the target stays silent; Infinity: it has none. */
  quietAt(target: Answering): number {
    const { rhythm } = target
    if (!(this.answeredBytes(rhythm) > 0 && rhythm.isPushed && isAllAcknowledged(target)))
      return Number.POSITIVE_INFINITY
    return rhythm.quietSince + this.#quietMs(this.#ack, true, target)
  }

  /** What the target has answered so far corresponds to what the client has read. */
  realign({ receivedBytes }: AnswerRhythm): void {
    this.#surplus = receivedBytes - this.#acknowledged
  }

  /** Bytes that the target has answered since the last epoch was released. */
  answeredBytes({ receivedBytes, isClosed }: AnswerRhythm): number {
    return receivedBytes - (isClosed ? 1 : 0) - this.#receivedBefore
  }

  #judge(ack: Seq, asking: Asking, target: Answering, now: number): Release {
    const answer = target.rhythm
    const isEnd = asking !== Asking.Request
    // The target's FIN counts as a byte, as the source's does in the acknowledgment numbers of a client that has read
    // it.
    const isAtEnd = answer.receivedBytes === this.#expected(ack) || answer.receivedBytes === this.#answerBytesAt(ack)
    if (answer.isClosed && !isAtEnd) return Release.TargetClosed
    if (answer.receivedBytes >= this.#expected(ack) || !this.#options.isWaiting) return Release.Answered
    if (this.isUngated && !isEnd) return Release.Ungated
    // If a client's FIN or RST lacks exactly one byte, that byte is the source's FIN. Wait for the target's FIN. Without
    // any answer yet it may as well be an answer of one byte.
    const isBegun = answer.receivedBytes > this.#receivedBefore
    const lacksFin = isEnd && isBegun && answer.receivedBytes === this.#expected(ack) - 1
    const timeoutAt = lacksFin ? this.#closeBy(answer, now) : this.#timeoutAt(asking, answer, now)
    if (now >= timeoutAt) return lacksFin ? Release.NotClosed : Release.TimedOut
    this.lookAgainAt = timeoutAt
    const hasAnswered = answer.receivedBytes > this.#receivedBefore && answer.isPushed && isAllAcknowledged(target)
    if (hasAnswered && !lacksFin) {
      const quietAt = answer.quietSince + this.#quietMs(ack, isEnd, target)
      if (now >= quietAt) return Release.Quiet
      this.lookAgainAt = Math.min(timeoutAt, quietAt)
    }
    return Release.Closed
  }

  /** When the timeout of an epoch is over. It starts again while a long answer is still coming. */
  #timeoutAt(asking: Asking, { receivedBytes }: AnswerRhythm, now: number): number {
    const timeoutMs = this.#timeoutMs(asking)
    const isNew = Number.isNaN(this.#waitingSince)
    const isOver = now - this.#waitingSince >= timeoutMs
    if (isNew || (isOver && receivedBytes - this.#receivedThen >= ON_ITS_WAY)) {
      this.#waitingSince = now
      this.#receivedThen = receivedBytes
    }
    return this.#waitingSince + timeoutMs
  }

  #timeoutMs(asking: Asking): number {
    const { timeoutMs } = this.#options
    return asking === Asking.End ? Math.max(timeoutMs, END_TIMEOUT_MS) : timeoutMs
  }

  /** How long to wait for the target's FIN once its answer is there. */
  #closeBy({ quietSince }: AnswerRhythm, now: number): number {
    const { timeoutMs } = this.#options
    if (Number.isNaN(this.#waitingSince)) this.#waitingSince = now
    const answeredAt = Math.min(quietSince, now)
    return Math.max(this.#waitingSince + timeoutMs, answeredAt + Math.min(timeoutMs, CLOSE_MS))
  }

  /** How long a target must be silent before its answer counts as finished, in ms. */
  #quietMs(ack: Seq, isEnd: boolean, { rhythm: answer, roundTripMs }: Answering): number {
    const received = answer.receivedBytes - this.#receivedBefore
    const expected = this.#expected(ack) - this.#receivedBefore
    // The pauses of an answer that has only begun are not known yet. The time that it took to begin counts as one; also
    // before an end, since a slow target may answer the next of several requests as late.
    const hasBegun = isEnd || 2 * received < expected
    const pauseMs = hasBegun ? Math.max(answer.pauseMs, answer.waitMs) : answer.pauseMs
    return Math.max(2 * roundTripMs, PAUSE_FACTOR * pauseMs, isEnd ? QUIET_BEFORE_END_MS : QUIET_LEAST_MS)
  }

  /** Answer bytes of the source up to an acknowledgment number of the client. */
  #answerBytesAt(ack: Seq): number {
    return this.#acknowledged + distance(ack, this.#ack)
  }

  /** Answer bytes of the target that release the epoch with this acknowledgment number. */
  #expected(ack: Seq): number {
    return this.#answerBytesAt(ack) + this.#surplus
  }

  /**
   * Moves the accumulated difference between both counts of answer bytes. An answer released by silence was shorter. A
   * longer one counts if it is complete and exceeds by less than half; beyond that it may contain the answer to a
   * further request.
   */
  #adjust(release: Release, ack: Seq, target: Answering): void {
    const answer = target.rhythm
    const surplus = answer.receivedBytes - this.#expected(ack)
    const answerLength = this.#answerBytesAt(ack) - this.#released
    const isLonger = surplus > 0 && surplus * 2 < answerLength && answer.isPushed && isAllAcknowledged(target)
    if (release === Release.Quiet || (release === Release.Answered && isLonger)) this.#surplus += surplus
  }
}

function isAllAcknowledged({ sentEnd, acknowledgedEnd }: Answering): boolean {
  return acknowledgedEnd === sentEnd
}
