/**
 * The gate between what the client said and what the target gets: it holds each request back until the target has
 * answered the ones before it, and records the exchange that it lets go.
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
  /** When it has to be asked again; Infinity: it holds nothing back, or nobody knows. */
  lookAgainAt = Number.POSITIVE_INFINITY
  /** The target closed, but the client has more to say: that takes a new connection. */
  isTargetGone = false
  /** The exchange that was let go last. */
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

  /** Another connection to the target begins, on which nothing is answered yet. */
  restart(): void {
    this.#epochs = new Epochs(this.#settings)
    this.lookAgainAt = Number.POSITIVE_INFINITY
    this.isTargetGone = false
    this.exchange.answeredAt = Number.NaN
  }

  /** What is due is looked at now; what is held back once more tells when to look again. */
  beginTurn(): void {
    this.lookAgainAt = Number.POSITIVE_INFINITY
  }

  /** The client's first acknowledgment: it tells where the source's answers begin. */
  begin(ack: Seq): void {
    this.#epochs.begin(ack)
  }

  /** Of every captured acknowledgment. */
  saw(ack: Seq): void {
    this.#epochs.saw(ack)
  }

  /**
   * Admits the next piece of the queue, if it may go.
   * @param repeatedEnd one beyond the last byte that was sent on a connection before this one
   * @returns false if it has to wait, or there is none
   */
  admit(queue: SendQueue, target: TargetSide, repeatedEnd: Seq | undefined, now: number): boolean {
    const { pool } = queue
    const piece = queue.nextToAdmit
    if (piece === NONE) return false
    // Bytes of a SYN wait for nothing.
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

  /** Whether the client's FIN or RST may go: it waits for the answers that the client had read, but asks for none. */
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
