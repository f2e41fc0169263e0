/**
 * `--max-rate`: a token bucket for all that is sent, which protects the source's uplink. New payload waits for tokens,
 * where it is; everything else (acknowledgments, SYNs, what is sent again) goes at once and is taken off what payload
 * may have. Sessions that wait get their turn in order, so much of it at a time.
 */
import type { Session } from '../session/session.ts'

const NEVER = Number.POSITIVE_INFINITY
/** So much may go at once: what the rate allows in this time, or two packets. */
const BURST_MS = 10
const BURST_LEAST = 3000
/** Octets that one session may send while others wait. */
const TURN = 16_384
/** More than any packet; a small integer, which costs no garbage to return. */
const ANY = 1 << 24

export class RateLimit {
  readonly #isLimited: boolean
  readonly #bytesPerMs: number
  readonly #burst: number
  #tokens: number
  #refilledAt = Number.NaN
  /** Sessions with payload that has to wait, each once, from `#first` on. */
  #waiting: Session[] = []
  #first = 0
  /** Whose turn it is, and what is left of it. */
  #served: Session | undefined
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

  /** Octets that a session may send now, about; 0: none, and its turn comes. */
  room(session: Session): number {
    if (!this.#isLimited) return ANY
    const isServed = session === this.#served && this.#left > 0
    const isAllowed = this.#tokens > 0 && (isServed || this.#isNobodyWaiting)
    if (isAllowed) return Math.ceil(Math.min(this.#tokens, isServed ? this.#left : ANY))
    if (!session.isHeld) {
      session.isHeld = true
      this.#waiting.push(session)
    }
    return 0
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

  /** Takes the session whose turn it is; undefined: nobody waits, or there is nothing to give. */
  take(): Session | undefined {
    this.#served = undefined
    if (this.#tokens <= 0 || this.#isNobodyWaiting) return undefined
    const session = this.#waiting[this.#first++]
    if (this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
    if (session === undefined) return undefined
    session.isHeld = false
    this.#served = session
    this.#left = TURN
    return session
  }

  get #isNobodyWaiting(): boolean {
    return this.#first === this.#waiting.length
  }
}
