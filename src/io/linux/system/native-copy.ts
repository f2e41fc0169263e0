/**
 * memcpy(3) for the octets of packets: 1448 of them take 0.15 µs in place of 0.85 of the best loop in JavaScript, and
 * unlike TypedArray.set, which needs a view of the range, it leaves no garbage.
 */
import koffi from 'koffi'
import { float64At } from '../../../wire/bytes.ts'
import { memcpy } from './libc.ts'

/** More than there are: two rings with a scratch memory each, and the pool. */
const CACHED = 8

/** The addresses of the arrays that were asked for last: rings, scratch memory and pools are few, and never move. */
class AddressCache {
  /** By index. */
  readonly addresses = new Float64Array(CACHED)
  readonly #bytes: (Uint8Array | undefined)[] = Array.from({ length: CACHED })
  #oldest = 0

  /** @returns an index and not the address: that is no small integer, and would be garbage each time */
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
 * Copies `length` octets between arrays that do not move: mappings, and blocks of `allocate`. The ranges do not
 * overlap. @throws RangeError for a range that is not in its array: C would write anywhere
 */
export function copyOctets(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  const isInside = fromAt >= 0 && toAt >= 0 && fromAt + length <= from.length && toAt + length <= to.length
  if (!isInside) throw new RangeError(`${length} bytes from ${fromAt} to ${toAt}`)
  const sink = float64At(sinks.addresses, sinks.indexOf(to)) + toAt
  memcpy(sink, float64At(sources.addresses, sources.indexOf(from)) + fromAt, length)
}
