/**
 * When intercept lets answers gather before it takes them, as network cards moderate interrupts. A turn costs 25 µs and
 * more whatever it takes, most of it in the kernel, which wakes the thread and sends what was written. Where many
 * connections are answered at once, a short pause makes one turn of several. Where few are, their copies wait for these
 * very answers, and each goes at once.
 */

/** Connections are told apart by so many bits, of which two may share one. */
const BITS = 32
/** So many connections answered in so long are a crowd: 2000 answers a second at least. */
const CROWD = 8
const WINDOW_MS = 4
/** The kernel's timer adds up to 0.05. */
const PAUSE_MS = 0.15

export class Moderation {
  /** Connections answered in this window. */
  #answered = 0
  #windowAt = Number.NEGATIVE_INFINITY
  /** There was a crowd in the window before. */
  #isCrowded = false

  /** An answer to the client with this port is on its way. */
  answered(clientPort: number): void {
    this.#answered |= 1 << (Math.imul(clientPort, 0x9e3779b1) >>> (BITS - 5))
  }

  /** @returns for how many ms what waits at `now` is to wait for more; 0: not at all */
  pauseMs(now: number): number {
    const age = now - this.#windowAt
    if (age >= WINDOW_MS) {
      this.#isCrowded = age < 2 * WINDOW_MS && bitCount(this.#answered) >= CROWD
      this.#answered = 0
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
