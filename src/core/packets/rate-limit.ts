/**
 * The rate limit of `--max-rate`: a token bucket for everything that is sent, which protects the source's uplink. New
 * payload waits in its session for tokens. Everything else (acknowledgments, SYNs, retransmissions) is sent at once and
 * charged. Waiting sessions take turns of `TURN` bytes.
 */
const NEVER = Number.POSITIVE_INFINITY
/** Size of the bucket: what the rate allows in this time, but at least two packets. */
const BURST_MS = 10
const BURST_LEAST = 3000
/** Bytes that one session may send while others wait. */
const TURN = 16_384
const NOBODY = -1
/** Stands for no limit. Larger than any packet, and a small integer, which V8 returns without allocating. */
const ANY = 1 << 24

export class RateLimit {
  readonly #isLimited: boolean
  readonly #bytesPerMs: number
  readonly #burst: number
  #tokens: number
  #refilledAt = Number.NaN
  /** Slots of waiting sessions, each once; those before `#first` are done. */
  #waiting: number[] = []
  #first = 0
  /** By slot. */
  readonly #isWaiting: boolean[] = []
  /** The slot whose turn it is, and the bytes that are left of the turn. */
  #served = NOBODY
  #left = 0

  /** @param bytesPerSecond bytes of IP packets; Infinity: no limit */
  constructor(bytesPerSecond: number) {
    this.#isLimited = bytesPerSecond < NEVER
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#burst = Math.max(BURST_LEAST, this.#bytesPerMs * BURST_MS)
    this.#tokens = this.#burst
  }

  /** Charges for packets that are sent, headers included. */
  spend(byteCount: number): void {
    if (!this.#isLimited) return
    this.#tokens -= byteCount
    this.#left -= byteCount
  }

  /** Approximate bytes that the session of a slot may send now; 0: none, and the session waits for its turn. */
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

  /** Whether the session of a slot waits for its turn. */
  isWaiting(slot: number): boolean {
    return this.#isWaiting[slot] === true
  }

  /** When a waiting session can be served; Infinity if none waits. */
  get nextAt(): number {
    if (this.#isNobodyWaiting) return NEVER
    // Wait for at least the tokens of a millisecond, so that not every packet costs a turn of the loop.
    return this.#refilledAt + Math.max(0, (Math.max(1, this.#bytesPerMs) - this.#tokens) / this.#bytesPerMs)
  }

  refill(now: number): void {
    if (!this.#isLimited) return
    if (!Number.isNaN(this.#refilledAt)) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#refilledAt) * this.#bytesPerMs)
    }
    this.#refilledAt = now
  }

  /** Starts the turn of the next waiting session. @returns its slot; −1: none waits, or there are no tokens */
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
