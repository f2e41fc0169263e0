/**
 * Tries out whether an address only repeats what copies make it repeat: the copies of its connections are held for two
 * seconds. If its requests go on meanwhile, real clients send them. If they stop, and come again as soon as the copies
 * go on, then the copies are their cause, and the address is no longer copied. One that is suspected because its
 * connections say nothing is no longer suspected when it speaks.
 */
import { int32At } from '../../wire/bytes.ts'
import { SILENT } from './repeated-requests.ts'

/** How long copies are held. */
const HOLD_MS = 2000
/** What arrives so soon after the copies stopped may still be caused by them. */
const ECHO_MS = 500
/** How long after the copies went on a repeated request counts as caused by them. */
const CONFIRM_MS = 1000
/** So many silent connections within that time count as caused by copies: a pool may open a few at any time. */
const SILENT_CONFIRMS = 8
const BLOCK_MS = 600_000
/** An address that passed is not suspected again for this time. */
const CLEARED_MS = 600_000
const SUSPECTS_MAX = 32

export const Verdict = {
  /** Its connections are copied. */
  Free: 0,
  /** Its copies send nothing for a while. */
  Held: 1,
  /** Its connections are not copied. */
  Blocked: 2
} as const
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

/** States of an entry; 0: it is not used. */
const HELD = 1
const RELEASED = 2
const BLOCKED = 3
const CLEARED = 4

/** Words of an entry, after the one that counts those which are not cleared. */
const WORDS = 5
const ADDRESS = 0
const STATE = 1
const UNTIL = 2
const HASH = 3
const HEARD = 4
const ACTIVE = 0
const FROM = 1

export class LoopSuspects {
  /** Words that the constructor needs. */
  static readonly length = FROM + SUSPECTS_MAX * WORDS
  readonly #words: Int32Array
  readonly #onBlocked: (address: number) => void

  /** @param onBlocked told once for each address that is blocked */
  constructor(words: Int32Array, onBlocked: (address: number) => void) {
    this.#words = words
    this.#onBlocked = onBlocked
  }

  /** Whether any address may be held or blocked. */
  get isActive(): boolean {
    return int32At(this.#words, ACTIVE) > 0
  }

  /** @param hash what the address repeats; @param at in ms, as int32 */
  suspect(address: number, hash: number, at: number): void {
    let free = -1
    let oldest = -1
    for (let place = FROM; place < this.#words.length; place += WORDS) {
      this.#advance(place, at)
      const state = int32At(this.#words, place + STATE)
      if (state === 0) free = place
      else if (int32At(this.#words, place + ADDRESS) === address) return
      else if (state === CLEARED && (oldest < 0 || this.#left(place, at) < this.#left(oldest, at))) oldest = place
    }
    const place = free < 0 ? oldest : free
    if (place < 0) return
    this.#words[place + ADDRESS] = address
    this.#words[place + HASH] = hash
    this.#enter(place, HELD, at + HOLD_MS)
  }

  /** An address has sent something. @param hash what it sent */
  heard(address: number, hash: number, at: number): void {
    const place = this.#find(address, at)
    const state = place < 0 ? 0 : int32At(this.#words, place + STATE)
    if (state !== HELD && state !== RELEASED) return
    const suspected = int32At(this.#words, place + HASH)
    if (hash === suspected) this.#heardAgain(place, state, at)
    else if (suspected === SILENT) this.#forget(place, at)
  }

  /** What the address is suspected for has arrived again. */
  #heardAgain(place: number, state: number, at: number): void {
    const words = this.#words
    if (state === HELD) {
      if (this.#left(place, at) < HOLD_MS - ECHO_MS) words[place + HEARD] = 1
      return
    }
    const heard = int32At(words, place + HEARD) + 1
    words[place + HEARD] = heard
    if (int32At(words, place + HASH) === SILENT && heard < SILENT_CONFIRMS) return
    this.#enter(place, BLOCKED, at + BLOCK_MS)
    this.#onBlocked(int32At(words, place + ADDRESS))
  }

  verdict(address: number, at: number): Verdict {
    const place = this.#find(address, at)
    const state = place < 0 ? 0 : int32At(this.#words, place + STATE)
    return state === HELD ? Verdict.Held : state === BLOCKED ? Verdict.Blocked : Verdict.Free
  }

  /** Ms until the verdict on an address can change. */
  msLeft(address: number, at: number): number {
    const place = this.#find(address, at)
    return place < 0 ? 0 : Math.max(0, this.#left(place, at))
  }

  /** Passes every address that is remembered to `take`; also 0 for none. */
  eachAddress(take: (address: number) => void): void {
    for (let place = FROM; place < this.#words.length; place += WORDS) take(int32At(this.#words, place + ADDRESS))
  }

  #find(address: number, at: number): number {
    for (let place = FROM; place < this.#words.length; place += WORDS) {
      if (int32At(this.#words, place + ADDRESS) !== address) continue
      this.#advance(place, at)
      return place
    }
    return -1
  }

  #left(place: number, at: number): number {
    return (int32At(this.#words, place + UNTIL) - at) | 0
  }

  /** Does what is due for an entry. */
  #advance(place: number, at: number): void {
    const state = int32At(this.#words, place + STATE)
    if (state === 0 || this.#left(place, at) > 0) return
    if (state === HELD && int32At(this.#words, place + HEARD) === 0) this.#enter(place, RELEASED, at + CONFIRM_MS)
    else if (state === HELD) this.#enter(place, CLEARED, at + CLEARED_MS)
    else this.#forget(place, at)
  }

  #forget(place: number, at: number): void {
    this.#words[place + ADDRESS] = 0
    this.#enter(place, 0, at)
  }

  #enter(place: number, state: number, until: number): void {
    const words = this.#words
    words[place + STATE] = state
    words[place + UNTIL] = until
    words[place + HEARD] = 0
    let active = 0
    for (let other = FROM; other < words.length; other += WORDS) {
      const one = int32At(words, other + STATE)
      if (one !== 0 && one !== CLEARED) active += 1
    }
    words[ACTIVE] = active
  }
}
