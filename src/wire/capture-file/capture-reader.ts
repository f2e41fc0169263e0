/**
 * Reads capture files, pcap and pcapng, piece by piece in memory of a bounded size. Nothing that the input holds makes
 * it throw: what cannot be read ends the reading, with a failure that says what and where.
 */
import { ByteWindow } from './byte-window.ts'
import { type CapturedPacket, Step, word } from './captured-packet.ts'
import { isPcapMagic, PcapReader } from './pcap.ts'
import { PcapngReader, SECTION_HEADER } from './pcapng.ts'

export class CaptureReader {
  readonly #input = new ByteWindow()
  #format: PcapReader | PcapngReader | undefined
  #failure = ''

  /** Why nothing more can be read, as the end of a sentence about the file; empty unless a step was Failed. */
  get failure(): string {
    return this.#failure
  }

  /** Octets of the input that were used up. */
  get offset(): number {
    return this.#input.offset
  }

  /** Packets that the file says were lost when it was captured. */
  get lostCount(): number {
    return this.#format instanceof PcapngReader ? this.#format.lostCount : 0
  }

  /** Gives it more of the input; to be called when `next` said More. The bytes are copied. */
  append(chunk: Uint8Array): void {
    this.#input.append(chunk)
  }

  /** Tells it that nothing follows. */
  finish(): void {
    this.#input.finish()
  }

  /** Reads the next packet into `packet`, whose bytes are valid until the next call of this object. */
  next(packet: CapturedPacket): Step {
    if (this.#failure !== '') return Step.Failed
    this.#format ??= this.#recognize()
    const step = this.#format?.next(packet) ?? Step.More
    if (step === Step.Failed) this.#failure = this.#format?.failure ?? ''
    if (step === Step.More && this.#failure === '' && this.#input.isFinished) this.#failure = this.#cutText()
    return this.#failure === '' ? step : Step.Failed
  }

  #recognize(): PcapReader | PcapngReader | undefined {
    const input = this.#input
    if (!input.has(4)) return undefined
    const magic = word(input.bytes, input.at, false)
    if (magic === SECTION_HEADER) return new PcapngReader(input)
    if (isPcapMagic(magic)) return new PcapReader(input)
    this.#failure = 'it is not a pcap or pcapng file'
    return undefined
  }

  #cutText(): string {
    if (this.#format === undefined) return this.#input.has(1) ? 'it is too short for a capture file' : 'it is empty'
    return `it is truncated: what begins at byte ${this.#input.offset} is incomplete`
  }
}
