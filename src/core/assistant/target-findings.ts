/**
 * What intercept has seen of each target: SYN-ACKs with and without a route, resets, and when. tcpcopy asks for it when
 * a target does not answer. The memory is shared by all workers, since a question reaches only one of them. Only
 * segments with SYN or RST are counted.
 */
import { addressBytes } from '../../wire/address.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import { i32, int32At } from '../../wire/bytes.ts'
import { type Findings, noFindings } from '../../wire/channel/finding-records.ts'
import { ACK, RST, type Segment, SYN } from '../../wire/segment.ts'

/** Targets that are kept apart. */
const TARGETS_MAX = 64
/** Words before the targets. */
const FORWARDS = 0
const CAPTURED_AT = 1
const IS_FULL = 2
const HEAD_WORDS = 4
/** Words of a target: state, key, counts, instants (0: never), TTLs. */
const STATE = 0
const PORT = 1
const ADDRESS = 2
const ROUTED = 6
const UNROUTED = 7
const RESETS = 8
const ROUTED_AT = 9
const UNROUTED_AT = 10
const RESET_AT = 11
const SYN_ACK_TTL = 12
const RESET_TTL = 13
const TARGET_WORDS = 14
/** States of a target's words; 0: free. */
const WRITING = -1

export interface FindingsMemory {
  /** `TargetFindings.length` zeros at the start. */
  readonly words: Int32Array
  /** Added to this worker's clock, gives a clock that all workers share. */
  readonly clockMs: number
}

export class TargetFindings {
  static readonly length = HEAD_WORDS + TARGETS_MAX * TARGET_WORDS
  readonly #words: Int32Array
  readonly #clockMs: number
  readonly #key = new Int32Array(4)

  constructor({ words, clockMs }: FindingsMemory = { words: new Int32Array(TargetFindings.length), clockMs: 0 }) {
    this.#words = words
    this.#clockMs = clockMs
  }

  /** The host forwards packets, so the answers may reach the clients. */
  set forwards(value: boolean) {
    Atomics.store(this.#words, FORWARDS, value ? 1 : 0)
  }

  /** A packet matched the filter. */
  captured(now: number): void {
    this.#words[CAPTURED_AT] = this.#instant(now)
  }

  /** A segment of a target with SYN or RST was captured. */
  saw({ fromAddress, fromPort, flags, ttl }: Segment, isRouted: boolean, now: number): void {
    const isReset = (flags & RST) !== 0
    if (!isReset && (flags & (SYN | ACK)) !== (SYN | ACK)) return
    const at = this.#find(fromAddress, fromPort, true)
    if (at < 0) return
    const words = this.#words
    const [count, instant] = isReset ? [RESETS, RESET_AT] : isRouted ? [ROUTED, ROUTED_AT] : [UNROUTED, UNROUTED_AT]
    Atomics.add(words, at + count, 1)
    words[at + instant] = this.#instant(now)
    words[at + (isReset ? RESET_TTL : SYN_ACK_TTL)] = ttl
  }

  /** @param routes that intercept has for any target */
  of(address: number, port: number, routes: number, now: number): Findings {
    const words = this.#words
    const found = noFindings()
    found.routes = routes
    found.forwards = Atomics.load(words, FORWARDS) === 1
    found.capturedAgeMs = this.#age(CAPTURED_AT, now)
    const at = this.#find(address, port, false)
    found.isIncomplete = at < 0 && int32At(words, IS_FULL) === 1
    if (at < 0) return found
    found.routed = int32At(words, at + ROUTED) >>> 0
    found.unrouted = int32At(words, at + UNROUTED) >>> 0
    found.resets = int32At(words, at + RESETS) >>> 0
    found.routedAgeMs = this.#age(at + ROUTED_AT, now)
    found.unroutedAgeMs = this.#age(at + UNROUTED_AT, now)
    found.resetAgeMs = this.#age(at + RESET_AT, now)
    found.synAckTtl = int32At(words, at + SYN_ACK_TTL)
    found.resetTtl = int32At(words, at + RESET_TTL)
    return found
  }

  #instant(now: number): number {
    return (this.#clockMs + now) | 0 || 1
  }

  #age(at: number, now: number): number {
    const instant = int32At(this.#words, at)
    return instant === 0 ? Number.POSITIVE_INFINITY : Math.max(0, (this.#instant(now) - instant) | 0)
  }

  /** @returns where the words of a target begin; −1: it is not there, and there is no room */
  #find(address: number, port: number, mayAdd: boolean): number {
    const words = this.#words
    const key = this.#key.fill(0)
    const bytes = addressBytes(address)
    for (let index = 0; index < bytes.length / 4; index++) key[index] = i32(bytes, index * 4)
    const state = isIpv6(address) ? 6 : 4
    for (let target = 0; target < TARGETS_MAX; target++) {
      const at = HEAD_WORDS + target * TARGET_WORDS
      const found = Atomics.load(words, at + STATE)
      if (found === state && int32At(words, at + PORT) === port && this.#isKeyAt(at + ADDRESS)) return at
      if (found !== 0) continue
      if (!mayAdd) return -1
      // Another worker may take it in this moment, even for the same target, whose second entry stays unread.
      if (Atomics.compareExchange(words, at + STATE, 0, WRITING) !== 0) continue
      words[at + PORT] = port
      words.set(key, at + ADDRESS)
      Atomics.store(words, at + STATE, state)
      return at
    }
    words[IS_FULL] = 1
    return -1
  }

  #isKeyAt(at: number): boolean {
    for (let index = 0; index < 4; index++) if (int32At(this.#words, at + index) !== this.#key[index]) return false
    return true
  }
}
