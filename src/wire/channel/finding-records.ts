/** Records about what intercept has seen of a target: the question of tcpcopy, and the findings. docs/channel.md */
import { i32, put16, put32, u8 } from '../bytes.ts'
import type { Flow } from '../flow.ts'
import {
  flowLength,
  flowRecordLength,
  putFlow,
  putFlowRecord,
  putRecordHead,
  RECORD_HEAD,
  RecordType,
  recordLength,
  recordShape,
  shapeOf
} from './channel-v2.ts'

/** Bytes after the flow. */
const BODY_LENGTH = 36
/** Bits of byte 3. */
const FORWARDS = 1
const INCOMPLETE = 2

/** What intercept has seen of one target since its start. Ages are in ms; Infinity: never. */
export interface Findings {
  /** The assistant forwards packets, and nothing keeps the answers. */
  forwards: boolean
  /** There are more targets than intercept keeps apart, so the rest says nothing. */
  isIncomplete: boolean
  /** Routes that it has for any target. */
  routes: number
  /** SYN-ACKs for which there was a route, and the others. */
  routed: number
  unrouted: number
  resets: number
  routedAgeMs: number
  unroutedAgeMs: number
  resetAgeMs: number
  /** Since any packet matched the filter. */
  capturedAgeMs: number
  /** TTL of the last SYN-ACK and the last reset; 0: there was none. */
  synAckTtl: number
  resetTtl: number
}

export function noFindings(): Findings {
  const never = Number.POSITIVE_INFINITY
  return {
    forwards: false,
    isIncomplete: false,
    routes: 0,
    routed: 0,
    unrouted: 0,
    resets: 0,
    routedAgeMs: never,
    unroutedAgeMs: never,
    resetAgeMs: never,
    capturedAgeMs: never,
    synAckTtl: 0,
    resetTtl: 0
  }
}

/** @param flow whose server is the target; the client is 0 */
export function putQuestion(bytes: Uint8Array, at: number, flow: Flow): void {
  putFlowRecord(bytes, at, RecordType.Question, flow)
}

export function findingsLength(target: number): number {
  return flowRecordLength(target) + BODY_LENGTH
}

export function putFindings(bytes: Uint8Array, at: number, flow: Flow, findings: Findings): void {
  const { serverAddress } = flow
  putRecordHead(bytes, at, RecordType.Findings, findingsLength(serverAddress), shapeOf(serverAddress))
  bytes[at + 3] = (findings.forwards ? FORWARDS : 0) | (findings.isIncomplete ? INCOMPLETE : 0)
  putFlow(bytes, at + RECORD_HEAD, flow)
  const bodyAt = at + flowRecordLength(serverAddress)
  const { routes, routed, unrouted, resets } = findings
  const { routedAgeMs, unroutedAgeMs, resetAgeMs, capturedAgeMs } = findings
  const words = [routes, routed, unrouted, resets, routedAgeMs, unroutedAgeMs, resetAgeMs, capturedAgeMs]
  for (const [index, word] of words.entries()) put32(bytes, bodyAt + 4 * index, Math.min(0xffffffff, Math.floor(word)))
  bytes[bodyAt + 32] = findings.synAckTtl
  bytes[bodyAt + 33] = findings.resetTtl
  put16(bytes, bodyAt + 34, 0)
}

/** @returns whether the length of findings matches their shape */
export function areFindingsWhole(bytes: Uint8Array, at: number): boolean {
  return recordLength(bytes, at) === RECORD_HEAD + flowLength(recordShape(bytes, at)) + BODY_LENGTH
}

/** Reads all but the flow, which `readFlow` reads. */
export function parseFindings(bytes: Uint8Array, at: number): Findings {
  const bodyAt = at + RECORD_HEAD + flowLength(recordShape(bytes, at))
  const count = (index: number): number => i32(bytes, bodyAt + 4 * index) >>> 0
  const age = (index: number): number => (count(index) === 0xffffffff ? Number.POSITIVE_INFINITY : count(index))
  return {
    forwards: (u8(bytes, at + 3) & FORWARDS) !== 0,
    isIncomplete: (u8(bytes, at + 3) & INCOMPLETE) !== 0,
    routes: count(0),
    routed: count(1),
    unrouted: count(2),
    resets: count(3),
    routedAgeMs: age(4),
    unroutedAgeMs: age(5),
    resetAgeMs: age(6),
    capturedAgeMs: age(7),
    synAckTtl: u8(bytes, bodyAt + 32),
    resetTtl: u8(bytes, bodyAt + 33)
  }
}
