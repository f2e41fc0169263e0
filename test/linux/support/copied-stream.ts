/** Sends a byte stream through a sender, and checks what arrives. */
import assert from 'node:assert/strict'
import { POOL_PAGE, SendPool } from '../../../src/core/memory/send-pool.ts'
import { Frames, type PacketStyle } from '../../../src/core/packets/frames.ts'
import { Outbox } from '../../../src/core/packets/outbox.ts'
import { copyFilter6 } from '../../../src/io/linux/capture/filter.ts'
import { PacketRing } from '../../../src/io/linux/capture/ring.ts'
import { mapMemory } from '../../../src/io/linux/system/memory.ts'
import { type Capture, ChecksumState, type PacketSender } from '../../../src/ports.ts'
import { parseAddress } from '../../../src/wire/address.ts'
import { isIpv6 } from '../../../src/wire/address-book.ts'
import { Flaw } from '../../../src/wire/flaw.ts'
import { parseIp } from '../../../src/wire/ipv6.ts'
import { ACK, PSH, Segment, verifyChecksum } from '../../../src/wire/segment.ts'
import { add, seq } from '../../../src/wire/seq.ts'
import { PORT_80, WIRE } from './packets.ts'

const FRAMES_MAX = 16
export const SEGMENT = 1400
export const SEGMENTS = 12
/** The sequence numbers of SEGMENTS segments. */
export const SEQUENCES: readonly number[] = Array.from({ length: SEGMENTS }, (_, index) => 1000 + index * SEGMENT)

/** A connection's style, a pool with its bytes, and frames for it. */
export class CopiedStream {
  readonly memory = mapMemory(FRAMES_MAX * Outbox.headerStride + 4 * POOL_PAGE)
  readonly ways: string[] = []
  readonly sender: PacketSender
  /** Whether it makes super-packets if the sender accepts them. */
  isSegmenting = true
  readonly #outbox = new Outbox(this.memory.bytes, 0, FRAMES_MAX)
  readonly #pool = new SendPool(this.memory.bytes, FRAMES_MAX * Outbox.headerStride, 4)
  readonly #frames: Frames

  /** @param open makes the sender of the frames at this address; it calls `say` when a next hop changes */
  constructor(open: (memoryAddress: number, say: (of: string, way: string) => void) => PacketSender) {
    this.sender = open(this.memory.address, (of, way) => this.ways.push(`${of} ${way}`))
    this.#frames = new Frames(
      this.#outbox,
      this.#pool,
      () => this.sender.flush(this.#outbox),
      (target) => this.isSegmenting && this.sender.canSegment(target)
    )
  }

  /** Sends SEGMENTS segments from a piece each, or ten from one piece. */
  say(target: number, isOnePiece: boolean): void {
    const captured = new Segment()
    captured.bytes = Uint8Array.from({ length: SEGMENTS * SEGMENT }, (_, at) => at * 31)
    captured.payloadLength = captured.bytes.length
    captured.seq = seq(1000)
    captured.ipId = 65_530
    captured.dontFragment = true
    const count = isOnePiece ? 1 : SEGMENTS
    const pieces: number[] = []
    const length = isOnePiece ? 10 * SEGMENT : SEGMENT
    const style: PacketStyle = { ...(isIpv6(target) ? STYLE_6 : STYLE), targetAddress: target }
    for (let index = 0; index < count; index++) {
      const piece = this.#pool.add(captured, seq(index * length), index * length, length, index, index === count - 1)
      const { packet } = this.#frames
      packet.flags = index === count - 1 ? ACK | PSH : ACK
      packet.sequence = add(captured.seq, index * length)
      packet.acknowledgment = seq(7)
      packet.window = 500
      packet.piece = piece
      pieces.push(piece)
      packet.offset = 0
      packet.length = length
      packet.segmentMax = SEGMENT
      packet.isCopy = true
      this.#frames.write(style)
    }
    this.sender.flush(this.#outbox)
    for (const piece of pieces) this.#pool.free(piece)
  }

  [Symbol.dispose](): void {
    this.sender.close()
    this.memory.close()
  }
}

const STYLE: PacketStyle = {
  clientAddress: 0x0a090001,
  clientPort: 4000,
  targetAddress: WIRE,
  targetPort: 80,
  ttl: 64,
  trafficClass: 0,
  flowLabel: 0,
  mss: 0,
  windowScale: -1,
  isSackPermitted: false,
  hasTimestamps: true
}

/** The same over IPv6. */
const STYLE_6: PacketStyle = { ...STYLE, clientAddress: parseAddress('fd09::1') ?? 0, flowLabel: 0x54321 }

interface SeenSegment {
  readonly sequence: number
  readonly length: number
  readonly id: number
  readonly isPushed: boolean
}

/** Takes what a capture saw, and checks the bytes and the checksum of each segment. */
export function drain(capture: Capture): SeenSegment[] {
  const seen: SeenSegment[] = []
  const segment = new Segment()
  capture.receive((bytes, at, captured, wire, checksum) => {
    const flaw = parseIp(bytes, at, captured, wire, false, segment)
    // The filter accepts the kernel's multicast reports (RFC 3810), which have a Hop-by-Hop header.
    if (flaw === Flaw.NotTcp && (bytes[at] ?? 0) >>> 4 === 6) return
    assert.equal(flaw, Flaw.None)
    if (checksum !== ChecksumState.Partial) assert.equal(verifyChecksum(segment), Flaw.None)
    for (let index = 0; index < segment.payloadLength; index++) {
      const expected = ((segment.seq - 1000 + index) * 31) & 255
      if (bytes[segment.payloadAt + index] !== expected) assert.fail(`byte ${segment.seq + index} is wrong`)
    }
    const { seq: sequence, payloadLength: length, ipId: id, flags } = segment
    seen.push({ sequence, length, id, isPushed: (flags & PSH) !== 0 })
  }, 1000)
  return seen
}

export function capture(version: 4 | 6 = 4): PacketRing {
  const filter = version === 6 ? copyFilter6([{ address: 0, port: 80 }]) : PORT_80
  return new PacketRing({ device: 'vb', link: 'cooked', version, filter, ringMegabytes: 1 })
}
