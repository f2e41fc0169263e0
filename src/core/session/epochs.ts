/**
 * When the client's next request may be sent. A connection is a list of epochs (requests, each with the answer that
 * the client had read before it spoke again); an epoch is released when the target has answered as much as the source
 * had, or when it plainly will not.
 */
import { distance, isAfter, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { AnswerRhythm, TargetSide } from '../target/target-side.ts'

/** Why a request may be sent, or that it may not. */
export const Release = {
  /** Not yet: look again at `lookAgainAt`. */
  Closed: 0,
  /** These octets belong to an epoch that was released before. */
  SameEpoch: 1,
  /** The target's answer is as long as the source's. */
  Answered: 2,
  /** The target has answered, shorter than the source, and fell silent. */
  Quiet: 3,
  /** The target has closed: there is nothing to wait for. */
  TargetClosed: 4,
  /** The time limit for an answer has passed. */
  TimedOut: 5
} as const
export type Release = (typeof Release)[keyof typeof Release]

export interface GateSettings {
  /** False: epochs wait for nothing (`-W`). */
  readonly isWaiting: boolean
  readonly timeoutMs: number
}

/** What is asked of a connection to the target. */
export type Answering = Pick<TargetSide, 'rhythm' | 'roundTripMs' | 'sentEnd' | 'acknowledgedEnd'>

/** A pause so much longer than those before it means that an answer is over. */
const PAUSE_FACTOR = 2
const QUIET_LEAST_MS = 1
/** Nothing comes after a FIN or RST that would be kept waiting, and one too early may cost the rest of an answer. */
const QUIET_BEFORE_END_MS = 200
/** So much of an answer within the time-out means that it is coming; what a target says by itself is less. */
const ON_ITS_WAY = 16_384

export class Epochs {
  /** No instant has to be waited for. */
  lookAgainAt = Number.POSITIVE_INFINITY
  /** Answer bytes of the source that the client had read between the last two epochs that were released. */
  answerBytes = 0
  /** The epoch that was released last had to wait. */
  hasWaited = false
  /** Answer octets that the client had acknowledged with the octets released last. */
  #released = 0
  /** The client's latest acknowledgment number: answers may be longer than the numbers reach. */
  #ack: Seq = seq(0)
  /** Octets of the source's answers up to there, since its initial sequence number + 1. */
  #acknowledged = 0
  #hasBase = false
  /** Octets by which the target's answers have been longer than the source's so far. */
  #surplus = 0
  /** Answer octets there were when the current epoch was released. */
  #receivedBefore = 0
  /** Since when the next epoch waits, or since when too little of its answer came; NaN: it does not. */
  #waitingSince = Number.NaN
  /** Answer octets there were then. */
  #receivedThen = 0
  readonly #options: GateSettings

  constructor(options: GateSettings) {
    this.#options = options
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#released = snapshot.number(this.#released)
    this.#ack = snapshot.seq(this.#ack)
    this.#acknowledged = snapshot.number(this.#acknowledged)
    this.#hasBase = snapshot.flag(this.#hasBase)
    this.#surplus = snapshot.number(this.#surplus)
    this.#receivedBefore = snapshot.number(this.#receivedBefore)
    this.#waitingSince = snapshot.number(this.#waitingSince)
    this.#receivedThen = snapshot.number(this.#receivedThen)
  }

  /** Of a captured acknowledgment before any payload: it tells where the source's answers begin. */
  begin(ack: Seq): void {
    if (this.#hasBase) return
    this.#hasBase = true
    this.#ack = ack
  }

  /** Of every captured acknowledgment, so that none is farther from the one before than numbers can tell. */
  saw(ack: Seq): void {
    if (!this.#hasBase || !isAfter(ack, this.#ack)) return
    this.#acknowledged += distance(ack, this.#ack)
    this.#ack = ack
  }

  /** True if octets that came with this acknowledgment belong to a later epoch than those released last. */
  isNew(ack: Seq): boolean {
    return this.#octets(ack) > this.#released
  }

  /**
   * Asks whether octets may be sent that the client sent with `ack`.
   * @param isEnd a FIN or RST instead of octets
   */
  ask(ack: Seq, isEnd: boolean, target: Answering, now: number): Release {
    this.begin(ack)
    this.saw(ack)
    this.lookAgainAt = Number.POSITIVE_INFINITY
    if (!this.isNew(ack)) return Release.SameEpoch
    const release = this.#judge(ack, isEnd, target, now)
    if (release === Release.Closed) return release
    this.#adjust(release, ack, target)
    this.answerBytes = this.#octets(ack) - this.#released
    this.#released = this.#octets(ack)
    this.#receivedBefore = target.rhythm.receivedBytes
    this.hasWaited = !Number.isNaN(this.#waitingSince)
    this.#waitingSince = Number.NaN
    return release
  }

  #judge(ack: Seq, isEnd: boolean, target: Answering, now: number): Release {
    const answer = target.rhythm
    // Its FIN counts as an octet: a client that spoke after it had read the source's has an acknowledgment beyond it.
    const isAtEnd = answer.receivedBytes === this.#expected(ack) || answer.receivedBytes === this.#octets(ack)
    if (answer.isClosed && !isAtEnd) return Release.TargetClosed
    if (answer.receivedBytes >= this.#expected(ack) || !this.#options.isWaiting) return Release.Answered
    const timeoutAt = this.#timeoutAt(answer, now)
    if (now >= timeoutAt) return Release.TimedOut
    this.lookAgainAt = timeoutAt
    const hasAnswered = answer.receivedBytes > this.#receivedBefore && answer.isPushed && isAllAcknowledged(target)
    // Where a client's FIN or RST lacks one octet, that is the source's FIN: it closed first, and so will the target.
    const lacksFin = isEnd && answer.receivedBytes === this.#expected(ack) - 1
    if (hasAnswered && !lacksFin) {
      const quietAt = answer.quietSince + this.#quietMs(ack, isEnd, target)
      if (now >= quietAt) return Release.Quiet
      this.lookAgainAt = Math.min(timeoutAt, quietAt)
    }
    return Release.Closed
  }

  /** An answer that is long on its way is no answer that never comes. */
  #timeoutAt({ receivedBytes }: AnswerRhythm, now: number): number {
    const { timeoutMs } = this.#options
    const isNew = Number.isNaN(this.#waitingSince)
    const isOver = now - this.#waitingSince >= timeoutMs
    if (isNew || (isOver && receivedBytes - this.#receivedThen >= ON_ITS_WAY)) {
      this.#waitingSince = now
      this.#receivedThen = receivedBytes
    }
    return this.#waitingSince + timeoutMs
  }

  /** How long a target is silent that has no more to say: longer than it was in this answer. */
  #quietMs(ack: Seq, isEnd: boolean, { rhythm: answer, roundTripMs }: Answering): number {
    const received = answer.receivedBytes - this.#receivedBefore
    const expected = this.#expected(ack) - this.#receivedBefore
    // Of an answer that has only begun the pauses are not known yet; the time that it took to begin stands for them.
    const pauseMs = 2 * received < expected ? Math.max(answer.pauseMs, answer.waitMs) : answer.pauseMs
    return Math.max(2 * roundTripMs, PAUSE_FACTOR * pauseMs, isEnd ? QUIET_BEFORE_END_MS : QUIET_LEAST_MS)
  }

  /** Answer octets of the source that the client had acknowledged with this number. */
  #octets(ack: Seq): number {
    return this.#acknowledged + distance(ack, this.#ack)
  }

  /** Answer octets of the target that make the epoch with this acknowledgment due. */
  #expected(ack: Seq): number {
    return this.#octets(ack) + this.#surplus
  }

  /**
   * Keeps the two counts of answer octets in step. A shorter answer, taken for whole, leaves a lack; a longer one a
   * surplus, if it is whole and is not the answer to a further request (then it exceeds by more than half).
   */
  #adjust(release: Release, ack: Seq, target: Answering): void {
    const answer = target.rhythm
    const surplus = answer.receivedBytes - this.#expected(ack)
    const answerLength = this.#octets(ack) - this.#released
    const isLonger = surplus > 0 && surplus * 2 < answerLength && answer.isPushed && isAllAcknowledged(target)
    if (release === Release.Quiet || (release === Release.Answered && isLonger)) this.#surplus += surplus
  }
}

function isAllAcknowledged({ sentEnd, acknowledgedEnd }: Answering): boolean {
  return acknowledgedEnd === sentEnd
}
