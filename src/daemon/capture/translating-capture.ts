/** A capture that undoes address translation in its packets (`intercept -D`). */
import { type Translation, translate } from '../../core/assistant/address-translation.ts'
import type { Capture, ChecksumState, PacketSink } from '../../ports.ts'

const NOBODY: PacketSink = () => {}

export class TranslatingCapture implements Capture {
  readonly #capture: Capture
  readonly #translations: readonly Translation[]
  /** The sink of the current call. */
  #sink: PacketSink = NOBODY
  readonly #take = this.#onPacket.bind(this)

  /** @param capture its packets may be modified; it is closed with this capture */
  constructor(capture: Capture, translations: readonly Translation[]) {
    this.#capture = capture
    this.#translations = translations
  }

  receive(sink: PacketSink, packetsMax: number): number {
    this.#sink = sink
    return this.#capture.receive(this.#take, packetsMax)
  }

  dropped(): number {
    return this.#capture.dropped()
  }

  get capturedAtMs(): number {
    return this.#capture.capturedAtMs ?? Number.NaN
  }

  passed(): number {
    return this.#capture.passed?.() ?? 0
  }

  close(): void {
    this.#capture.close()
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number, checksum: ChecksumState): void {
    translate(bytes, at, captured, this.#translations)
    this.#sink(bytes, at, captured, length, checksum)
  }
}
