import type { Capture, PacketSink } from '../ports.ts'

/** Two captures as one. Each gets its half of a call at least, so that neither waits for the other to run dry. */
export class JoinedCapture implements Capture {
  readonly #one: Capture
  readonly #other: Capture

  constructor(one: Capture, other: Capture) {
    this.#one = one
    this.#other = other
  }

  receive(sink: PacketSink, packetsMax: number): number {
    const half = packetsMax >>> 1
    const first = this.#one.receive(sink, half)
    const second = this.#other.receive(sink, packetsMax - first)
    return first + second + (first === half ? this.#one.receive(sink, packetsMax - first - second) : 0)
  }

  isFilling(): boolean {
    return (this.#one.isFilling?.() ?? false) || (this.#other.isFilling?.() ?? false)
  }

  dropped(): number {
    return this.#one.dropped() + this.#other.dropped()
  }

  close(): void {
    this.#one.close()
    this.#other.close()
  }
}
