import type { Outbox } from '../../core/outbox.ts'
import { OperatorError } from '../../errors.ts'
import type { Sender } from '../../ports.ts'
import { int32At } from '../../wire/bytes.ts'
import {
  AF_INET,
  close,
  Errno,
  errno,
  errnoMessage,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  sendmmsg,
  socket
} from './libc.ts'
import { allocate, type Block } from './memory.ts'
import { INET_ADDRESS_LENGTH, setSendBuffer, swap32 } from './socket.ts'

const IPPROTO_RAW = 255
const SEND_BUFFER_LENGTH = 4 << 20

/** Frames of one system call: with 64 the call itself is a small part of a frame's cost. */
const BATCH_MAX = 64
/** mmsghdr: msghdr of 56 octets, msg_len, padding. Two iovec and a sockaddr_in of 16 octets each per frame. */
const MESSAGE_LENGTH = 64
const RANGES_LENGTH = 32
const RANGES_AT = BATCH_MAX * MESSAGE_LENGTH
const ADDRESSES_AT = RANGES_AT + BATCH_MAX * RANGES_LENGTH
const BLOCK_LENGTH = ADDRESSES_AT + BATCH_MAX * INET_ADDRESS_LENGTH
const HIGH = 0x100000000

function putPointer(words: Int32Array, word: number, address: number): void {
  words[word] = address
  words[word + 1] = Math.floor(address / HIGH)
}

/**
 * Sends IPv4 packets whose headers are complete. The kernel routes them by target and resolves the next hop; it
 * fills in the IP checksum and total length. raw(7), sendmmsg(2)
 *
 * The message headers are made once; per frame only its target and its two ranges are written.
 */
export class RawIpSender implements Sender {
  sentCount = 0
  readonly refused = new Map<number, number>()
  readonly #fd: number
  readonly #memoryAddress: number
  readonly #block: Block = allocate(BLOCK_LENGTH)
  #isOpen = true

  /**
   * @param memoryAddress where the memory of the outboxes is, for C; it stays mapped until `close`
   * @throws OperatorError `no-privilege`
   */
  constructor(memoryAddress: number) {
    this.#memoryAddress = memoryAddress
    this.#fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW)
    if (this.#fd < 0) {
      const message = `cannot open a raw socket: ${errnoMessage(errno())}`
      throw new OperatorError('no-privilege', message, 'run as root or give CAP_NET_RAW', { cause: errno() })
    }
    setSendBuffer(this.#fd, SEND_BUFFER_LENGTH)
    const { words, address } = this.#block
    for (let frame = 0; frame < BATCH_MAX; frame++) {
      const message = (frame * MESSAGE_LENGTH) >>> 2
      const nameAt = ADDRESSES_AT + frame * INET_ADDRESS_LENGTH
      putPointer(words, message, address + nameAt)
      words[message + 2] = INET_ADDRESS_LENGTH
      putPointer(words, message + 4, address + RANGES_AT + frame * RANGES_LENGTH)
      words[message + 6] = 2
      words[nameAt >>> 2] = AF_INET
    }
  }

  /** @inheritDoc Those that find the socket's buffer full are refused: TCP sends them again. */
  flush(outbox: Outbox): void {
    for (let first = 0; first < outbox.count; first += BATCH_MAX) {
      const count = Math.min(BATCH_MAX, outbox.count - first)
      this.#prepare(outbox, first, count)
      this.#send(count)
    }
    outbox.clear()
  }

  close(): void {
    if (this.#isOpen) close(this.#fd)
    this.#isOpen = false
  }

  #prepare(outbox: Outbox, first: number, count: number): void {
    const words = this.#block.words
    for (let index = 0; index < count; index++) {
      const frame = first + index
      const ranges = (RANGES_AT + index * RANGES_LENGTH) >>> 2
      putPointer(words, ranges, this.#memoryAddress + int32At(outbox.headerAt, frame))
      words[ranges + 2] = int32At(outbox.headerLength, frame)
      putPointer(words, ranges + 4, this.#memoryAddress + int32At(outbox.payloadAt, frame))
      words[ranges + 6] = int32At(outbox.payloadLength, frame)
      words[((ADDRESSES_AT + index * INET_ADDRESS_LENGTH) >>> 2) + 1] = swap32(int32At(outbox.targetAddress, frame))
    }
  }

  /** A call stops at a message that fails, and only the next, which begins there, says why. */
  #send(count: number): void {
    let done = 0
    while (done < count) {
      const sent = sendmmsg(this.#fd, this.#block.address + done * MESSAGE_LENGTH, count - done, MSG_DONTWAIT)
      if (sent > 0) {
        this.sentCount += sent
        done += sent
        continue
      }
      const error = errno()
      // A full buffer refuses the others alike; any other reason may be the one frame's own.
      const refusedCount = error === Errno.EAGAIN ? count - done : 1
      this.refused.set(error, (this.refused.get(error) ?? 0) + refusedCount)
      done += refusedCount
    }
  }
}
