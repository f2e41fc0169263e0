/**
 * memcpy(3) for packets: 1448 bytes take 0.15 µs instead of 0.85 µs in the best JavaScript loop. Unlike TypedArray.set,
 * which needs a view of the range, it creates no garbage.
 */
import koffi from 'koffi'
import { float64At } from '../../../wire/bytes.ts'
import { memcpy } from './libc.ts'

/** Enough for two rings with a scratch buffer each, and the pool. */
const CACHED = 8

/** Cached addresses of the arrays used last: rings, scratch buffers and pools are few, and never move. */
class AddressCache {
  /** By index. */
  readonly addresses = new Float64Array(CACHED)
  readonly #bytes: (Uint8Array | undefined)[] = Array.from({ length: CACHED })
  #oldest = 0

  /** @returns an index, since the address is not a small integer and would be garbage each time */
  indexOf(bytes: Uint8Array): number {
    for (let index = 0; index < this.#bytes.length; index++) if (this.#bytes[index] === bytes) return index
    const index = this.#oldest
    this.#oldest = (index + 1) % this.#bytes.length
    this.#bytes[index] = bytes
    this.addresses[index] = Number(koffi.address(bytes.buffer)) + bytes.byteOffset
    return index
  }
}

const sources = new AddressCache()
const sinks = new AddressCache()

/**
 * Copies `length` bytes between arrays that do not move: mappings, and blocks of `allocate`. The ranges must not
 * overlap. @throws RangeError for a range outside its array, since C does not check
 */
export function copyOctets(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  const isInside = fromAt >= 0 && toAt >= 0 && fromAt + length <= from.length && toAt + length <= to.length
  if (!isInside) throw new RangeError(`${length} bytes from ${fromAt} to ${toAt}`)
  const sink = float64At(sinks.addresses, sinks.indexOf(to)) + toAt
  memcpy(sink, float64At(sources.addresses, sources.indexOf(from)) + fromAt, length)
}
