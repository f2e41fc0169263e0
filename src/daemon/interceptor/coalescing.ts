/**
 * When intercept lets answers gather before it takes them, as network cards moderate interrupts. A turn costs 25 µs and
 * more whatever it takes, most of it in the kernel, which wakes the thread and sends what was written. Where many
 * connections are answered at once, a short pause makes one turn of several. Where few are, their copies wait for these
 * very answers, and each goes at once.
 */

/** Connections are told apart by 64 places, of which two may share one. */
const PLACE_SHIFT = 32 - 6
/**
 * So many answered in a window, which is half as long again where turns are rare, are a crowd. With fewer, each asking as
 * soon as it is answered, a copy would fall behind for waiting: at 20 that send 20 KB each time tcpcopy grew to 347 MB,
 * without to 318.
 */
const CROWD = 28
const WINDOW_MS = 4
/** The kernel's timer adds up to 0.05. */
const PAUSE_MS = 0.15

export class Coalescing {
  /** Places of the connections answered in this window: the first 32, and the others. */
  #answered = 0
  #answeredToo = 0
  #windowAt = Number.NEGATIVE_INFINITY
  /** There was a crowd in the window before. */
  #isCrowded = false

  /** An answer to the client with this port is on its way. */
  answered(clientPort: number): void {
    const mixed = Math.imul(clientPort, 0x9e3779b1)
    const place = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca77) >>> PLACE_SHIFT
    if (place < 32) this.#answered |= 1 << place
    else this.#answeredToo |= 1 << (place - 32)
  }

  /** @returns for how many ms what waits at `now` is to wait for more; 0: not at all */
  pauseMs(now: number): number {
    const age = now - this.#windowAt
    if (age >= WINDOW_MS) {
      const count = bitCount(this.#answered) + bitCount(this.#answeredToo)
      this.#isCrowded = age < 1.5 * WINDOW_MS && count >= CROWD
      this.#answered = 0
      this.#answeredToo = 0
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
