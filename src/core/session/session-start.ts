/** Reads from a client's first captured segment what its session starts with. */
import type { Segment } from '../../wire/segment.ts'
import { add, type Seq } from '../../wire/seq.ts'
import { MADE_UP_SCALE } from '../target/copied-identity.ts'

export interface SessionStart {
  /** The client's initial sequence number; if no SYN was captured, the number before the first byte. */
  readonly iss: Seq
  readonly tsVal: Seq
  /** The client's window, in bytes. */
  readonly windowBytes: number
  /** When its SYN was captured, or its first bytes. */
  readonly capturedAt: number
}

/** @param isJoined the segment is not a SYN, so the session begins in mid-stream */
export function sessionStartOf(segment: Segment, isJoined: boolean, capturedAt: number): SessionStart {
  // The window of a SYN is not scaled (RFC 7323 §2.2).
  const shift = isJoined ? MADE_UP_SCALE : 0
  const iss = isJoined ? add(segment.seq, -1) : segment.seq
  return { iss, tsVal: segment.tsVal, windowBytes: segment.window << shift, capturedAt }
}
