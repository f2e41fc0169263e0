/**
 * The outbox collects frames until they are sent.
 *
 * A frame is a range of headers in an arena and ranges of payload in the send pool, all in one memory, so payload is
 * never copied after its capture. The sender passes the ranges to the kernel. A frame with more payload than its
 * `segmentLength` is a super-packet, which the kernel or the network card cuts into packets.
 */
import { int32At } from '../../wire/bytes.ts'

export class Outbox {
  /** Holds headers and payload. All `…At` below are offsets in it. */
  readonly memory: Uint8Array
  readonly headerAt: Int32Array
  readonly headerLength: Int32Array
  /** Index of the first payload range of each frame. The ranges of frame n end where those of frame n + 1 begin. */
  readonly firstRange: Int32Array
  readonly rangeAt: Int32Array
  readonly rangeLength: Int32Array
  readonly payloadLength: Int32Array
  /**
   * 0: the frame is one packet with a complete checksum. Otherwise the bytes of payload in each packet of the frame
   * except the last; the checksum field has only the sum of the pseudo-header, not complemented, and the sender must
   * complete it.
   */
  readonly segmentLength: Int32Array
  /** Destination address of each frame. */
  readonly targetAddress: Int32Array
  readonly framesMax: number
  readonly rangesMax: number
  count = 0
  rangeCount = 0
  /** Bytes of payload in all frames. */
  payloadBytes = 0
  /** Frames that the kernel refused since the start, and the bytes of payload in them. */
  refusedFrames = 0
  refusedBytes = 0
  /** The last frame may be extended. */
  isOpen = false
  readonly #arenaAt: number

  /** Bytes reserved for one frame's headers: IPv6, and TCP with 40 bytes of options, rounded up. */
  static readonly headerStride = 104

  /** @param arenaAt where in `memory` the arena of `framesMax × headerStride` bytes begins */
  constructor(memory: Uint8Array, arenaAt: number, framesMax: number) {
    this.memory = memory
    this.#arenaAt = arenaAt
    this.framesMax = framesMax
    this.rangesMax = 4 * framesMax
    this.headerAt = new Int32Array(framesMax)
    this.headerLength = new Int32Array(framesMax)
    this.firstRange = new Int32Array(framesMax + 1)
    this.rangeAt = new Int32Array(this.rangesMax)
    this.rangeLength = new Int32Array(this.rangesMax)
    this.payloadLength = new Int32Array(framesMax)
    this.segmentLength = new Int32Array(framesMax)
    this.targetAddress = new Int32Array(framesMax)
  }

  /** True if another frame or another payload range does not fit. */
  get isFull(): boolean {
    return this.count === this.framesMax || this.rangeCount === this.rangesMax
  }

  /** Where to write the next frame's header. Only while not full. */
  nextHeaderAt(): number {
    return this.#arenaAt + this.count * Outbox.headerStride
  }

  /**
   * Adds the frame whose header was written at `nextHeaderAt()`.
   * @param payloadLength 0: no payload; @param segmentLength see the field
   */
  add(headerLength: number, payloadAt: number, payloadLength: number, target: number, segmentLength = 0): void {
    const frame = this.count++
    this.headerAt[frame] = this.#arenaAt + frame * Outbox.headerStride
    this.headerLength[frame] = headerLength
    this.payloadLength[frame] = 0
    this.segmentLength[frame] = segmentLength
    this.targetAddress[frame] = target
    this.isOpen = false
    if (payloadLength > 0) this.#addRange(payloadAt, payloadLength)
    this.firstRange[this.count] = this.rangeCount
  }

  /** Appends payload to the last frame, which becomes a super-packet. */
  extend(payloadAt: number, payloadLength: number, segmentLength: number): void {
    this.segmentLength[this.count - 1] = segmentLength
    this.#addRange(payloadAt, payloadLength)
    this.firstRange[this.count] = this.rangeCount
  }

  /** The number of packets that a frame becomes on the wire. */
  packetCount(frame: number): number {
    const segmentLength = int32At(this.segmentLength, frame)
    return segmentLength === 0 ? 1 : Math.ceil(int32At(this.payloadLength, frame) / segmentLength)
  }

  /** Called by the sender if the kernel refuses a frame. */
  refuse(frame: number): void {
    this.refusedFrames += 1
    this.refusedBytes += int32At(this.payloadLength, frame)
  }

  clear(): void {
    this.count = 0
    this.rangeCount = 0
    this.payloadBytes = 0
    this.isOpen = false
  }

  #addRange(at: number, length: number): void {
    this.rangeAt[this.rangeCount] = at
    this.rangeLength[this.rangeCount++] = length
    this.payloadBytes += length
    const frame = this.count - 1
    this.payloadLength[frame] = int32At(this.payloadLength, frame) + length
  }
}
