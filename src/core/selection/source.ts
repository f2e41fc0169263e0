/**
 * Asks the source's kernel about captured connections, and limits how often. When a flood of forged packets uses up the
 * questions, nothing is believed for lack of them: what is in doubt waits. When real connections do, those beyond the
 * limit are believed, since nearly all that were asked about turned out to be real.
 */
import { type Endpoints, Flow } from '../../wire/flow.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { type CapturedFlow, type SourceSockets, SourceState } from './source-sockets.ts'

/** Questions a second, divided by the number of workers. One takes about 4 µs, so they cost at most 1 % of a core. */
export const QUESTIONS_MAX = 2000
/** Share of the questions that may be asked at once. The rest accrues over time. */
const BURST = 1 / 10
/** Share of a burst that is kept for what matters more than a bare acknowledgment. */
const RESERVE = 1 / 2
/** Handshakes that are believed without a question for each real one, less as many for each that is not. */
const CREDIT = 8
/** A burst of questions that are denied uses all credit up, so a flood leaves none. */
const CREDIT_OF_BURST = 5
/** Share of the credit that is not used, so that a few real clients in a flood do not open the door to it. */
const UNUSED = 1 / 2

export class Source {
  readonly #sockets: SourceSockets | undefined
  readonly #counters: Counters
  readonly #perMs: number
  readonly #burst: number
  readonly #creditMax: number
  #left: number
  #refilledAt = Number.NEGATIVE_INFINITY
  /** Handshakes that are believed if there is no question left. */
  #credit = 0
  readonly #flow = new Flow()
  /** The last question: several parts ask the same while they take one packet. */
  readonly #lastFlow = new Flow()
  #lastAt = Number.NaN
  #lastState: SourceState = SourceState.Unknown

  /** @param sockets undefined: the source is not this host; @param questionsMax a second */
  constructor(sockets: SourceSockets | undefined, counters: Counters, questionsMax = QUESTIONS_MAX) {
    this.#sockets = sockets
    this.#counters = counters
    this.#burst = Math.max(2, questionsMax * BURST)
    this.#perMs = Math.max(0, questionsMax - this.#burst) / 1000
    this.#creditMax = this.#burst * CREDIT_OF_BURST
    this.#left = this.#burst
  }

  get canBeAsked(): boolean {
    return this.#sockets !== undefined
  }

  /** Whether a question takes nothing from those who need it more. */
  hasTime(now: number): boolean {
    this.#refill(now)
    return this.canBeAsked && this.#left >= 1 + this.#burst * RESERVE
  }

  stateOf({ capturedAddress, capturedPort, sourceAddress, sourcePort }: CapturedFlow, now: number): SourceState {
    return this.#ask(this.#flow.set(capturedAddress, capturedPort, sourceAddress, sourcePort), 0, now)
  }

  /** The same for the connection of a client's segment. */
  stateFor(segment: Endpoints, now: number): SourceState {
    return this.#ask(this.#flow.fromClient(segment), 0, now)
  }

  /**
   * Asks whether a client's handshake is complete.
   * @param hasBytes it has sent more than an acknowledgment; these leave some questions to those who have
   * @returns Unknown: it is to be believed
   */
  handshakeOf(captured: CapturedFlow, hasBytes: boolean, now: number): SourceState {
    const { capturedAddress, capturedPort, sourceAddress, sourcePort } = captured
    return this.#askForHandshake(
      this.#flow.set(capturedAddress, capturedPort, sourceAddress, sourcePort),
      hasBytes,
      now
    )
  }

  /** The same for the connection of a client's segment. */
  handshakeFor(segment: Endpoints, hasBytes: boolean, now: number): SourceState {
    return this.#askForHandshake(this.#flow.fromClient(segment), hasBytes, now)
  }

  /** A handshake that was not confirmed turned out to be of a short connection that was over. */
  wasReal(): void {
    this.#credit = Math.min(this.#credit + 2 * CREDIT, this.#creditMax)
  }

  /** Payload bytes that it has received on the connection of the last `Connected`; NaN: unknown. */
  get receivedBytes(): number {
    return this.#sockets?.receivedBytes ?? Number.NaN
  }

  #askForHandshake(flow: Flow, hasBytes: boolean, now: number): SourceState {
    const before = this.#left
    const state = this.#ask(flow, hasBytes ? 0 : this.#burst * RESERVE, now)
    if (state === SourceState.Later && this.#credit > this.#creditMax * UNUSED) {
      this.#credit -= 1
      this.#note(flow, SourceState.Unknown, now)
      return SourceState.Unknown
    }
    if (this.#left >= before) return state
    const earned = state === SourceState.None || state === SourceState.HalfOpen ? -CREDIT : CREDIT
    this.#credit = Math.max(0, Math.min(this.#credit + earned, this.#creditMax))
    return state
  }

  /** @param reserved questions that must be left afterwards */
  #ask(flow: Flow, reserved: number, now: number): SourceState {
    if (this.#sockets === undefined) return SourceState.Unknown
    if (now === this.#lastAt && isSame(flow, this.#lastFlow)) return this.#lastState
    this.#refill(now)
    if (this.#left < 1 + reserved) {
      this.#counters.add(Counter.sourceBusy, 1)
      return SourceState.Later
    }
    this.#left -= 1
    const state = this.#sockets.stateOf(flow, now)
    this.#note(flow, state, now)
    return state
  }

  #note(flow: Flow, state: SourceState, now: number): void {
    this.#lastFlow.set(flow.clientAddress, flow.clientPort, flow.serverAddress, flow.serverPort)
    this.#lastAt = now
    this.#lastState = state
  }

  #refill(now: number): void {
    const passedMs = now - this.#refilledAt
    this.#refilledAt = now
    this.#left = passedMs < 1000 ? Math.min(this.#left + passedMs * this.#perMs, this.#burst) : this.#burst
  }
}

function isSame(a: Flow, b: Flow): boolean {
  return a.clientAddress === b.clientAddress && a.ports === b.ports && a.serverAddress === b.serverAddress
}
