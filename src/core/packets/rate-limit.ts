/**
 * `--max-rate`: a token bucket for all that is sent, which protects the source's uplink. New payload waits for tokens,
 * where it is; everything else (acknowledgments, SYNs, what is sent again) goes at once and is taken off what payload
 * may have. Sessions that wait get their turn in order, so much of it at a time.
 */
const NEVER = Number.POSITIVE_INFINITY
/** So much may go at once: what the rate allows in this time, or two packets. */
const BURST_MS = 10
const BURST_LEAST = 3000
/** Octets that one session may send while others wait. */
const TURN = 16_384
const NOBODY = -1
/** More than any packet; a small integer, which costs no garbage to return. */
const ANY = 1 << 24

export class RateLimit {
  readonly #isLimited: boolean
  readonly #bytesPerMs: number
  readonly #burst: number
  #tokens: number
  #refilledAt = Number.NaN
  /** Slots of sessions with payload that has to wait, each once, from `#first` on. */
  #waiting: number[] = []
  #first = 0
  /** The same by slot. */
  readonly #isWaiting: boolean[] = []
  /** Whose turn it is, and what is left of it. */
  #served = NOBODY
  #left = 0

  /** @param bytesPerSecond of IPv4 packets; Infinity: no limit */
  constructor(bytesPerSecond: number) {
    this.#isLimited = bytesPerSecond < NEVER
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#burst = Math.max(BURST_LEAST, this.#bytesPerMs * BURST_MS)
    this.#tokens = this.#burst
  }

  /** Octets of packets are sent. */
  spend(octets: number): void {
    if (!this.#isLimited) return
    this.#tokens -= octets
    this.#left -= octets
  }

  /** Bytes that the session of a slot may send now, about; 0: none, and its turn comes. */
  room(slot: number): number {
    if (!this.#isLimited) return ANY
    const isServed = slot === this.#served && this.#left > 0
    const isAllowed = this.#tokens > 0 && (isServed || this.#isNobodyWaiting)
    if (isAllowed) return Math.ceil(Math.min(this.#tokens, isServed ? this.#left : ANY))
    if (this.#isWaiting[slot] !== true) {
      this.#isWaiting[slot] = true
      this.#waiting.push(slot)
    }
    return 0
  }

  /** The session of a slot waits for its turn. */
  isWaiting(slot: number): boolean {
    return this.#isWaiting[slot] === true
  }

  /** When sessions that wait can be served; Infinity if none does. */
  get nextAt(): number {
    if (this.#isNobodyWaiting) return NEVER
    // A millisecond's worth at least, so that not every packet costs a turn.
    return this.#refilledAt + Math.max(0, (Math.max(1, this.#bytesPerMs) - this.#tokens) / this.#bytesPerMs)
  }

  refill(now: number): void {
    if (!this.#isLimited) return
    if (!Number.isNaN(this.#refilledAt)) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#refilledAt) * this.#bytesPerMs)
    }
    this.#refilledAt = now
  }

  /** Takes the slot whose turn it is; −1: nobody waits, or there is nothing to give. */
  take(): number {
    this.#served = NOBODY
    if (this.#tokens <= 0 || this.#isNobodyWaiting) return NOBODY
    const slot = this.#waiting[this.#first++]
    if (this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    if (slot === undefined) return NOBODY
    this.#isWaiting[slot] = false
    this.#served = slot
    this.#left = TURN
    return slot
  }

  get #isNobodyWaiting(): boolean {
    return this.#first === this.#waiting.length
  }
}
