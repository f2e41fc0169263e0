/** Writes pcapng files (draft-ietf-opsawg-pcapng) into a buffer: one section, one interface, times in microseconds. */
import { BlockType, BYTE_ORDER_MAGIC, OptionCode, SECTION_HEADER } from './pcapng.ts'

const PACKET_FRAME = 32
const STATISTICS = 24 + 2 * 12 + 4
const STATISTICS_RECEIVED = 4
/** Value of the interface option if_tsresol: microseconds, which is also the default. */
const MICROSECONDS = 6

export class PcapngWriter {
  /** The first `length` bytes are written. The owner takes them and sets `length` back to 0. */
  readonly bytes: Uint8Array
  length = 0
  readonly #view: DataView

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.bytes.buffer)
  }

  /** Bytes in the buffer after one more packet of `packetLength` bytes and a statistics block. */
  lengthWith(packetLength: number): number {
    return this.length + PACKET_FRAME + padded(packetLength) + STATISTICS
  }

  /** Whether one more packet of `packetLength` bytes and a statistics block fit. */
  fits(packetLength: number): boolean {
    return this.lengthWith(packetLength) <= this.bytes.length
  }

  /** Writes the section header and the description of the interface. */
  begin(linkType: number): void {
    const section = this.#block(SECTION_HEADER, 28)
    this.#word(section + 8, BYTE_ORDER_MAGIC)
    this.#view.setUint16(section + 12, 1, true)
    this.#view.setUint16(section + 14, 0, true)
    // −1: the length of the section is unknown.
    this.#word(section + 16, 0xffffffff)
    this.#word(section + 20, 0xffffffff)
    const described = this.#block(BlockType.Interface, 32)
    this.#view.setUint16(described + 8, linkType, true)
    this.#view.setUint16(described + 10, 0, true)
    this.#word(described + 12, 0)
    this.#option(described + 16, OptionCode.TimeResolution, 1)
    this.#word(described + 20, MICROSECONDS)
    this.#word(described + 24, 0)
  }

  /** Writes a packet, which must fit. @param timeMs milliseconds since 1970 */
  packet(bytes: Uint8Array, at: number, capturedLength: number, wireLength: number, timeMs: number): void {
    const block = this.#block(BlockType.EnhancedPacket, PACKET_FRAME + padded(capturedLength))
    const micros = Math.round(timeMs * 1000)
    this.#word(block + 8, 0)
    this.#word(block + 12, Math.floor(micros / 0x100000000))
    this.#word(block + 16, micros % 0x100000000)
    this.#word(block + 20, capturedLength)
    this.#word(block + 24, wireLength)
    this.bytes.set(bytes.subarray(at, at + capturedLength), block + 28)
    this.bytes.fill(0, block + 28 + capturedLength, block + 28 + padded(capturedLength))
  }

  /** Writes the counts since the start of the file. @param timeMs milliseconds since 1970 */
  statistics(receivedCount: number, droppedCount: number, timeMs: number): void {
    const block = this.#block(BlockType.Statistics, STATISTICS)
    const micros = Math.round(timeMs * 1000)
    this.#word(block + 8, 0)
    this.#word(block + 12, Math.floor(micros / 0x100000000))
    this.#word(block + 16, micros % 0x100000000)
    this.#option(block + 20, STATISTICS_RECEIVED, 8)
    this.#long(block + 24, receivedCount)
    this.#option(block + 32, OptionCode.StatisticsDropped, 8)
    this.#long(block + 36, droppedCount)
    this.#word(block + 44, 0)
  }

  #block(type: number, length: number): number {
    const at = this.length
    this.length += length
    this.#word(at, type)
    this.#word(at + 4, length)
    this.#word(at + length - 4, length)
    return at
  }

  #option(at: number, code: number, length: number): void {
    this.#view.setUint16(at, code, true)
    this.#view.setUint16(at + 2, length, true)
  }

  #word(at: number, value: number): void {
    this.#view.setUint32(at, value, true)
  }

  #long(at: number, value: number): void {
    this.#word(at, value % 0x100000000)
    this.#word(at + 4, Math.floor(value / 0x100000000))
  }
}

function padded(length: number): number {
  return (length + 3) & ~3
}
