/** Collects frames for one sendmmsg(2). */
import type { Outbox } from '../../../core/packets/outbox.ts'
import { int32At } from '../../../wire/bytes.ts'
import { Errno, errno, MSG_DONTWAIT, sendmmsg } from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'

/** Frames per system call: with 64 the call itself is a small part of the cost. */
const MESSAGES_MAX = 64
/** Ranges per system call; a super-packet of 64 KB has some 45. */
const RANGES_MAX = 512
/** mmsghdr: a 56-byte msghdr, msg_len, padding. iovec: address and length. */
const MESSAGE_LENGTH = 64
const RANGE_LENGTH = 16
const RANGES_AT = MESSAGES_MAX * MESSAGE_LENGTH
const NAMES_AT = RANGES_AT + RANGES_MAX * RANGE_LENGTH
const HIGH = 0x100000000

/** Called for a message that was refused. */
export type Refusal = (errno: number, message: number, count: number) => void

function putPointer(words: Int32Array, word: number, address: number): void {
  words[word] = address
  words[word + 1] = Math.floor(address / HIGH)
}

/**
 * The frames of an outbox as arguments of sendmmsg(2). Message headers are written once; for each frame only its ranges
 * change and, by the owner, its name (destination) and prefix (bytes before the headers).
 */
export class MessageBatch {
  static readonly messagesMax = MESSAGES_MAX
  count = 0
  /** Names and prefixes, written at `nameAt` and `prefixAt`. */
  readonly block: Block
  readonly #nameLength: number
  readonly #prefixLength: number
  readonly #prefixesAt: number
  readonly #memoryAddress: number
  #rangeCount = 0
  /** Outbox and frame of each message. */
  #outbox: Outbox | undefined
  readonly #frames = new Int32Array(MESSAGES_MAX)

  /**
   * @param memoryAddress address of the outbox memory, for C; it stays mapped as long as the batch is used
   * @param nameLength bytes of a sockaddr, a multiple of 4
   * @param prefixLength 0: none
   */
  constructor(memoryAddress: number, nameLength: number, prefixLength: number) {
    this.#memoryAddress = memoryAddress
    this.#nameLength = nameLength
    this.#prefixLength = prefixLength
    this.#prefixesAt = NAMES_AT + MESSAGES_MAX * nameLength
    this.block = allocate(this.#prefixesAt + MESSAGES_MAX * this.#prefixStride)
    for (let message = 0; message < MESSAGES_MAX; message++) {
      const word = (message * MESSAGE_LENGTH) >>> 2
      putPointer(this.block.words, word, this.block.address + this.nameAt(message))
      this.block.words[word + 2] = nameLength
    }
  }

  get #prefixStride(): number {
    return (this.#prefixLength + 3) & ~3
  }

  /** Offset of a message's sockaddr in `block`, a multiple of 4. */
  nameAt(message: number): number {
    return NAMES_AT + message * this.#nameLength
  }

  /** Offset of a message's prefix in `block`, a multiple of 4. */
  prefixAt(message: number): number {
    return this.#prefixesAt + message * this.#prefixStride
  }

  /**
   * Adds a frame; all frames up to the next `send` are of one outbox. @returns the message's number, −1 if the batch
   * must be sent first
   */
  add(outbox: Outbox, frame: number): number {
    const first = int32At(outbox.firstRange, frame)
    const end = int32At(outbox.firstRange, frame + 1)
    if (this.count === MESSAGES_MAX || this.#rangeCount + 2 + end - first > RANGES_MAX) return -1
    const { words, address } = this.block
    const message = this.count++
    this.#outbox = outbox
    this.#frames[message] = frame
    const begin = this.#rangeCount
    if (this.#prefixLength > 0) this.#addRange(address + this.prefixAt(message), this.#prefixLength)
    this.#addRange(this.#memoryAddress + int32At(outbox.headerAt, frame), int32At(outbox.headerLength, frame))
    for (let range = first; range < end; range++) {
      this.#addRange(this.#memoryAddress + int32At(outbox.rangeAt, range), int32At(outbox.rangeLength, range))
    }
    const word = (message * MESSAGE_LENGTH) >>> 2
    putPointer(words, word + 4, address + RANGES_AT + begin * RANGE_LENGTH)
    words[word + 6] = this.#rangeCount - begin
    return message
  }

  /**
   * Sends and empties the batch. A call stops at a message that fails, and only the next call, which starts there,
   * returns the reason. A full buffer refuses all remaining messages; any other error may concern the one message only.
   * Refused frames are reported to the outbox.
   */
  send(fd: number, refused: Refusal): void {
    let done = 0
    while (done < this.count) {
      const left = this.count - done
      const sent = sendmmsg(fd, this.block.address + done * MESSAGE_LENGTH, left, MSG_DONTWAIT)
      if (sent > 0) {
        done += sent
        continue
      }
      const error = errno()
      const count = error === Errno.EAGAIN ? left : 1
      refused(error, done, count)
      for (let message = done; message < done + count; message++) this.#outbox?.refuse(int32At(this.#frames, message))
      done += count
    }
    this.count = 0
    this.#rangeCount = 0
  }

  #addRange(address: number, length: number): void {
    const word = (RANGES_AT + this.#rangeCount++ * RANGE_LENGTH) >>> 2
    putPointer(this.block.words, word, address)
    this.block.words[word + 2] = length
  }
}
