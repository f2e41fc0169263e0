/** What belief is given: facts of the connection, and what all connections of a worker share. */
import type { Seq } from '../../wire/seq.ts'
import type { Counters } from '../books/counters.ts'
import type { Source } from '../selection/source.ts'
import type { CapturedFlow } from '../selection/source-sockets.ts'
import { HeldSegments } from './held-segments.ts'

/** A connection of the source, as captured. */
export interface CapturedConnection extends CapturedFlow {
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
  readonly source: Source

  constructor(counters: Counters, source: Source, isWithoutAcks: boolean) {
    this.counters = counters
    this.held = new HeldSegments(counters)
    this.isWithoutAcks = isWithoutAcks
    this.source = source
  }
}
