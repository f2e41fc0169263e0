/**
 * The packets that a batch leaves to be sent: IP and TCP headers in one arena, payloads where they are kept.
 *
 * A frame is a header range and a payload range of one memory, so that a payload is copied once, when it is
 * captured, and never again. The sender hands both ranges to the kernel.
 */
export class Outbox {
  /** Headers and payloads both lie in here; the sender needs its address only. */
  readonly memory: Uint8Array
  readonly headerAt: Int32Array
  readonly headerLength: Int32Array
  readonly payloadAt: Int32Array
  readonly payloadLength: Int32Array
  /** Where each frame goes: IPv4, host byte order. */
  readonly targetAddress: Int32Array
  readonly framesMax: number
  count = 0
  readonly #arenaAt: number

  /** Octets kept for one frame's headers: IPv4 without options, TCP with 40 octets of them, rounded up. */
  static readonly headerStride = 96

  /** @param arenaAt where in `memory` the arena of `framesMax × headerStride` octets begins */
  constructor(memory: Uint8Array, arenaAt: number, framesMax: number) {
    this.memory = memory
    this.#arenaAt = arenaAt
    this.framesMax = framesMax
    this.headerAt = new Int32Array(framesMax)
    this.headerLength = new Int32Array(framesMax)
    this.payloadAt = new Int32Array(framesMax)
    this.payloadLength = new Int32Array(framesMax)
    this.targetAddress = new Int32Array(framesMax)
  }

  /** Where the next frame's header is to be written. Only while `count < framesMax`. */
  nextHeaderAt(): number {
    return this.#arenaAt + this.count * Outbox.headerStride
  }

  /** Adds the frame whose header was written at `nextHeaderAt()`. */
  add(headerLength: number, payloadAt: number, payloadLength: number, targetAddress: number): void {
    const frame = this.count++
    this.headerAt[frame] = this.#arenaAt + frame * Outbox.headerStride
    this.headerLength[frame] = headerLength
    this.payloadAt[frame] = payloadAt
    this.payloadLength[frame] = payloadLength
    this.targetAddress[frame] = targetAddress
  }

  clear(): void {
    this.count = 0
  }
}
