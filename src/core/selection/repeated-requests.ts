/**
 * Finds addresses that repeat what another one sent: the sign of a target that passes requests back to the source. It is
 * no proof. Clients with equal requests look the same, so `LoopSuspects` tries it out.
 */
import { i32, int32At, u8 } from '../../wire/bytes.ts'

/** As often an address must have repeated a request, and more than twice as often as all others together sent it. */
const REPEATS = 8
/** As many connections without a request in a row an address must have opened. Fewer are idle ones of a pool. */
const SILENT_SYNS = 64
/** Requests farther apart than this have nothing to do with each other. */
const FORGET_MS = 2000
/** Of a payload, these first bytes count: proxies append to the headers that follow. */
const PREFIX_MAX = 32
/** Counts are halved here, so that what an address does now outweighs the past. */
const COUNT_MAX = 64
/** After a suspicion the address has to repeat this much more for the next one, so that asking stays cheap. */
const PAUSE = 1000

/** Copies that are remembered. */
const SENT_MAX = 1 << 20

/** Powers of two. A later entry replaces one that has the same place. */
const REQUESTS_MAX = 4096
const ADDRESSES_MAX = 1024
/** Words of a request: a cache line. */
const WORDS = 16
const HASH = 0
const FIRST = 1
const REPEATER = 2
const REPEATED = 3
const OTHERS = 4
const SEEN_AT = 5
/** The turn of the last arrival; copies sent before that turn, and in it, which no arrival was taken for yet. */
const TURN = 6
const SENT = 7
const SENT_NOW = 8
/** In how many turns the repeater sent it, and the last of them. */
const TURNS = 9
const LAST_TURN = 10
/** Words of an address that opens connections without sending anything. */
const SILENT_WORDS = 3
const ADDRESS = 0
const SYNS = 1
const SYN_AT = 2
const SILENT_FROM = REQUESTS_MAX * WORDS

/** Stands for a connection without a request. */
export const SILENT = 2

export class RepeatedRequests {
  /** Words that the constructor needs. */
  static readonly length = SILENT_FROM + ADDRESSES_MAX * SILENT_WORDS
  readonly #words: Int32Array
  readonly #copiesMax: number

  /** @param copiesMax most copies of a request */
  constructor(words: Int32Array, copiesMax: number) {
    this.#words = words
    this.#copiesMax = copiesMax
  }

  /** An address has sent a request: its connections are not silent. */
  speaks(address: number): void {
    const place = silentOf(address)
    if (int32At(this.#words, place + ADDRESS) === address) this.#words[place + SYNS] = 0
  }

  /**
   * Counts a payload that is copied. @param hash its `requestHash`; @param at in ms, as int32
   * @param turn differs from turn to turn: what is copied in a turn cannot come back in it
   * @returns true if its sender may be passing back what others sent
   */
  saw(address: number, hash: number, at: number, turn: number): boolean {
    const words = this.#words
    const place = ((hash >>> 8) & (REQUESTS_MAX - 1)) * WORDS
    const isKnown = int32At(words, place + HASH) === hash && isRecent(at, int32At(words, place + SEEN_AT))
    words[place + SEEN_AT] = at
    if (!isKnown) {
      words[place + HASH] = hash
      words[place + FIRST] = address
      words[place + REPEATER] = 0
      words[place + REPEATED] = 0
      words[place + OTHERS] = 1
      words[place + TURN] = turn
      words[place + SENT] = 0
      words[place + SENT_NOW] = this.#copiesMax
      return false
    }
    const isCaused = this.#takesCopy(place, turn)
    if (int32At(words, place + REPEATER) === address) return this.#repeats(place, isCaused, turn)
    const others = Math.min(COUNT_MAX, int32At(words, place + OTHERS) + 1)
    words[place + OTHERS] = others
    // The address that sent a request first does not repeat it.
    if (address === int32At(words, place + FIRST)) return false
    const hasRepeater = int32At(words, place + REPEATER) !== 0
    if (hasRepeater && others <= int32At(words, place + REPEATED)) return false
    words[place + REPEATER] = address
    words[place + REPEATED] = 1
    words[place + TURNS] = 1
    words[place + LAST_TURN] = turn
    words[place + OTHERS] = hasRepeater ? 0 : others - 1
    return false
  }

  /** Takes one of the copies that were sent in earlier turns. @returns false if there was none to cause this arrival */
  #takesCopy(place: number, turn: number): boolean {
    const words = this.#words
    if (int32At(words, place + TURN) !== turn) {
      words[place + TURN] = turn
      words[place + SENT] = Math.min(SENT_MAX, int32At(words, place + SENT) + int32At(words, place + SENT_NOW))
      words[place + SENT_NOW] = 0
    }
    words[place + SENT_NOW] = int32At(words, place + SENT_NOW) + this.#copiesMax
    const sent = int32At(words, place + SENT)
    if (sent > 0) words[place + SENT] = sent - 1
    return sent > 0
  }

  #repeats(place: number, isCaused: boolean, turn: number): boolean {
    const words = this.#words
    if (!isCaused) {
      // It sends more than was copied, so it has requests of its own.
      words[place + REPEATED] = -PAUSE
      return false
    }
    const repeated = int32At(words, place + REPEATED) + 1
    const others = int32At(words, place + OTHERS)
    words[place + REPEATED] = repeated
    if (repeated >= COUNT_MAX) {
      words[place + REPEATED] = repeated >>> 1
      words[place + OTHERS] = others >>> 1
    }
    if (int32At(words, place + LAST_TURN) !== turn) {
      words[place + LAST_TURN] = turn
      words[place + TURNS] = int32At(words, place + TURNS) + 1
    }
    // In a circle each time takes a turn.
    if (int32At(words, place + TURNS) < REPEATS || repeated <= 2 * others) return false
    words[place + REPEATED] = -PAUSE
    return true
  }

  /**
   * Counts a SYN. @returns true if its sender has opened many connections in a row without sending anything, as a
   * target does that passes connections back and waits for the client to speak
   */
  sawSyn(address: number, at: number): boolean {
    const words = this.#words
    const place = silentOf(address)
    const isKnown = int32At(words, place + ADDRESS) === address && isRecent(at, int32At(words, place + SYN_AT))
    const syns = isKnown ? int32At(words, place + SYNS) + 1 : 1
    words[place + ADDRESS] = address
    words[place + SYN_AT] = at
    words[place + SYNS] = syns < SILENT_SYNS ? syns : -PAUSE
    return syns >= SILENT_SYNS
  }
}

/** A captured payload of at least one byte. */
export interface Payload {
  readonly bytes: Uint8Array
  readonly payloadAt: number
  readonly payloadLength: number
}

/** Hashes the first bytes of a payload. @returns a number above `SILENT`, as int32 without its lowest bits */
export function requestHash({ bytes, payloadAt, payloadLength }: Payload): number {
  const length = Math.min(payloadLength, PREFIX_MAX)
  const end = payloadAt + length
  let bits = length
  let at = payloadAt
  for (; at + 4 <= end; at += 4) bits = Math.imul(bits ^ i32(bytes, at), 0x85ebca6b) ^ (bits >>> 15)
  for (; at < end; at++) bits = Math.imul(bits ^ u8(bytes, at), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 15), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) | 1
}

function isRecent(at: number, seenAt: number): boolean {
  return ((at - seenAt) | 0) <= FORGET_MS
}

function silentOf(address: number): number {
  return SILENT_FROM + ((Math.imul(address, 0x9e3779b1) >>> 10) & (ADDRESSES_MAX - 1)) * SILENT_WORDS
}
