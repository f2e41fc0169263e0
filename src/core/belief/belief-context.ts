/** What belief is given: facts of the connection, and what all connections of a worker share. */
import { Flow } from '../../wire/flow.ts'
import type { Seq } from '../../wire/seq.ts'
import type { Counters } from '../books/counters.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'
import { HeldSegments } from './held-segments.ts'

/** A connection of the source, as captured. */
export interface CapturedConnection {
  readonly capturedAddress: number
  readonly capturedPort: number
  readonly sourceAddress: number
  readonly sourcePort: number
  readonly windowScale: number
  /** The capture begins in mid-stream. */
  readonly isJoined: boolean
}

/** The part of a client's stream that belief reads. */
export interface KnownStream {
  /** Offset after the last contiguous byte. */
  readonly end: Seq
  readonly hasFin: boolean
  readonly finAt: Seq
  offsetOf(sequence: Seq): Seq
}

/** What all connections of a worker share. */
export class BeliefContext {
  readonly counters: Counters
  readonly held: HeldSegments
  /** `--acks drop`: acknowledgment numbers may jump by a whole answer. */
  readonly isWithoutAcks: boolean
  readonly #source: SourceSockets | undefined
  readonly #flow = new Flow()

  /** @param source undefined: the source's kernel cannot be asked */
  constructor(counters: Counters, source: SourceSockets | undefined, isWithoutAcks: boolean) {
    this.counters = counters
    this.held = new HeldSegments(counters)
    this.isWithoutAcks = isWithoutAcks
    this.#source = source
  }

  get hasSource(): boolean {
    return this.#source !== undefined
  }

  /** What the source's kernel knows of a connection. */
  stateOf({ capturedAddress, capturedPort, sourceAddress, sourcePort }: CapturedConnection, now: number): SourceState {
    const flow = this.#flow.set(capturedAddress, capturedPort, sourceAddress, sourcePort)
    return this.#source?.stateOf(flow, now) ?? SourceState.Unknown
  }

  /** Payload bytes that it has received on the connection of the last `Connected`; NaN: unknown. */
  get receivedBytes(): number {
    return this.#source?.receivedBytes ?? Number.NaN
  }
}
