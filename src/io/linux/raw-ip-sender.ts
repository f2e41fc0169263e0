import type { Outbox } from '../../core/outbox.ts'
import { OperatorError } from '../../errors.ts'
import type { Sender } from '../../ports.ts'
import { int32At } from '../../wire/bytes.ts'
import { AF_INET, close, errno, errnoMessage, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, socket } from './libc.ts'
import { MessageBatch } from './message-batch.ts'
import { PathMtus } from './path-mtus.ts'
import { Rtnetlink } from './rtnetlink.ts'
import { INET_ADDRESS_LENGTH, setSendBuffer, swap32 } from './socket.ts'

const IPPROTO_RAW = 255
export const SEND_BUFFER_LENGTH = 4 << 20

/**
 * Sends IPv4 packets whose headers are complete. The kernel routes them by target and resolves the next hop; it
 * fills in the IP checksum and total length. raw(7), sendmmsg(2)
 */
export class RawIpSender implements Sender {
  sentCount = 0
  readonly refused = new Map<number, number>()
  readonly #fd: number
  readonly #batch: MessageBatch
  readonly #routes = new Rtnetlink()
  readonly #mtus = new PathMtus(this.#routes)
  #isOpen = true
  readonly #takeRefusal = (error: number, _message: number, count: number): void => {
    this.refused.set(error, (this.refused.get(error) ?? 0) + count)
    this.sentCount -= count
  }

  /**
   * @param memoryAddress where the memory of the outboxes is, for C; it stays mapped until `close`
   * @throws OperatorError `no-privilege`
   */
  constructor(memoryAddress: number) {
    this.#fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW)
    if (this.#fd < 0) {
      const message = `cannot open a raw socket: ${errnoMessage(errno())}`
      throw new OperatorError('no-privilege', message, 'run as root or give CAP_NET_RAW', { cause: errno() })
    }
    setSendBuffer(this.#fd, SEND_BUFFER_LENGTH)
    this.#batch = new MessageBatch(memoryAddress, INET_ADDRESS_LENGTH, 0)
  }

  /** @inheritDoc Never: the kernel takes no packet from a raw socket that is longer than the device's. */
  canSegment(): boolean {
    return false
  }

  mtu(targetAddress: number): number {
    return this.#mtus.to(targetAddress)
  }

  refresh(): void {
    this.#mtus.refresh()
  }

  /** @inheritDoc Those that find the socket's buffer full are refused: TCP sends them again. */
  flush(outbox: Outbox): void {
    for (let frame = 0; frame < outbox.count; frame++) this.add(outbox, frame)
    this.send()
    outbox.clear()
  }

  /** Adds a frame to the batch, which is sent when it is full. */
  add(outbox: Outbox, frame: number): void {
    let message = this.#batch.add(outbox, frame)
    if (message < 0) {
      this.send()
      message = this.#batch.add(outbox, frame)
    }
    const word = this.#batch.nameAt(message) >>> 2
    this.#batch.block.words[word] = AF_INET
    this.#batch.block.words[word + 1] = swap32(int32At(outbox.targetAddress, frame))
  }

  /** Sends the batch. */
  send(): void {
    this.sentCount += this.#batch.count
    this.#batch.send(this.#fd, this.#takeRefusal)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#routes.close()
    close(this.#fd)
  }
}
