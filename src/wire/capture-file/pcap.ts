/** Reads files in the classic format of libpcap (pcap-savefile(5), draft-ietf-opsawg-pcap). */
import type { ByteWindow } from './byte-window.ts'
import { type CapturedPacket, grouped, half, PACKET_MAX, Step, word } from './captured-packet.ts'

const FILE_HEADER = 24
const RECORD_HEADER = 16

/** Magic numbers, read as big-endian words. */
const MAGIC_MICROS = 0xa1b2c3d4
const MAGIC_NANOS = 0xa1b23c4d
const MAGIC_MICROS_SWAPPED = 0xd4c3b2a1
const MAGIC_NANOS_SWAPPED = 0x4d3cb2a1
const MAGICS = [MAGIC_MICROS, MAGIC_NANOS, MAGIC_MICROS_SWAPPED, MAGIC_NANOS_SWAPPED]

export function isPcapMagic(magic: number): boolean {
  return MAGICS.includes(magic)
}

export class PcapReader {
  /** Why reading stopped; empty unless `next` returned Failed. */
  failure = ''
  readonly #input: ByteWindow
  #isLittle = false
  #unitsPerMs = 1000
  /** −1: the file header was not read yet. */
  #linkType = -1

  /** @param input at a magic number that `isPcapMagic` accepts */
  constructor(input: ByteWindow) {
    this.#input = input
  }

  next(packet: CapturedPacket): Step {
    const input = this.#input
    if (this.#linkType < 0 && !this.#readHeader()) return this.failure === '' ? Step.More : Step.Failed
    if (!input.has(RECORD_HEADER)) return input.isFinished && !input.has(1) ? Step.End : Step.More
    const { bytes, at } = input
    const isLittle = this.#isLittle
    const capturedLength = word(bytes, at + 8, isLittle)
    if (capturedLength > PACKET_MAX) {
      const length = grouped(capturedLength)
      this.failure = `invalid data at byte ${grouped(input.offset)}: a packet of ${length} bytes`
      return Step.Failed
    }
    if (!input.has(RECORD_HEADER + capturedLength)) return Step.More
    packet.bytes = bytes
    packet.at = at + RECORD_HEADER
    packet.capturedLength = capturedLength
    packet.wireLength = Math.max(capturedLength, word(bytes, at + 12, isLittle))
    packet.linkType = this.#linkType
    packet.timeMs = word(bytes, at, isLittle) * 1000 + word(bytes, at + 4, isLittle) / this.#unitsPerMs
    input.skip(RECORD_HEADER + capturedLength)
    return Step.Packet
  }

  #readHeader(): boolean {
    const { bytes, at } = this.#input
    if (!this.#input.has(FILE_HEADER)) return false
    const magic = word(bytes, at, false)
    this.#isLittle = magic === MAGIC_MICROS_SWAPPED || magic === MAGIC_NANOS_SWAPPED
    this.#unitsPerMs = magic === MAGIC_NANOS || magic === MAGIC_NANOS_SWAPPED ? 1e6 : 1000
    const version = half(bytes, at + 4, this.#isLittle)
    if (version !== 2) this.failure = `it is a pcap file of version ${version}; only version 2 is supported`
    // The upper half describes frame check sequences.
    else this.#linkType = word(bytes, at + 20, this.#isLittle) & 0xffff
    this.#input.skip(FILE_HEADER)
    return this.#linkType >= 0
  }
}
