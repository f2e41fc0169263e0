/**
 * Decides how a request that was sent ends: whether the target has answered it as the gate judges answers, late, or not
 * at all. `SessionRequests` books it.
 */
import { Drop } from '../books/drop.ts'
import { RequestCount } from '../books/request-books.ts'
import type { SessionRequests } from '../memory/session-requests.ts'
import { TargetEnd, type TargetSide } from '../target/target-side.ts'
import { Asking, type Epochs, Release } from './epochs.ts'
import type { Exchange } from './exchange.ts'

/** After so much silence of both sides a request is settled although nothing follows it. */
const SETTLE_MS = 1000
/** Sessions that hibernate even sooner do not wait for it. */
const SETTLE_LEAST_MS = 100
const NEVER = Number.POSITIVE_INFINITY

/** What is known of the client when a connection ends. */
export interface ClientEnd {
  readonly reason: Drop
  /** The client has closed its half or reset its connection. */
  readonly isClientDone: boolean
  /** The target has acknowledged everything that the client has sent. */
  readonly isDelivered: boolean
}

/** The part of the idle policy that it needs. */
export interface IdleTime {
  /** Silence after which a session hibernates. */
  readonly hibernateAfterMs: number
}

export class Outcomes {
  /** When the client last read more of the source's answers. */
  readAt = Number.NEGATIVE_INFINITY
  /** When `settleIdle` must be called if nothing is to be sent then; Infinity: no request is open. */
  settleAt = NEVER
  /** The session does not hibernate before this time, because a request will be settled then. */
  awakeUntil = 0
  readonly #requests: SessionRequests
  readonly #exchange: Exchange
  readonly #idlePolicy: IdleTime
  readonly #timeoutMs: number

  /** @param exchange the one that was released last; @param timeoutMs `--epoch-timeout` */
  constructor(requests: SessionRequests, exchange: Exchange, idlePolicy: IdleTime, timeoutMs: number) {
    this.#idlePolicy = idlePolicy
    this.#requests = requests
    this.#exchange = exchange
    this.#timeoutMs = timeoutMs
  }

  /** What follows the last request may be sent: another request, or the client's end. */
  followed(epochs: Epochs, release: Release, asking: Asking, target: TargetSide, now: number): void {
    const requests = this.#requests
    const isPlain = release === Release.Answered && asking === Asking.Request && requests.overdueEnd === 0
    if (isPlain && target.rhythm.receivedBytes >= epochs.dueBytes) {
      if (requests.current > 0) this.#answered(target, epochs.waitedMs >= this.#timeoutMs)
    } else if (requests.open > 0) this.#followed(epochs, release, asking, target, now)
  }

  #followed(epochs: Epochs, release: Release, asking: Asking, target: TargetSide, now: number): void {
    const requests = this.#requests
    const { receivedBytes, isPushed } = target.rhythm
    this.#settleOverdue(receivedBytes, now)
    if (requests.current === 0) return
    const isEnd = asking !== Asking.Request
    const { dueBytes, targetBytes, waitedMs } = epochs
    const isComplete = release === Release.NotClosed || receivedBytes >= dueBytes
    const isShorter = release === Release.Quiet || (release === Release.TargetClosed && isPushed)
    const isLate = waitedMs >= this.#timeoutMs
    if (isEnd && epochs.answerBytes === 1 && targetBytes <= 0) requests.settle(RequestCount.NotAwaited)
    else if (isComplete || (isShorter && this.#hasPart(targetBytes, target))) this.#answered(target, isLate)
    else if (release !== Release.TargetClosed) {
      // After a timeout an answer is late whenever it comes.
      const since = release === Release.TimedOut ? Number.NEGATIVE_INFINITY : this.#since
      requests.overtake(isEnd ? dueBytes - 1 : dueBytes, since)
    }
    // What the target has not acknowledged is sent again, on another connection.
    const isRead = target.acknowledgedEnd === target.sentEnd
    if (release === Release.TargetClosed && isRead) requests.leaveUnanswered(Drop.TargetClosed)
  }

  #settleOverdue(receivedBytes: number, now: number): void {
    if (this.#requests.overdueCount > 0) this.#requests.settleOverdue(receivedBytes, now - this.#timeoutMs)
  }

  /** A request is sent. */
  released(now: number): void {
    this.#requests.release()
    if (this.settleAt === NEVER) this.settleAt = now + this.#silenceMs
  }

  /** A session is settled before it hibernates. */
  get #silenceMs(): number {
    const { hibernateAfterMs } = this.#idlePolicy
    return hibernateAfterMs >= SETTLE_LEAST_MS ? Math.min(SETTLE_MS, hibernateAfterMs) : SETTLE_MS
  }

  /**
   * Settles what is answered although nothing follows it. To be called while nothing is to be sent.
   * @param isWithoutAcks what the client has read is not captured
   */
  settleIdle(epochs: Epochs, target: TargetSide, isWithoutAcks: boolean, now: number): void {
    if (now < this.settleAt) return
    const requests = this.#requests
    const silentAt = Math.max(target.progressAt, this.readAt) + this.#silenceMs
    this.awakeUntil = 0
    this.settleAt = silentAt > now ? silentAt : now + SETTLE_MS
    if (silentAt > now) {
      if (this.#idlePolicy.hibernateAfterMs >= SETTLE_LEAST_MS) this.awakeUntil = silentAt
      return
    }
    this.#settleIdle(epochs, target, isWithoutAcks, now)
    if (requests.open === 0) this.settleAt = NEVER
  }

  #settleIdle(epochs: Epochs, target: TargetSide, isWithoutAcks: boolean, now: number): void {
    const requests = this.#requests
    const { rhythm } = target
    this.#settleOverdue(rhythm.receivedBytes, now)
    const hasReadMore = epochs.newlyReadBytes > 0
    if (requests.open === 0 || !(hasReadMore || isWithoutAcks)) return
    const quietAt = epochs.quietAt(target)
    const isQuiet = now >= quietAt
    const answeredBytes = epochs.answeredBytes(rhythm)
    const isComplete = hasReadMore && answeredBytes > 0 && epochs.hasAnsweredAll(rhythm, 0)
    if (epochs.isFree && isQuiet && epochs.hasAnsweredMost(rhythm)) {
      this.#answeredAll(epochs, target)
    } else if (requests.current > 0 && (isComplete || (isQuiet && this.#hasPart(answeredBytes, target)))) {
      if (hasReadMore) this.#answered(target, false)
      else requests.settle(RequestCount.Answered)
    } else if (!isQuiet) this.settleAt = Math.min(this.settleAt, quietAt)
  }

  /** The connection to the target has ended, and every request that is still open on it. */
  ended(epochs: Epochs, target: TargetSide, end: ClientEnd, now: number): void {
    const requests = this.#requests
    const { rhythm } = target
    this.#settleOverdue(rhythm.receivedBytes, now)
    if (requests.current > 0) {
      // A single byte may be the source's FIN.
      const hasRead = epochs.newlyReadBytes > (epochs.answeredBytes(rhythm) > 0 ? 0 : 1)
      if (hasRead) {
        if (this.#isAnsweredAtEnd(epochs, target, now)) this.#answered(target, false)
      } else if (end.reason !== Drop.Shutdown && end.isDelivered && (end.isClientDone || !isOfTarget(end.reason))) {
        requests.settle(RequestCount.NotAwaited)
      }
    }
    if (requests.open > 0 && epochs.isFree && isNormal(end.reason) && epochs.hasAnsweredMost(rhythm))
      this.#answeredAll(epochs, target)
    requests.leaveUnanswered(reasonOf(end.reason, target))
  }

  #isAnsweredAtEnd(epochs: Epochs, target: TargetSide, now: number): boolean {
    const { rhythm } = target
    const hasPart = this.#hasPart(epochs.answeredBytes(rhythm), target)
    // The client may have read the source's FIN, which counts as a byte.
    if (epochs.hasAnsweredAll(rhythm, hasPart ? 1 : 0)) return true
    return hasPart && ((rhythm.isClosed && rhythm.isPushed) || now >= epochs.quietAt(target))
  }

  /**
   * Whether a part of the answer to the current request is there, and not only of those before it.
   * @param byteCount what the target has answered since it was sent
   */
  #hasPart(byteCount: number, { rhythm }: TargetSide): boolean {
    const requests = this.#requests
    const received = rhythm.receivedBytes - (rhythm.isClosed ? 1 : 0)
    return byteCount > 0 && requests.overdueCount === 0 && received > requests.overdueEnd
  }

  /** @param hasWaited what follows it has waited for so long that it is late */
  #answered({ progressAt }: TargetSide, hasWaited: boolean): void {
    const isLate = hasWaited || progressAt - this.#since >= this.#timeoutMs
    this.#requests.settle(isLate ? RequestCount.AnsweredLate : RequestCount.Answered)
  }

  /** Both sides have talked at once, so only the sums of their bytes can be compared. */
  #answeredAll(epochs: Epochs, target: TargetSide): void {
    this.#requests.settleOverdue(NEVER, Number.NEGATIVE_INFINITY)
    this.#answered(target, false)
    epochs.realign(target.rhythm)
  }

  /**
   * Since when the copy waits for the target: the client has read the answer, and the request was sent. NaN: unknown,
   * because the session has hibernated meanwhile.
   */
  get #since(): number {
    const { releasedAt } = this.#exchange
    return releasedAt > this.readAt || this.readAt === Number.NEGATIVE_INFINITY ? releasedAt : this.readAt
  }
}

function isOfTarget(reason: Drop): boolean {
  return reason === Drop.TargetReset || reason === Drop.TargetClosed
}

/** The client's end was copied. */
function isNormal(reason: Drop): boolean {
  return reason === Drop.None || reason === Drop.Shutdown
}

/** Why requests of a connection are not answered. */
function reasonOf(reason: Drop, { rhythm, end }: TargetSide): Drop {
  if (reason !== Drop.None) return reason
  if (end === TargetEnd.Reset) return Drop.TargetReset
  return rhythm.isClosed ? Drop.TargetClosed : Drop.TimedOut
}
