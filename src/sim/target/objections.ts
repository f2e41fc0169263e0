/**
 * Objects to segments that a real client's TCP would never send. If a session sends one, that is a bug of the session.
 */
import assert from 'node:assert/strict'
import { ACK, RST, type Segment } from '../../wire/segment.ts'
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import { type Conversation, clientByte, offsetOf, requestLengthOf } from '../scenario/conversation.ts'

/** What the target knows about the connection of a segment. */
export interface Expected {
  readonly conversation: Conversation
  readonly mss: number
  readonly hasTimestamps: boolean
  readonly rightEdge: Seq
  readonly iss: Seq
  readonly sndMax: Seq
  readonly tsNow: number
}

const MSL_TICKS = 2 ** 31

export function objectTo(segment: Segment, expected: Expected): void {
  const { conversation, hasTimestamps, tsNow } = expected
  const length = segment.payloadLength
  const first = offsetOf(conversation, segment.seq)
  // A reset may be the answer for an older connection.
  if (segment.flags & RST) return
  const last = requestLengthOf(conversation) + 1
  assert.ok(first >= -1 && first <= last, `a segment at ${first} is not in the stream of ${last} bytes`)
  assert.ok(length <= expected.mss, `a segment of ${length} bytes is larger than the MSS`)
  assert.equal(segment.hasTimestamps, hasTimestamps)
  if (length > 0) {
    const beyond = distance(add(segment.seq, length), expected.rightEdge)
    assert.ok(beyond <= 0, `a segment goes ${beyond} bytes beyond the window`)
  }
  for (let edge = 0; edge < segment.sackCount * 2; edge++) {
    const offset = distance(seq(segment.sackEdges[edge] ?? 0), expected.iss)
    assert.ok(offset > 0 && offset <= distance(expected.sndMax, expected.iss), 'SACK of bytes that were never sent')
  }
  if (hasTimestamps && segment.flags & ACK) {
    const echo = segment.tsEcr >>> 0
    assert.ok(echo <= tsNow && tsNow - echo < MSL_TICKS, `TSecr ${echo} was never sent`)
  }
  for (let index = 0; index < length; index++) {
    const byte = segment.bytes[segment.payloadAt + index]
    if (first + index < 0) continue
    assert.equal(byte, clientByte(conversation, first + index), `byte ${first + index} is not the client's`)
  }
}
