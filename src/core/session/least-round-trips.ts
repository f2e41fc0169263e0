/**
 * Estimates clients' round trips while their acknowledgments are not captured (`--acks drop`): the least time from a
 * SYN to the first payload, for each client address. The table has a fixed size. Addresses that collide displace each
 * other, which only costs an estimate.
 */
import { float64At, int32At } from '../../wire/bytes.ts'

const PLACES_BITS = 15
/** An older measurement does not count, because the path may have changed. */
const LIFETIME_MS = 600_000

export class LeastRoundTrips {
  readonly #address = new Int32Array(1 << PLACES_BITS)
  readonly #leastMs = new Float64Array(1 << PLACES_BITS)
  readonly #measuredAt = new Float64Array(1 << PLACES_BITS).fill(Number.NEGATIVE_INFINITY)

  /** The least round trip of an address, in ms; 0: unknown. */
  of(address: number, now: number): number {
    const place = placeOf(address)
    const isKnown = int32At(this.#address, place) === address && now - float64At(this.#measuredAt, place) < LIFETIME_MS
    return isKnown ? float64At(this.#leastMs, place) : 0
  }

  /** Passes every address in the table to `take`, and 0 for empty places. */
  eachAddress(take: (address: number) => void): void {
    for (const address of this.#address) take(address)
  }

  /** Takes a measurement. @returns the least round trip of this address, in ms */
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
