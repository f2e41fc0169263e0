/** A capture that reassembles IPv6 fragments. The kernel reassembles those of IPv4 only (packet(7)). */
import type { Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { Fragments } from '../../core/capture/fragments.ts'
import { type Capture, ChecksumState, type Clock, type HeldCapture, type PacketSink } from '../../ports.ts'
import { u8 } from '../../wire/bytes.ts'
import { IPV6_HEADER, isFragment } from '../../wire/ipv6.ts'

const NOBODY: PacketSink = () => {}

export class ReassemblingCapture implements HeldCapture {
  readonly #capture: Capture
  readonly #clock: Clock
  readonly #counters: Counters
  readonly #fragments = new Fragments()
  #lostCount = 0
  /** The sink of the current call. */
  #sink: PacketSink = NOBODY
  readonly #take = this.#onPacket.bind(this)

  /** @param capture is closed with this capture; @param counters counts incomplete packets as `Drop.Fragment` */
  constructor(capture: Capture, clock: Clock, counters: Counters) {
    this.#capture = capture
    this.#clock = clock
    this.#counters = counters
  }

  begin(): void {
    this.#capture.begin?.()
  }

  receive(sink: PacketSink, packetsMax: number): number {
    this.#sink = sink
    return this.#capture.receive(this.#take, packetsMax)
  }

  isFilling(): boolean {
    return this.#capture.isFilling?.() ?? false
  }

  dropped(): number {
    return this.#capture.dropped()
  }

  finish(): void {
    this.#fragments.finish()
    this.#countLost()
  }

  close(): void {
    this.finish()
    this.#capture.close()
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number, checksum: ChecksumState): void {
    if (captured < IPV6_HEADER || u8(bytes, at) >>> 4 !== 6 || !isFragment(bytes, at, captured)) {
      this.#sink(bytes, at, captured, length, checksum)
      return
    }
    const fragments = this.#fragments
    if (fragments.add(bytes, at, captured, this.#clock.now())) {
      this.#sink(fragments.bytes, fragments.at, fragments.length, fragments.length, ChecksumState.Unknown)
    }
    this.#countLost()
  }

  #countLost(): void {
    const { lostCount } = this.#fragments
    if (lostCount > this.#lostCount) this.#counters.drop(Drop.Fragment, lostCount - this.#lostCount, 0)
    this.#lostCount = lostCount
  }
}
