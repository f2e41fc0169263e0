/**
 * Remembers the SYNs of copies for two seconds. A captured SYN with the same initial sequence number and timestamp is
 * one of them that somebody passed back: a
 * client chooses the number at random (RFC 9293 §3.4.1), and address translation keeps it.
 */
import { int32At } from '../../wire/bytes.ts'

const REMEMBER_MS = 2000
/** A power of two. A later SYN replaces one that has the same place. */
const SYNS_MAX = 16_384
const WORDS = 6
const ISS = 0
const TS_VAL = 1
const HAS_TIMESTAMPS = 2
const SENT_AT = 3
const ADDRESS = 4
const PORT = 5

/** What a SYN is recognized by. */
interface SynNumbers {
  readonly iss: number
  readonly hasTimestamps: boolean
  readonly tsVal: number
}

/** A SYN of a copy. */
export interface CopiedSyn extends SynNumbers {
  readonly clientAddress: number
  readonly clientPort: number
}

/** A captured SYN. */
export interface CapturedSyn extends SynNumbers {
  readonly fromAddress: number
  readonly fromPort: number
}

export class CopiedSyns {
  /** Words that the constructor needs. */
  static readonly length = SYNS_MAX * WORDS
  readonly #words: Int32Array

  constructor(words: Int32Array) {
    this.#words = words
  }

  /** @param at in ms, as int32 */
  add({ iss, hasTimestamps, tsVal, clientAddress, clientPort }: CopiedSyn, at: number): void {
    const words = this.#words
    const place = placeOf(iss)
    words[place + ISS] = iss
    words[place + TS_VAL] = tsVal
    words[place + HAS_TIMESTAMPS] = hasTimestamps ? 1 : 0
    words[place + SENT_AT] = at
    words[place + ADDRESS] = clientAddress
    words[place + PORT] = clientPort
  }

  /** Whether a copy was sent with this SYN. */
  has({ iss, hasTimestamps, tsVal, fromAddress, fromPort }: CapturedSyn, at: number): boolean {
    const words = this.#words
    const place = placeOf(iss)
    const sentAt = int32At(words, place + SENT_AT)
    if (int32At(words, place + ISS) !== iss || sentAt === 0 || ((at - sentAt) | 0) > REMEMBER_MS) return false
    // Translation that changes the port changes the address too.
    if (int32At(words, place + ADDRESS) === fromAddress && int32At(words, place + PORT) !== fromPort) return false
    // A middlebox may remove the timestamps, but does not change them.
    return !hasTimestamps || int32At(words, place + HAS_TIMESTAMPS) === 0 || int32At(words, place + TS_VAL) === tsVal
  }
}

function placeOf(iss: number): number {
  return ((Math.imul(iss, 0x9e3779b1) >>> 8) & (SYNS_MAX - 1)) * WORDS
}
