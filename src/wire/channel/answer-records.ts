/**
 * The target's answers in version 2 of the channel: merged segments of one flow (`AnswerRecord`), and captured headers.
 * docs/channel.md has the layouts.
 */
import { copyBytes, float64At, i32, int32At, put16, put32, u8, u16 } from '../bytes.ts'
import { Flaw } from '../flaw.ts'
import { Flow } from '../flow.ts'
import {
  ACK,
  FIN,
  fillTcp,
  IPV4_HEADER,
  OptionKind,
  PSH,
  RST,
  readOptions,
  type Segment,
  SYN,
  TCP_HEADER
} from '../segment.ts'
import { add, type Seq, seq } from '../seq.ts'
import {
  flowLength,
  putFlow,
  putRecordHead,
  RECORD_HEAD,
  RecordType,
  readFlow,
  recordLength,
  recordShape,
  shapeOf
} from './channel-v2.ts'
import { stepOf, stepStart } from './log-linear.ts'

export const RANGES_MAX = 4
export const DUPLICATES_MAX = 255
/** Most bytes of one range. */
export const RANGE_LENGTH_MAX = 0x3fffffff
const RANGE_PSH = 0x80000000 | 0
const RANGE_FIN = 0x40000000

const SHAPE_TIMESTAMPS = 0x40
/** Bytes of acknowledgment number, window, duplicates and age. */
const FIXED = 8

/** An age has 2³ steps for each doubling; see `log-linear.ts`. */
const AGE_BITS = 3
const AGE_MAX_US = 0x7fffffff
const AGES_MS = Float64Array.from({ length: 256 }, (_, step) =>
  step === 0 ? Number.NaN : (stepStart(step, AGE_BITS) + stepStart(step + 1, AGE_BITS) - 1) / 2000
)

/**
 * An age as one byte: microseconds in steps of 1/8, at least 1.
 * @param ms NaN: unknown
 * @returns 0: unknown
 */
export function ageByte(ms: number): number {
  if (Number.isNaN(ms)) return 0
  return stepOf(Math.min(Math.max(ms * 1000, 1), AGE_MAX_US) | 0, AGE_BITS)
}

/** @returns the middle of the step, in ms; NaN: unknown. @param age as `ageByte` returns it */
export function ageMs(age: number): number {
  return float64At(AGES_MS, age)
}

/** Merged segments of one flow, in an object that is reused. See docs/channel.md, "answers". */
export class AnswerRecord {
  /** The server is the target. When read, an address of 0 is an IPv6 address that is not in the address book. */
  readonly flow = new Flow()
  /** TCP flags without PSH and FIN. */
  flags = 0
  ack: Seq = seq(0)
  /** As on the wire, not scaled. */
  window = 0
  duplicates = 0
  /** How long the newest segment had been at the assistant when the record was written: an `ageByte`. */
  age = 0
  hasTimestamps = false
  tsVal: Seq = seq(0)
  tsEcr: Seq = seq(0)
  /** Two words for each range: first sequence number; PSH, FIN and length. */
  readonly ranges = new Int32Array(RANGES_MAX * 2)
  rangeCount = 0
  readonly sackEdges = new Int32Array(8)
  sackCount = 0

  rangeStart(index: number): Seq {
    return seq(int32At(this.ranges, index * 2))
  }
  rangeLength(index: number): number {
    return int32At(this.ranges, index * 2 + 1) & RANGE_LENGTH_MAX
  }
  /** The TCP flags PSH and FIN of a range. */
  rangeFlags(index: number): number {
    const word = int32At(this.ranges, index * 2 + 1)
    return (word & RANGE_PSH ? PSH : 0) | (word & RANGE_FIN ? FIN : 0)
  }
  setRange(index: number, start: Seq, length: number, flags: number): void {
    this.ranges[index * 2] = start
    this.ranges[index * 2 + 1] = length | (flags & PSH ? RANGE_PSH : 0) | (flags & FIN ? RANGE_FIN : 0)
  }
  /** The sequence number after the last range and its FIN. */
  get end(): Seq {
    const last = this.rangeCount - 1
    return add(this.rangeStart(last), this.rangeLength(last) + (this.rangeFlags(last) & FIN ? 1 : 0))
  }
  /** Number of segments that it stands for. */
  get segmentCount(): number {
    return this.rangeCount + this.duplicates
  }
}

function answersLength(shape: number): number {
  const pairs = (shape & 7) + ((shape >>> 3) & 7) + (shape & SHAPE_TIMESTAMPS ? 1 : 0)
  return RECORD_HEAD + flowLength(shape) + FIXED + pairs * 8
}

/** @returns bytes written, at most 128 */
export function putAnswerRecord(answers: AnswerRecord, bytes: Uint8Array, at: number): number {
  const { flow, rangeCount, sackCount, hasTimestamps } = answers
  const shape = rangeCount | (sackCount << 3) | (hasTimestamps ? SHAPE_TIMESTAMPS : 0) | shapeOf(flow.serverAddress)
  const length = answersLength(shape)
  putRecordHead(bytes, at, RecordType.Answers, length, shape)
  bytes[at + 3] = answers.flags
  putFlow(bytes, at + RECORD_HEAD, flow)
  let next = at + RECORD_HEAD + flowLength(shape)
  put32(bytes, next, answers.ack)
  put16(bytes, next + 4, answers.window)
  bytes[next + 6] = answers.duplicates
  bytes[next + 7] = answers.age
  next += FIXED
  if (hasTimestamps) {
    put32(bytes, next, answers.tsVal)
    put32(bytes, next + 4, answers.tsEcr)
    next += 8
  }
  next = putWords(answers.ranges, rangeCount * 2, bytes, next)
  putWords(answers.sackEdges, sackCount * 2, bytes, next)
  return length
}

function putWords(words: Int32Array, count: number, bytes: Uint8Array, at: number): number {
  for (let index = 0; index < count; index++) put32(bytes, at + index * 4, int32At(words, index))
  return at + count * 4
}

/** @returns false if the record contradicts its shape; all of the record must be present */
export function parseAnswerRecord(bytes: Uint8Array, at: number, answers: AnswerRecord): boolean {
  const shape = recordShape(bytes, at)
  const rangeCount = shape & 7
  const sackCount = (shape >>> 3) & 7
  if (recordLength(bytes, at) !== answersLength(shape)) return false
  if (rangeCount === 0 || rangeCount > RANGES_MAX || sackCount > 4) return false
  readFlow(bytes, at, answers.flow)
  answers.flags = u8(bytes, at + 3) & ~(PSH | FIN | SYN | RST)
  let next = at + RECORD_HEAD + flowLength(shape)
  answers.ack = seq(i32(bytes, next))
  answers.window = u16(bytes, next + 4)
  answers.duplicates = u8(bytes, next + 6)
  answers.age = u8(bytes, next + 7)
  next += FIXED
  answers.hasTimestamps = (shape & SHAPE_TIMESTAMPS) !== 0
  if (answers.hasTimestamps) {
    answers.tsVal = seq(i32(bytes, next))
    answers.tsEcr = seq(i32(bytes, next + 4))
    next += 8
  }
  answers.rangeCount = rangeCount
  answers.sackCount = sackCount
  for (let word = 0; word < rangeCount * 2; word++) answers.ranges[word] = i32(bytes, next + word * 4)
  next += rangeCount * 8
  for (let word = 0; word < sackCount * 2; word++) answers.sackEdges[word] = i32(bytes, next + word * 4)
  return true
}

/** The flow of the header record at hand. */
const headerFlow = new Flow()

/** Makes a segment one that the flow's server sent. */
function fillAddresses(flow: Flow, segment: Segment): void {
  segment.fromAddress = flow.serverAddress
  segment.fromPort = flow.serverPort
  segment.toAddress = flow.clientAddress
  segment.toPort = flow.clientPort
}

/** TCP header of the segments that a record stands for. `--trace` reads their options from it. */
const header = new Uint8Array(TCP_HEADER + 2 + 10 + 2 + 2 + 32)

/** Fills the fields that all segments of a record share. `fillAnswer` fills the others. */
export function fillFromRecord(answers: AnswerRecord, segment: Segment): void {
  fillAddresses(answers.flow, segment)
  segment.ack = answers.ack
  segment.window = answers.window
  segment.mss = 0
  segment.windowScale = -1
  segment.sackPermitted = false
  segment.hasTimestamps = answers.hasTimestamps
  segment.tsVal = answers.tsVal
  segment.tsEcr = answers.tsEcr
  segment.sackCount = answers.sackCount
  for (let edge = 0; edge < answers.sackCount * 2; edge++) segment.sackEdges[edge] = int32At(answers.sackEdges, edge)
  segment.bytes = header
  segment.tcpAt = 0
  segment.payloadAt = putOptions(answers)
}

/** Fills one segment of a record. @param index below `segmentCount` */
export function fillAnswer(answers: AnswerRecord, index: number, segment: Segment): void {
  const isRange = index < answers.rangeCount
  segment.seq = isRange ? answers.rangeStart(index) : answers.end
  segment.payloadLength = isRange ? answers.rangeLength(index) : 0
  segment.flags = answers.flags | (isRange ? answers.rangeFlags(index) : 0)
  segment.tcpLength = segment.payloadAt + segment.payloadLength
}

/** @returns end of the options in `header` */
function putOptions(answers: AnswerRecord): number {
  let at = TCP_HEADER
  if (answers.hasTimestamps) {
    header[at] = OptionKind.Nop
    header[at + 1] = OptionKind.Nop
    header[at + 2] = OptionKind.Timestamps
    header[at + 3] = 10
    put32(header, at + 4, answers.tsVal)
    put32(header, at + 8, answers.tsEcr)
    at += 12
  }
  if (answers.sackCount > 0) {
    header[at] = OptionKind.Nop
    header[at + 1] = OptionKind.Nop
    header[at + 2] = OptionKind.Sack
    header[at + 3] = 2 + answers.sackCount * 8
    at = putWords(answers.sackEdges, answers.sackCount * 2, header, at + 4)
  }
  header[12] = (at / 4) << 4
  return at
}

/**
 * Writes the header record of a captured segment.
 * @param captured the packet's headers as `putHeader` writes them, from `capturedAt`
 * @param segment the same packet, parsed
 * @returns bytes written, at most 104
 */
export function putHeaderRecord(
  captured: Uint8Array,
  capturedAt: number,
  segment: Segment,
  bytes: Uint8Array,
  at: number
): number {
  const tcpAt = capturedAt + IPV4_HEADER
  const tcpHeader = (u8(captured, tcpAt + 12) >>> 4) * 4
  const shape = shapeOf(segment.fromAddress)
  const lengthAt = at + RECORD_HEAD + flowLength(shape)
  const length = lengthAt + 4 + tcpHeader - at
  putRecordHead(bytes, at, RecordType.Header, length, shape)
  putFlow(bytes, at + RECORD_HEAD, headerFlow.fromServer(segment))
  put32(bytes, lengthAt, segment.payloadLength)
  copyBytes(captured, tcpAt, bytes, lengthAt + 4, tcpHeader)
  return length
}

/**
 * Reads a header record, all of which must be present, into a segment without payload bytes.
 * @returns BadHeader if the record contradicts its shape
 */
export function parseHeaderRecord(bytes: Uint8Array, at: number, segment: Segment): Flaw {
  const shape = recordShape(bytes, at)
  const tcpAt = at + RECORD_HEAD + flowLength(shape) + 4
  const end = at + recordLength(bytes, at)
  if (end - tcpAt < TCP_HEADER) return Flaw.BadHeader
  if ((u8(bytes, tcpAt + 12) >>> 4) * 4 !== end - tcpAt) return Flaw.BadHeader
  fillTcp(bytes, tcpAt, segment)
  readOptions(bytes, tcpAt + TCP_HEADER, end, segment)
  segment.bytes = bytes
  readFlow(bytes, at, headerFlow)
  fillAddresses(headerFlow, segment)
  segment.tcpAt = tcpAt
  segment.payloadAt = end
  segment.payloadLength = i32(bytes, tcpAt - 4) & RANGE_LENGTH_MAX
  segment.tcpLength = end - tcpAt + segment.payloadLength
  return Flaw.None
}

/** Whether a segment may be merged with others: it has ACK, but neither SYN nor RST. */
export function isOrdinary(flags: number): boolean {
  return (flags & (ACK | SYN | RST)) === ACK
}
