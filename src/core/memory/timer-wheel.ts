/**
 * The timer wheel holds many deadlines: a hashed wheel with slots of 1 ms (Varghese and Lauck, scheme 6), O(1) to arm
 * and to fire. If a deadline moves later, the owner lets the old one fire and arms it again, which is cheaper than
 * moving it each time. A distant deadline is checked once in each round of the wheel.
 */
import { float64At, int32At } from '../../wire/bytes.ts'

const SLOTS = 4096
const NONE = -1

/** Entries are small integers, chosen by the caller. An entry is armed at most once. */
export class TimerWheel {
  readonly #first = new Int32Array(SLOTS).fill(NONE)
  /** One bit for each slot, set if it is not empty. */
  readonly #occupied = new Int32Array(SLOTS / 32)
  #next = new Int32Array(1024).fill(NONE)
  #before = new Int32Array(1024).fill(NONE)
  /** The slot of an armed entry, or NONE. */
  #slot = new Int32Array(1024).fill(NONE)
  /** The tick that an entry is armed for, possibly several rounds away. */
  #tick = new Float64Array(1024)
  /** Entries of the current slot that fire. */
  #due = new Int32Array(1024)
  #now: number

  /** @param now the first instant, in ms */
  constructor(now: number) {
    this.#now = Math.floor(now)
  }

  /** Arms an entry, or moves it. `at` is rounded up to a whole millisecond; a past instant fires at the next one. */
  arm(entry: number, at: number): void {
    if (entry >= this.#slot.length) this.#grow(entry + 1)
    const tick = Math.max(Math.ceil(at), this.#now + 1)
    const armed = int32At(this.#slot, entry)
    const slot = tick % SLOTS
    this.#tick[entry] = tick
    if (armed === slot) return
    if (armed !== NONE) this.#unlink(entry, armed)
    this.#link(entry, slot)
  }

  disarm(entry: number): void {
    const slot = entry < this.#slot.length ? int32At(this.#slot, entry) : NONE
    if (slot !== NONE) this.#unlink(entry, slot)
  }

  /** Calls `fire` for each entry that is due. `fire` may arm and disarm any; an entry disarmed there may still fire. */
  advance(now: number, fire: (entry: number) => void): void {
    const until = Math.floor(now)
    const from = Math.max(this.#now + 1, until - SLOTS + 1)
    if (until < from) return
    this.#now = until
    for (let tick = from; tick <= until; tick++) {
      const slot = tick % SLOTS
      if (int32At(this.#first, slot) !== NONE) this.#fireSlot(slot, until, fire)
    }
  }

  /** @returns the instant of the next non-empty slot; Infinity if nothing is armed */
  next(): number {
    const start = (this.#now + 1) % SLOTS
    for (let word = 0; word <= SLOTS / 32; word++) {
      const index = ((start >> 5) + word) % (SLOTS / 32)
      let bits = int32At(this.#occupied, index)
      if (word === 0) bits &= -1 << (start & 31)
      else if (word === SLOTS / 32) bits &= ~(-1 << (start & 31))
      if (bits === 0) continue
      const slot = index * 32 + (31 - Math.clz32(bits & -bits))
      return this.#now + 1 + ((slot - start + SLOTS) % SLOTS)
    }
    return Number.POSITIVE_INFINITY
  }

  /** Unlinks all entries that are due before it fires any, so that `fire` may change the wheel. */
  #fireSlot(slot: number, until: number, fire: (entry: number) => void): void {
    let dueCount = 0
    let entry = int32At(this.#first, slot)
    while (entry !== NONE) {
      const following = int32At(this.#next, entry)
      if (float64At(this.#tick, entry) <= until) {
        this.#unlink(entry, slot)
        this.#due[dueCount++] = entry
      }
      entry = following
    }
    for (let index = 0; index < dueCount; index++) fire(int32At(this.#due, index))
  }

  #link(entry: number, slot: number): void {
    const first = int32At(this.#first, slot)
    this.#next[entry] = first
    this.#before[entry] = NONE
    if (first !== NONE) this.#before[first] = entry
    this.#first[slot] = entry
    this.#slot[entry] = slot
    this.#occupied[slot >> 5] = int32At(this.#occupied, slot >> 5) | (1 << (slot & 31))
  }

  #unlink(entry: number, slot: number): void {
    const next = int32At(this.#next, entry)
    const before = int32At(this.#before, entry)
    if (before === NONE) this.#first[slot] = next
    else this.#next[before] = next
    if (next !== NONE) this.#before[next] = before
    this.#slot[entry] = NONE
    if (int32At(this.#first, slot) === NONE) {
      this.#occupied[slot >> 5] = int32At(this.#occupied, slot >> 5) & ~(1 << (slot & 31))
    }
  }

  #grow(entries: number): void {
    const size = Math.max(entries, this.#slot.length * 2)
    const enlarge = (array: Int32Array): Int32Array<ArrayBuffer> => {
      const larger = new Int32Array(size).fill(NONE)
      larger.set(array)
      return larger
    }
    this.#next = enlarge(this.#next)
    this.#before = enlarge(this.#before)
    this.#slot = enlarge(this.#slot)
    this.#due = enlarge(this.#due)
    const ticks = new Float64Array(size)
    ticks.set(this.#tick)
    this.#tick = ticks
  }
}
