/** Recognizes TLS by the first bytes of what a client sends (RFC 8446 §5.1, §4.1.2; RFC 5246 §6.2.1). */
import { u8, u16 } from './bytes.ts'

const HANDSHAKE = 22
const APPLICATION_DATA = 23
const CLIENT_HELLO = 1
/** Versions 3.0 (SSL) to 3.4. */
const MAJOR = 3
const MINOR_MAX = 4
/** Header of a record, and of a handshake message. */
const RECORD_HEADER = 5
const MESSAGE_HEADER = 4
/** Version, random, and the least of the other fields. */
const HELLO_MIN = 39
const RECORD_MAX = 16_384
/** Added by encryption: the least for one byte of data, and the most. */
const ENCRYPTED_MIN = 17
const EXPANSION_MAX = 2048

function isRecord(bytes: Uint8Array, at: number, length: number, type: number): boolean {
  if (length < RECORD_HEADER || u8(bytes, at) !== type) return false
  return u8(bytes, at + 1) === MAJOR && u8(bytes, at + 2) <= MINOR_MAX
}

/** True if the bytes begin with a ClientHello, which may go on in later records and packets. */
export function isClientHello(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < RECORD_HEADER + MESSAGE_HEADER || !isRecord(bytes, at, length, HANDSHAKE)) return false
  if (u8(bytes, at + RECORD_HEADER) !== CLIENT_HELLO) return false
  const recordLength = u16(bytes, at + 3)
  const helloLength = (u8(bytes, at + RECORD_HEADER + 1) << 16) | u16(bytes, at + RECORD_HEADER + 2)
  const isWithin = recordLength <= helloLength + MESSAGE_HEADER && recordLength <= RECORD_MAX
  return isWithin && recordLength > MESSAGE_HEADER && helloLength >= HELLO_MIN
}

/** True if the bytes look like a record of encrypted data, as in a connection whose handshake is over. */
export function isEncryptedRecord(bytes: Uint8Array, at: number, length: number): boolean {
  if (!isRecord(bytes, at, length, APPLICATION_DATA) || u8(bytes, at + 2) === 0) return false
  const recordLength = u16(bytes, at + 3)
  return recordLength >= ENCRYPTED_MIN && recordLength <= RECORD_MAX + EXPANSION_MAX
}
