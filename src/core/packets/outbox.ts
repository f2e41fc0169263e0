/**
 * The packets that a batch leaves to be sent: IP and TCP headers in one arena, payloads where they are kept.
 *
 * A frame is a header range and ranges of payload in one memory, so that a payload is copied once, when it is
 * captured, and never again. The sender hands all ranges to the kernel. A frame with more payload than its
 * `segmentLength` is a super-packet: the kernel, or the network card, cuts it.
 */
import { int32At } from '../../wire/bytes.ts'

export class Outbox {
  /** Headers and payloads both lie in here; the sender needs its address only. */
  readonly memory: Uint8Array
  readonly headerAt: Int32Array
  readonly headerLength: Int32Array
  /** The first range of each frame's payload; those of frame n end where those of frame n + 1 begin. */
  readonly firstRange: Int32Array
  readonly rangeAt: Int32Array
  readonly rangeLength: Int32Array
  readonly payloadLength: Int32Array
  /**
   * 0: the frame is one packet with its checksum. Else the octets of payload of each packet that it is cut into, the
   * last excepted; the checksum has only the pseudo-header's part, not complemented, and who sends has to finish it.
   */
  readonly segmentLength: Int32Array
  /** Where each frame goes: an address. */
  readonly targetAddress: Int32Array
  readonly framesMax: number
  readonly rangesMax: number
  count = 0
  rangeCount = 0
  /** Octets of payload in all frames. */
  payloadBytes = 0
  /** Frames that the sender could not get sent since the start, and the octets of payload in them. */
  refusedFrames = 0
  refusedBytes = 0
  /** The last frame may be made longer. */
  isOpen = false
  readonly #arenaAt: number

  /** Octets kept for one frame's headers: IPv6, and TCP with 40 octets of options, rounded up. */
  static readonly headerStride = 104

  /** @param arenaAt where in `memory` the arena of `framesMax × headerStride` octets begins */
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

  /** True if there is no room for another frame; `extend` needs room as well. */
  get isFull(): boolean {
    return this.count === this.framesMax || this.rangeCount === this.rangesMax
  }

  /** Where the next frame's header is to be written. Only while not full. */
  nextHeaderAt(): number {
    return this.#arenaAt + this.count * Outbox.headerStride
  }

  /**
   * Adds the frame whose header was written at `nextHeaderAt()`.
   * @param payloadLength 0: it has no payload; @param segmentLength see there
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

  /** Puts more payload behind that of the last frame, which becomes a super-packet. */
  extend(payloadAt: number, payloadLength: number, segmentLength: number): void {
    this.segmentLength[this.count - 1] = segmentLength
    this.#addRange(payloadAt, payloadLength)
    this.firstRange[this.count] = this.rangeCount
  }

  /** How many packets a frame is on the wire. */
  packetCount(frame: number): number {
    const segmentLength = int32At(this.segmentLength, frame)
    return segmentLength === 0 ? 1 : Math.ceil(int32At(this.payloadLength, frame) / segmentLength)
  }

  /** For the sender: the kernel did not take this frame. */
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
