/**
 * Coalescing delays a turn of intercept so that more answers gather, as network cards moderate interrupts. A turn costs
 * at least 25 µs, mostly in the kernel, which wakes the thread and sends what it wrote. When many connections are
 * answered at once, a short pause replaces several turns by one. When few are, there is no pause, because their copies
 * wait for these answers.
 */

/** Connections are hashed to 64 places. */
const PLACE_SHIFT = 32 - 6
/**
 * Connections answered in a window from which on answers are delayed. The window is up to half longer where turns are
 * rare. With fewer connections, each of which asks as soon as it is answered, a pause would make the copy fall behind:
 * with 20 that send 20 KB each time, tcpcopy grew to 347 MB with the pause and to 318 MB without.
 */
const CROWD = 28
const WINDOW_MS = 4
/** The kernel's timer adds up to 0.05 ms. */
const PAUSE_MS = 0.15

export class Coalescing {
  /** Places of the connections answered in this window: 0 to 31, and 32 to 63. */
  #answeredLow = 0
  #answeredHigh = 0
  #windowAt = Number.NEGATIVE_INFINITY
  /** The previous window was crowded. */
  #isCrowded = false

  /** An answer to the client with this port was captured. */
  answered(clientPort: number): void {
    const mixed = Math.imul(clientPort, 0x9e3779b1)
    const place = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca77) >>> PLACE_SHIFT
    if (place < 32) this.#answeredLow |= 1 << place
    else this.#answeredHigh |= 1 << (place - 32)
  }

  /** @returns ms to wait before packets are taken; 0: no pause */
  pauseMs(now: number): number {
    const age = now - this.#windowAt
    if (age >= WINDOW_MS) {
      const count = bitCount(this.#answeredLow) + bitCount(this.#answeredHigh)
      this.#isCrowded = age < 1.5 * WINDOW_MS && count >= CROWD
      this.#answeredLow = 0
      this.#answeredHigh = 0
      this.#windowAt = now
    }
    return this.#isCrowded ? PAUSE_MS : 0
  }
}

function bitCount(word: number): number {
  let count = 0
  for (let rest = word; rest !== 0; rest &= rest - 1) count += 1
  return count
}
