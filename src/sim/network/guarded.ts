/** Bytes that notice when somebody reads beside them. A typed array would answer undefined, and arithmetic go on with 0. */
import assert from 'node:assert/strict'

export interface Guarded {
  readonly bytes: Uint8Array
  /** Where the packet begins; there are octets before and behind it that nobody has to do with. */
  readonly at: number
}

const MARGIN = 5

/** A copy of `packet` that may be read by index, and within its bounds only. */
export function guarded(packet: Uint8Array): Guarded {
  // At an odd address words cannot be laid over it, which would be read unseen.
  const bytes = new Uint8Array(new ArrayBuffer(packet.length + 2 * MARGIN + 1), 1).fill(0xa5)
  bytes.set(packet, MARGIN)
  const end = MARGIN + packet.length
  const check = (key: string | symbol): void => {
    const index = typeof key === 'string' ? Number(key) : Number.NaN
    if (Number.isNaN(index)) return
    assert.ok(index >= MARGIN && index < end, `octet ${index - MARGIN} of a packet of ${packet.length} was touched`)
  }
  const proxy = new Proxy(bytes, {
    get(target, key) {
      check(key)
      return Reflect.get(target, key, target)
    },
    set(target, key, value) {
      check(key)
      return Reflect.set(target, key, value, target)
    }
  })
  return { bytes: proxy, at: MARGIN }
}
