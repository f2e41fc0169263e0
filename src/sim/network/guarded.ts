/**
 * Guards the bytes of a packet against reads and writes beyond its bounds, which a typed array would answer with
 * undefined, and arithmetic would continue with 0.
 */
import assert from 'node:assert/strict'

export interface Guarded {
  readonly bytes: Uint8Array
  /** Where the packet begins. The bytes before and after it must not be touched. */
  readonly at: number
}

const MARGIN = 5

/** A copy of `packet` that may only be accessed by index, within its bounds. */
export function guarded(packet: Uint8Array): Guarded {
  // At an odd offset no word view is possible, whose reads the proxy would not see.
  const bytes = new Uint8Array(new ArrayBuffer(packet.length + 2 * MARGIN + 1), 1).fill(0xa5)
  bytes.set(packet, MARGIN)
  const end = MARGIN + packet.length
  const check = (key: string | symbol): void => {
    const index = typeof key === 'string' ? Number(key) : Number.NaN
    if (Number.isNaN(index)) return
    assert.ok(index >= MARGIN && index < end, `byte ${index - MARGIN} of a packet of ${packet.length} was touched`)
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
