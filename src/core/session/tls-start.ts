/**
 * Recognizes connections that use TLS. Their copies cannot work: the target's handshake has other keys than the
 * source's, so it cannot decrypt what the client has encrypted.
 */
import { payloadSeq, type Segment, SYN } from '../../wire/segment.ts'
import { distance, seq } from '../../wire/seq.ts'
import { isClientHello, isEncryptedRecord } from '../../wire/tls.ts'
import type { Session } from './session.ts'

/** Protocols that agree on TLS in clear text (STARTTLS, PostgreSQL, MySQL) need less before it. */
const CLEAR_TEXT_MAX = 4096

/** Whether the first captured segment of a connection shows that it uses TLS. */
export function isTls({ bytes, flags, payloadAt, payloadLength }: Segment): boolean {
  if (payloadLength === 0) return false
  if (isClientHello(bytes, payloadAt, payloadLength)) return true
  return (flags & SYN) === 0 && isEncryptedRecord(bytes, payloadAt, payloadLength)
}

/** Whether a later segment is the beginning of TLS. Asked only while `mayTurnToTls`. */
export function beginsTls(session: Session, segment: Segment): boolean {
  const { bytes, payloadAt, payloadLength } = segment
  if (payloadLength === 0) return false
  const { stream } = session.client
  if (distance(stream.end, seq(0)) > CLEAR_TEXT_MAX) session.mayTurnToTls = false
  const offset = distance(payloadSeq(segment), stream.base)
  if (offset < 0 || offset > CLEAR_TEXT_MAX) return false
  return isClientHello(bytes, payloadAt, payloadLength)
}
