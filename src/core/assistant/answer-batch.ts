/**
 * A batch merges what the target sent in one turn of intercept: one record for each flow, or several where merging
 * would hide something. docs/channel.md says what a record may hold. Records are sent in the order in which they were
 * started, so those of one flow keep the order of its packets.
 */
import { int32At } from '../../wire/bytes.ts'
import {
  AnswerRecord,
  ageByte,
  DUPLICATES_MAX,
  putAnswerRecord,
  putHeaderRecord,
  RANGE_LENGTH_MAX,
  RANGES_MAX
} from '../../wire/channel/answer-records.ts'
import { RECORD_MAX } from '../../wire/channel/channel-v2.ts'
import { FIN, PSH, type Segment } from '../../wire/segment.ts'
import { add, isAfter, isBefore } from '../../wire/seq.ts'

/** Records of a batch. A full batch is flushed before the end of the turn. */
const ENTRIES_MAX = 256

/** Takes a record for a peer. @param segments number of captured segments in it */
export type RecordSink = (peer: number, record: Uint8Array, length: number, segments: number) => void

class Entry {
  peer = 0
  slot = 0
  readonly answers = new AnswerRecord()
  /** Number of captured segments in it. */
  segments = 0
  /** When the newest of them was captured; NaN: unknown. */
  arrivedAt = Number.NaN
  /** Length of `header`, if the entry is a single header; 0: the entry is `answers`. */
  headerLength = 0
  readonly header = new Uint8Array(RECORD_MAX)
}

export class AnswerBatch {
  readonly #entries = Array.from({ length: ENTRIES_MAX }, () => new Entry())
  #count = 0
  /** Slot of a route → 1 + index of its open entry; 0: none. */
  #openOf = new Int32Array(1024)
  readonly #sink: RecordSink
  readonly #record = new Uint8Array(RECORD_MAX)

  constructor(sink: RecordSink) {
    this.#sink = sink
  }

  /** @param slot of the flow's route; it must not change before `flush` */
  add(slot: number, peer: number, segment: Segment): void {
    if (slot >= this.#openOf.length) this.#grow(slot)
    const open = int32At(this.#openOf, slot)
    const before = open > 0 ? this.#entries[open - 1] : undefined
    if (before !== undefined && extend(before.answers, segment)) {
      before.segments += 1
      before.arrivedAt = segment.arrivedAt
      return
    }
    const entry = this.#begin(slot, peer, segment)
    begin(entry.answers, segment)
    this.#openOf[slot] = this.#count
  }

  /**
   * Adds a segment that is not merged with others.
   * @param captured its headers, as `putHeader` writes them
   */
  addHeader(slot: number, peer: number, captured: Uint8Array, segment: Segment): void {
    const entry = this.#begin(slot, peer, segment)
    entry.headerLength = putHeaderRecord(captured, 0, segment, entry.header, 0)
    if (slot < this.#openOf.length) this.#openOf[slot] = 0
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Gives all records to the sink. @param now on the clock of the segments' `arrivedAt` */
  flush(now: number): void {
    for (let index = 0; index < this.#count; index++) {
      const entry = this.#entries[index]
      if (entry === undefined) continue
      if (entry.slot < this.#openOf.length) this.#openOf[entry.slot] = 0
      if (entry.headerLength > 0) {
        this.#sink(entry.peer, entry.header, entry.headerLength, 1)
        continue
      }
      entry.answers.age = ageByte(now - entry.arrivedAt)
      this.#sink(entry.peer, this.#record, putAnswerRecord(entry.answers, this.#record, 0), entry.segments)
    }
    this.#count = 0
  }

  #begin(slot: number, peer: number, segment: Segment): Entry {
    // The new segment arrived last, so its arrival serves as the current time.
    if (this.#count === ENTRIES_MAX) this.flush(segment.arrivedAt)
    const entry = this.#entries[this.#count++]
    if (entry === undefined) throw new Error('a batch has no entry left')
    entry.slot = slot
    entry.peer = peer
    entry.segments = 1
    entry.arrivedAt = segment.arrivedAt
    entry.headerLength = 0
    return entry
  }

  #grow(slot: number): void {
    const larger = new Int32Array(Math.max(this.#openOf.length * 2, slot + 1))
    larger.set(this.#openOf)
    this.#openOf = larger
  }
}

/** Starts a record with an ordinary segment. */
function begin(answers: AnswerRecord, segment: Segment): void {
  answers.flow.fromServer(segment)
  answers.flags = segment.flags & ~(PSH | FIN)
  answers.hasTimestamps = segment.hasTimestamps
  answers.duplicates = 0
  answers.rangeCount = 0
  addRange(answers, segment)
  takeLatest(answers, segment)
}

/** Adds an ordinary segment to a record of its flow. @returns false if that would hide something */
function extend(answers: AnswerRecord, segment: Segment): boolean {
  const { flags, payloadLength, ack, window } = segment
  if ((flags & ~(PSH | FIN)) !== answers.flags || segment.hasTimestamps !== answers.hasTimestamps) return false
  if (isBefore(ack, answers.ack)) return false
  if (window !== answers.window && (window === 0 || answers.window === 0)) return false
  const isNewer = isAfter(ack, answers.ack)
  const isPure = payloadLength === 0 && (flags & FIN) === 0
  if (isPure ? !addPure(answers, segment, isNewer) : !addPayload(answers, segment, isNewer)) return false
  if (isNewer && !isPure) answers.duplicates = 0
  takeLatest(answers, segment)
  return true
}

function addPure(answers: AnswerRecord, segment: Segment, isNewer: boolean): boolean {
  if (segment.seq !== answers.end) return false
  if (isNewer) {
    answers.duplicates = 0
    return true
  }
  if (segment.window !== answers.window || answers.duplicates === DUPLICATES_MAX) return false
  answers.duplicates += 1
  return true
}

function addPayload(answers: AnswerRecord, segment: Segment, isNewer: boolean): boolean {
  const isWindowOnly = !isNewer && segment.window !== answers.window
  if (isWindowOnly && hasPure(answers)) return false
  const last = answers.rangeCount - 1
  const length = answers.rangeLength(last)
  const lastFlags = answers.rangeFlags(last)
  const isNext = length > 0 && (lastFlags & FIN) === 0 && segment.seq === add(answers.rangeStart(last), length)
  if (isNext && length + segment.payloadLength <= RANGE_LENGTH_MAX) {
    answers.setRange(last, answers.rangeStart(last), length + segment.payloadLength, segment.flags)
    return true
  }
  // A pure acknowledgment is superseded by this newer one.
  if (isNewer && last === 0 && length === 0 && (lastFlags & FIN) === 0) answers.rangeCount = 0
  if (answers.rangeCount === RANGES_MAX) return false
  addRange(answers, segment)
  return true
}

function hasPure(answers: AnswerRecord): boolean {
  if (answers.duplicates > 0) return true
  for (let index = 0; index < answers.rangeCount; index++) {
    if (answers.rangeLength(index) === 0 && (answers.rangeFlags(index) & FIN) === 0) return true
  }
  return false
}

function addRange(answers: AnswerRecord, segment: Segment): void {
  answers.setRange(answers.rangeCount, segment.seq, segment.payloadLength, segment.flags)
  answers.rangeCount += 1
}

/** Sets the fields that all segments of the record share to those of the newest. */
function takeLatest(answers: AnswerRecord, segment: Segment): void {
  answers.ack = segment.ack
  answers.window = segment.window
  answers.tsVal = segment.tsVal
  answers.tsEcr = segment.tsEcr
  answers.sackCount = segment.sackCount
  for (let edge = 0; edge < segment.sackCount * 2; edge++) answers.sackEdges[edge] = int32At(segment.sackEdges, edge)
}
