/**
 * The round trips of clients where their acknowledgments are not captured (`--acks drop`): the least time between a
 * SYN and the first payload behind it, for each client address. A table of fixed size: addresses that meet in a place
 * displace each other, which costs an estimate and nothing else.
 */
import { float64At, int32At } from '../../wire/bytes.ts'

const PLACES_BITS = 15
/** What was measured longer ago says nothing of the way today. */
const LIFETIME_MS = 600_000

export class LeastRoundTrips {
  readonly #address = new Int32Array(1 << PLACES_BITS)
  readonly #leastMs = new Float64Array(1 << PLACES_BITS)
  readonly #measuredAt = new Float64Array(1 << PLACES_BITS).fill(Number.NEGATIVE_INFINITY)

  /** @returns 0 if it is not known */
  of(address: number, now: number): number {
    const place = placeOf(address)
    const isKnown = int32At(this.#address, place) === address && now - float64At(this.#measuredAt, place) < LIFETIME_MS
    return isKnown ? float64At(this.#leastMs, place) : 0
  }

  /** Every address that is remembered; 0 where none is. */
  eachAddress(take: (address: number) => void): void {
    for (const address of this.#address) take(address)
  }

  /** Takes a measurement. @returns the least of this address */
  note(address: number, measuredMs: number, now: number): number {
    const known = this.of(address, now)
    if (known > 0 && known < measuredMs) return known
    const place = placeOf(address)
    this.#address[place] = address
    this.#leastMs[place] = measuredMs
    this.#measuredAt[place] = now
    return measuredMs
  }
}

function placeOf(address: number): number {
  return Math.imul(address, 0x9e3779b1) >>> (32 - PLACES_BITS)
}
