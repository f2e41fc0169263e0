/** Joins two captures into one, for IPv4 and IPv6 side by side. */
import type { HeldCapture, PacketSink, TimedCapture } from '../ports.ts'

type Part = TimedCapture & HeldCapture

/** Combines two captures. Each gets at least half of a call, so that neither starves. */
export class JoinedCapture implements TimedCapture, HeldCapture {
  readonly #one: Part
  readonly #other: Part
  #giving: Part

  constructor(one: Part, other: Part) {
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

  #give(from: Part, sink: PacketSink, packetsMax: number): number {
    this.#giving = from
    return from.receive(sink, packetsMax)
  }
}
