/**
 * Reads pcap and pcapng files chunk by chunk in bounded memory. It never throws on invalid input: reading stops, and
 * `failure` says what was found and where.
 */
import { ByteWindow } from './byte-window.ts'
import { type CapturedPacket, Step, word } from './captured-packet.ts'
import { isPcapMagic, PcapReader } from './pcap.ts'
import { PcapngReader, SECTION_HEADER } from './pcapng.ts'

export class CaptureReader {
  readonly #input = new ByteWindow()
  #format: PcapReader | PcapngReader | undefined
  #failure = ''

  /** Why reading stopped, as the end of a sentence about the file; empty unless `next` returned Failed. */
  get failure(): string {
    return this.#failure
  }

  /** Bytes of the input that were read so far. */
  get offset(): number {
    return this.#input.offset
  }

  /** Packets lost during the capture, as the file reports them. */
  get lostCount(): number {
    return this.#format instanceof PcapngReader ? this.#format.lostCount : 0
  }

  /** Appends more of the input, after `next` returned More. Copies the bytes. */
  append(chunk: Uint8Array): void {
    this.#input.append(chunk)
  }

  /** Marks the end of the input. */
  finish(): void {
    this.#input.finish()
  }

  /** Reads the next packet into `packet`, whose bytes are valid until the next call of a method of this object. */
  next(packet: CapturedPacket): Step {
    if (this.#failure !== '') return Step.Failed
    this.#format ??= this.#recognize()
    const step = this.#format?.next(packet) ?? Step.More
    if (step === Step.Failed) this.#failure = this.#format?.failure ?? ''
    if (step === Step.More && this.#failure === '' && this.#input.isFinished) this.#failure = this.#truncatedText()
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

  #truncatedText(): string {
    if (this.#format === undefined) return this.#input.has(1) ? 'it is too short for a capture file' : 'it is empty'
    return `it is truncated: what begins at byte ${this.#input.offset} is incomplete`
  }
}
