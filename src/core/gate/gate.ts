/**
 * The gate between client side and target side: it holds each request back until the target has answered the previous
 * one, and records the exchange that it releases.
 */
import { isBefore, type Seq } from '../../wire/seq.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { NONE } from '../memory/send-pool.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { AnswerRhythm, TargetSide } from '../target/target-side.ts'
import { Epochs, type GateSettings, Release } from './epochs.ts'
import { Exchange } from './exchange.ts'

export class Gate {
  /** When to ask again; Infinity: nothing is held back, or only an event can release it. */
  lookAgainAt = Number.POSITIVE_INFINITY
  /** The target has closed, but the client has more to say, which takes a new connection. */
  isTargetGone = false
  /** The exchange that was released last. */
  readonly exchange = new Exchange()
  readonly #settings: GateSettings
  readonly #counters: Counters
  #epochs: Epochs

  constructor(settings: GateSettings, counters: Counters) {
    this.#settings = settings
    this.#counters = counters
    this.#epochs = new Epochs(settings)
  }

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.#epochs.save(snapshot)
  }

  /** Starts anew for another connection to the target, on which nothing is answered yet. */
  restart(): void {
    this.#epochs = new Epochs(this.#settings)
    this.lookAgainAt = Number.POSITIVE_INFINITY
    this.isTargetGone = false
    this.exchange.answeredAt = Number.NaN
  }

  /** Clears `lookAgainAt` before the gate is asked again in this turn. */
  beginTurn(): void {
    this.lookAgainAt = Number.POSITIVE_INFINITY
  }

  /** Takes the client's first acknowledgment number, where the source's answers begin. */
  begin(ack: Seq): void {
    this.#epochs.begin(ack)
  }

  /** Takes every captured acknowledgment number. */
  saw(ack: Seq): void {
    this.#epochs.saw(ack)
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
      const release = this.#ask(ack, false, target, now)
      if (release === Release.Closed) return false
      if (release === Release.TargetClosed) {
        this.isTargetGone = true
        return false
      }
      if (release === Release.Quiet) this.#counters.add(Counter.epochsQuiet, 1)
      if (release !== Release.SameEpoch || target.isFresh) {
        this.#begin(queue, piece, release, target.rhythm, repeatedEnd, now)
      }
    }
    queue.admit(piece)
    return true
  }

  /** Whether the client's FIN or RST may go. It waits for the answers that the client had read, but asks for none. */
  mayEnd(ack: Seq, target: TargetSide, now: number): boolean {
    return this.#ask(ack, true, target, now) !== Release.Closed
  }

  #ask(ack: Seq, isEnd: boolean, target: TargetSide, now: number): Release {
    const release = this.#epochs.ask(ack, isEnd, target, now)
    if (release === Release.Closed) this.lookAgainAt = this.#epochs.lookAgainAt
    if (release === Release.TimedOut) this.#counters.add(Counter.epochTimeouts, 1)
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
    this.#counters.add(Counter.epochs, 1)
    if (exchange.isRepeated) this.#counters.add(Counter.epochsSentAgain, 1)
  }
}
