/**
 * The gate between client side and target side: it holds each request back until the target has answered the previous
 * one, and records the exchange that it releases.
 */
import type { Segment } from '../../wire/segment.ts'
import { distance, isBefore, type Seq } from '../../wire/seq.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { MapCount, type MapCounts } from '../books/map-counts.ts'
import { NONE } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { CopiedIdentity } from '../target/copied-identity.ts'
import { type AnswerRhythm, type TargetSide, TargetState } from '../target/target-side.ts'
import type { ConnectionUse } from './connection-use.ts'
import { afterAck, isDuplex } from './duplex-watch.ts'
import { Asking, Epochs, type GateSettings, Release } from './epochs.ts'
import { Exchange } from './exchange.ts'
import { type ClientEnd, type IdleTime, Outcomes } from './outcomes.ts'

/** If a SYN has no MSS option (RFC 9293 §3.7.1). */
const MSS_DEFAULT = 536
/** Bytes of the timestamps option in a segment. */
const TIMESTAMPS_LENGTH = 12

/** What all gates of a worker share. */
export interface GateContext {
  readonly settings: { readonly gate: GateSettings; readonly isWithoutAcks: boolean }
  readonly counters: Counters
  readonly mapCounts: MapCounts
  readonly idlePolicy: IdleTime
}

export class Gate {
  /** When to ask again; Infinity: nothing is held back, or only an event can release it. */
  lookAgainAt = Number.POSITIVE_INFINITY
  /** The target has closed, but the client has more to say, which takes a new connection. */
  isTargetGone = false
  /** Created when first needed, since many connections never get so far. */
  #exchange: Exchange | undefined
  /** Undefined: no request was sent yet. */
  outcomes: Outcomes | undefined
  readonly #context: GateContext
  readonly #identity: Pick<CopiedIdentity, 'mapIndex' | 'mss'>
  readonly #judging: { readonly use: ConnectionUse }
  /** The connection is of use, whatever follows. */
  #isUseProven = false
  /** See `afterAck`. */
  #duplex = 0
  /** The client's latest acknowledgment number, on whatever connection; undefined: none is known. */
  #latestAck: Seq | undefined
  readonly #queue: SendQueue
  #epochs: Epochs

  /** @param judging its `use` is told how the target answers */
  constructor(
    context: GateContext,
    identity: Pick<CopiedIdentity, 'mapIndex' | 'mss'>,
    judging: { readonly use: ConnectionUse },
    queue: SendQueue
  ) {
    this.#queue = queue
    this.#context = context
    this.#identity = identity
    this.#judging = judging
    this.#epochs = new Epochs(context.settings.gate)
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#epochs.save(snapshot)
    this.#latestAck = this.#epochs.latestAck
    this.#duplex = snapshot.short(this.#duplex)
    this.#epochs.isUngated = isDuplex(this.#duplex)
    // Whether it is settled now is asked at once.
    if (this.#queue.requests.open > 0) this.#follow().settleAt = 0
  }

  /** Starts anew for another connection to the target, on which nothing is answered yet. */
  restart(): void {
    this.#epochs = new Epochs(this.#context.settings.gate)
    this.#epochs.isUngated = isDuplex(this.#duplex)
    this.#isUseProven = false
    this.lookAgainAt = Number.POSITIVE_INFINITY
    this.isTargetGone = false
    if (this.#exchange !== undefined) this.#exchange.answeredAt = Number.NaN
  }

  /** The exchange that was released last. */
  get exchange(): Exchange {
    this.#exchange ??= new Exchange()
    return this.#exchange
  }

  /** Clears `lookAgainAt` before the gate is asked again in this turn. */
  beginTurn(): void {
    this.lookAgainAt = Number.POSITIVE_INFINITY
  }

  /** Takes the client's first acknowledgment number, where the source's answers begin. */
  begin(ack: Seq): void {
    this.#epochs.begin(ack)
  }

  /** Takes every captured segment with an acknowledgment number. @param isRequest a request may begin with it */
  saw(segment: Segment, isRequest: boolean, now: number): void {
    const { ack } = segment
    const advance = this.#latestAck === undefined ? 0 : distance(ack, this.#latestAck)
    if (advance <= 0 && this.#latestAck !== undefined) return
    this.#latestAck = ack
    this.#epochs.saw(ack)
    if (advance === 0) return
    if (this.outcomes !== undefined) {
      this.outcomes.readAt = now
      this.#queue.requests.starts.saw(ack)
    }
    if (isDuplex(this.#duplex) || !this.#context.settings.gate.isWaiting) return
    const segmentBytes = (this.#identity.mss || MSS_DEFAULT) - (segment.hasTimestamps ? TIMESTAMPS_LENGTH : 0)
    this.#duplex = afterAck(this.#duplex, advance, isRequest, segmentBytes)
    if (!isDuplex(this.#duplex)) return
    this.#epochs.isUngated = true
    this.#context.counters.add(Counter.sessionsUngated, 1)
  }

  /** See `Outcomes`. */
  settleIdle(target: TargetSide, now: number): void {
    this.outcomes?.settleIdle(this.#epochs, target, this.#context.settings.isWithoutAcks, now)
  }

  /** The connection has ended, and what it has not delivered is given up or taken back: settles all that was sent. */
  settle(target: TargetSide, end: ClientEnd, now: number): void {
    this.outcomes?.ended(this.#epochs, target, end, now)
  }

  /** The connection has ended. The client's next request will tell how much it had read of the last answer. */
  ended({ state, rhythm }: TargetSide): void {
    const epochs = this.#epochs
    if (state === TargetState.Waiting) return
    const isGated = this.#context.settings.gate.isWaiting && !epochs.isUngated
    if (!isGated) this.#judging.use.answeredInAll(epochs.readBytes, rhythm.receivedBytes)
    this.#judging.use.ended(epochs.releasedAck, epochs.answeredBytes(rhythm))
  }

  /**
   * Admits the next piece of the queue if it may go.
   * @param repeatedEnd offset after the last byte that was sent on an earlier connection
   * @returns false if the piece has to wait, or there is none
   */
  admit(queue: SendQueue, target: TargetSide, repeatedEnd: Seq | undefined, now: number): boolean {
    const { pool } = queue
    const piece = queue.nextToAdmit
    if (piece === NONE) return false
    // Bytes of a SYN do not wait.
    if (!pool.isFromSyn(piece)) {
      const ack = pool.ack(piece)
      const release = this.#ask(ack, Asking.Request, target, now)
      if (release === Release.Closed) return false
      if (release === Release.TargetClosed) {
        this.isTargetGone = true
        return false
      }
      if (release === Release.Quiet) this.#context.counters.add(Counter.epochsQuiet, 1)
      if (release !== Release.SameEpoch || target.isFresh) {
        this.#begin(queue, piece, release, target.rhythm, repeatedEnd, now)
      }
    }
    if (pool.isStart(piece)) {
      pool.markReleased(piece)
      this.#follow().released(now)
    }
    queue.admit(piece)
    return true
  }

  /**
   * Whether the client's FIN or RST may go. It waits for the answers that the client had read, but asks for none.
   * @param isPortWanted a new connection waits for its port
   */
  mayEnd(ack: Seq, target: TargetSide, isPortWanted: boolean, now: number): boolean {
    return this.#ask(ack, isPortWanted ? Asking.HurriedEnd : Asking.End, target, now) !== Release.Closed
  }

  #follow(): Outcomes {
    const { settings, idlePolicy } = this.#context
    this.outcomes ??= new Outcomes(this.#queue.requests, this.exchange, idlePolicy, settings.gate.timeoutMs)
    return this.outcomes
  }

  #ask(ack: Seq, asking: Asking, target: TargetSide, now: number): Release {
    const { counters, mapCounts } = this.#context
    const release = this.#epochs.ask(ack, asking, target, now)
    if (release === Release.SameEpoch) return release
    if (release === Release.Closed) {
      this.lookAgainAt = this.#epochs.lookAgainAt
      return release
    }
    if (release === Release.TimedOut || release === Release.NotClosed) counters.add(Counter.epochTimeouts, 1)
    this.outcomes?.followed(this.#epochs, release, asking, target, now)
    if (release === Release.TimedOut) mapCounts.add(this.#identity.mapIndex, MapCount.Unanswered)
    // What the client had read before its first request answers none.
    if (target.isFresh) this.#judging.use.isServerFirst = true
    else if (!this.#isUseProven) {
      this.#isUseProven = this.#judging.use.answered(this.#epochs.answerBytes, this.#epochs.targetBytes)
    }
    return release
  }

  #begin(
    queue: SendQueue,
    piece: number,
    release: Release,
    rhythm: AnswerRhythm,
    repeatedEnd: Seq | undefined,
    now: number
  ): void {
    const { exchange } = this
    const { pool } = queue
    const hasWaited = release === Release.Answered && this.#epochs.hasWaited
    exchange.offset = pool.offset(piece)
    exchange.capturedAt = pool.capturedAt(piece)
    exchange.releasedAt = now
    exchange.release = release
    exchange.isRepeated = repeatedEnd !== undefined && isBefore(exchange.offset, repeatedEnd)
    exchange.sourceAnswerBytes = this.#epochs.answerBytes
    exchange.targetAnswerBytes = rhythm.receivedBytes
    exchange.answeredAt = hasWaited ? rhythm.arrivedAt : Number.NaN
    this.#context.counters.add(Counter.epochs, 1)
    this.#context.mapCounts.add(this.#identity.mapIndex, MapCount.Requests)
    if (exchange.isRepeated) this.#context.counters.add(Counter.epochsSentAgain, 1)
  }
}
