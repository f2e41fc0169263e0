/** Reads pcapng files (draft-ietf-opsawg-pcapng). It skips blocks that it does not need. */
import type { ByteWindow } from './byte-window.ts'
import { type CapturedPacket, grouped, half, PACKET_MAX, Step, word } from './captured-packet.ts'

export const SECTION_HEADER = 0x0a0d0d0a
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d
export const BlockType = { Interface: 1, OldPacket: 2, SimplePacket: 3, Statistics: 5, EnhancedPacket: 6 } as const
/** Options of the interface and statistics blocks. */
export const OptionCode = { TimeResolution: 9, TimeOffset: 14, StatisticsDropped: 5 } as const

/** Bytes of block type and length, and of the length again at the end of the block. */
const FRAME = 12
/** Smallest section header block, with byte order, version and section length. */
const SECTION_LEAST = 28
/** Limit of a block: a packet and its options. */
const BLOCK_MAX = 2 * PACKET_MAX
const INTERFACES_MAX = 1 << 16

interface Interface {
  readonly linkType: number
  /** Longest captured packet; 0: no limit. */
  readonly snapLength: number
  readonly unitsPerMs: number
  readonly offsetMs: number
  /** Packets lost so far on this interface, from its last statistics block. */
  lostCount: number
}

export class PcapngReader {
  /** Why reading stopped; empty unless `next` returned Failed. */
  failure = ''
  readonly #input: ByteWindow
  #isLittle = false
  #interfaces: Interface[] = []
  /** Packets lost in earlier sections. */
  #lostBefore = 0
  #lastMs = 0

  /** @param input at a section header */
  constructor(input: ByteWindow) {
    this.#input = input
  }

  /** Packets lost during the capture, as the file reports them. */
  get lostCount(): number {
    return this.#interfaces.reduce((total, { lostCount }) => total + lostCount, this.#lostBefore)
  }

  next(packet: CapturedPacket): Step {
    const input = this.#input
    for (;;) {
      if (!input.has(FRAME)) return input.isFinished && !input.has(1) && !input.isSkipping ? Step.End : Step.More
      const { bytes, at } = input
      const isSection = word(bytes, at, false) === SECTION_HEADER
      if (isSection) {
        const magic = word(bytes, at + 8, false)
        if (magic !== BYTE_ORDER_MAGIC && word(bytes, at + 8, true) !== BYTE_ORDER_MAGIC)
          return this.#fail('a section of unknown byte order')
        this.#isLittle = magic !== BYTE_ORDER_MAGIC
      }
      const type = isSection ? SECTION_HEADER : word(bytes, at, this.#isLittle)
      const length = word(bytes, at + 4, this.#isLittle)
      if (length < (isSection ? SECTION_LEAST : FRAME) || length % 4 !== 0)
        return this.#fail(`a block of ${grouped(length)} bytes`)
      if (!isRead(type)) {
        input.skip(length)
        continue
      }
      if (length > BLOCK_MAX) return this.#fail(`a block of ${grouped(length)} bytes`)
      if (!input.has(length)) return Step.More
      if (word(bytes, at + length - 4, this.#isLittle) !== length) return this.#fail('a block whose two lengths differ')
      const step = this.#takeBlock(type, at, length, packet)
      if (step === Step.Failed) return step
      input.skip(length)
      if (step === Step.Packet) return step
    }
  }

  /** @returns Packet; More if the block holds no packet; or Failed */
  #takeBlock(type: number, at: number, length: number, packet: CapturedPacket): Step {
    switch (type) {
      case SECTION_HEADER:
        return this.#takeSection(at)
      case BlockType.Interface:
        return this.#takeInterface(at, length)
      case BlockType.Statistics:
        return this.#takeStatistics(at, length)
      case BlockType.SimplePacket:
        return this.#takeSimple(at, length, packet)
      default:
        return this.#takePacket(type, at, length, packet)
    }
  }

  #takeSection(at: number): Step {
    const version = half(this.#input.bytes, at + 12, this.#isLittle)
    if (version !== 1) return this.#fail(`a section of version ${version}`)
    this.#lostBefore = this.lostCount
    this.#interfaces = []
    return Step.More
  }

  #takeInterface(at: number, length: number): Step {
    if (length < FRAME + 8) return this.#fail('an interface block that is too short')
    if (this.#interfaces.length === INTERFACES_MAX) return this.#fail('too many interface blocks')
    const { bytes } = this.#input
    const options = at + 16
    const end = at + length - 4
    const resolutionAt = this.#findOption(options, end, OptionCode.TimeResolution, 1)
    const offsetAt = this.#findOption(options, end, OptionCode.TimeOffset, 8)
    this.#interfaces.push({
      linkType: half(bytes, at + 8, this.#isLittle),
      snapLength: word(bytes, at + 12, this.#isLittle),
      unitsPerMs: resolutionAt < 0 ? 1000 : unitsPerMs(bytes[resolutionAt] ?? 0),
      offsetMs: offsetAt < 0 ? 0 : this.#long(offsetAt) * 1000,
      lostCount: 0
    })
    return Step.More
  }

  #takeStatistics(at: number, length: number): Step {
    if (length < FRAME + 12) return this.#fail('a statistics block that is too short')
    const described = this.#interfaces[word(this.#input.bytes, at + 8, this.#isLittle)]
    const droppedAt = this.#findOption(at + 20, at + length - 4, OptionCode.StatisticsDropped, 8)
    // Each block has the total since the start of the capture.
    if (described !== undefined && droppedAt >= 0) described.lostCount = Math.max(0, this.#long(droppedAt))
    return Step.More
  }

  /**
   * A simple packet has neither interface nor time: it belongs to the first interface, and gets the last packet's time.
   */
  #takeSimple(at: number, length: number, packet: CapturedPacket): Step {
    const described = this.#interfaces[0]
    if (length < FRAME + 4 || described === undefined) return this.#fail('a packet without an interface')
    const wireLength = word(this.#input.bytes, at + 8, this.#isLittle)
    const snapLength = described.snapLength === 0 ? wireLength : described.snapLength
    const capturedLength = Math.min(wireLength, length - FRAME - 4, snapLength)
    return this.#give(packet, described, at + 12, capturedLength, wireLength, this.#lastMs)
  }

  #takePacket(type: number, at: number, length: number, packet: CapturedPacket): Step {
    if (length < FRAME + 20) return this.#fail('a packet block that is too short')
    const { bytes } = this.#input
    const isLittle = this.#isLittle
    const index = type === BlockType.OldPacket ? half(bytes, at + 8, isLittle) : word(bytes, at + 8, isLittle)
    const described = this.#interfaces[index]
    if (described === undefined) return this.#fail(`a packet of interface ${index}, which is not described`)
    const capturedLength = word(bytes, at + 20, isLittle)
    if (capturedLength > length - FRAME - 20)
      return this.#fail(`a packet of ${grouped(capturedLength)} bytes in a smaller block`)
    const ticks = word(bytes, at + 12, isLittle) * 0x100000000 + word(bytes, at + 16, isLittle)
    const timeMs = ticks / described.unitsPerMs + described.offsetMs
    return this.#give(packet, described, at + 28, capturedLength, word(bytes, at + 24, isLittle), timeMs)
  }

  #give(
    packet: CapturedPacket,
    described: Interface,
    at: number,
    capturedLength: number,
    wireLength: number,
    timeMs: number
  ): Step {
    if (capturedLength > PACKET_MAX) return this.#fail(`a packet of ${grouped(capturedLength)} bytes`)
    packet.bytes = this.#input.bytes
    packet.at = at
    packet.capturedLength = capturedLength
    packet.wireLength = Math.max(capturedLength, wireLength)
    packet.linkType = described.linkType
    packet.timeMs = timeMs
    this.#lastMs = timeMs
    return Step.Packet
  }

  /** @returns where the value of an option of this length begins, or −1 */
  #findOption(from: number, end: number, code: number, length: number): number {
    const { bytes } = this.#input
    let at = from
    while (at + 4 <= end) {
      const found = half(bytes, at, this.#isLittle)
      const foundLength = half(bytes, at + 2, this.#isLittle)
      if (found === 0 || at + 4 + foundLength > end) return -1
      if (found === code && foundLength === length) return at + 4
      at += 4 + ((foundLength + 3) & ~3)
    }
    return -1
  }

  /** A signed 64-bit integer, rounded to a double. */
  #long(at: number): number {
    const [highAt, lowAt] = this.#isLittle ? [at + 4, at] : [at, at + 4]
    return (
      (word(this.#input.bytes, highAt, this.#isLittle) | 0) * 0x100000000 +
      word(this.#input.bytes, lowAt, this.#isLittle)
    )
  }

  #fail(what: string): Step {
    this.failure = `invalid data at byte ${grouped(this.#input.offset)}: ${what}`
    return Step.Failed
  }
}

function isRead(type: number): boolean {
  return type === SECTION_HEADER || (type >= BlockType.Interface && type <= BlockType.EnhancedPacket && type !== 4)
}

/** if_tsresol is a negative power of 10, or of 2 if its highest bit is set. */
function unitsPerMs(resolution: number): number {
  return (resolution & 0x80 ? 2 ** (resolution & 0x7f) : 10 ** resolution) / 1000
}
