import type { Capture, PacketSink } from '../ports.ts'

interface TimedCapture extends Capture {
  /** While a sink has a packet: when it was captured, in milliseconds since 1970. */
  readonly capturedAtMs: number
  begin(): void
}

/** Two captures as one. Each gets its half of a call at least, so that neither waits for the other to run dry. */
export class JoinedCapture implements TimedCapture {
  readonly #one: TimedCapture
  readonly #other: TimedCapture
  #giving: TimedCapture

  constructor(one: TimedCapture, other: TimedCapture) {
    this.#one = one
    this.#other = other
    this.#giving = one
  }

  get capturedAtMs(): number {
    return this.#giving.capturedAtMs
  }

  begin(): void {
    this.#one.begin()
    this.#other.begin()
  }

  receive(sink: PacketSink, packetsMax: number): number {
    const half = packetsMax >>> 1
    const first = this.#give(this.#one, sink, half)
    const second = this.#give(this.#other, sink, packetsMax - first)
    return first + second + (first === half ? this.#give(this.#one, sink, packetsMax - first - second) : 0)
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

  #give(from: TimedCapture, sink: PacketSink, packetsMax: number): number {
    this.#giving = from
    return from.receive(sink, packetsMax)
  }
}
