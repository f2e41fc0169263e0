/** Sends packets through raw IP sockets. */
import type { Outbox } from '../../../core/packets/outbox.ts'
import { OperatorError } from '../../../errors.ts'
import type { PacketSender } from '../../../ports.ts'
import { isIpv6 } from '../../../wire/address-book.ts'
import { int32At } from '../../../wire/bytes.ts'
import { Rtnetlink } from '../netlink/rtnetlink.ts'
import { INET_ADDRESS_LENGTH, INET6_ADDRESS_LENGTH, putInetAddress, setSendBuffer } from '../sockets/socket.ts'
import {
  AF_INET,
  AF_INET6,
  close,
  errno,
  errnoMessage,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  socket
} from '../system/libc.ts'
import { MessageBatch, type Refusal } from './message-batch.ts'
import { PathMtus } from './path-mtus.ts'

const IPPROTO_RAW = 255
export const SEND_BUFFER_LENGTH = 4 << 20

/** A raw socket for one IP version, and its frames. */
class RawSocket {
  readonly batch: MessageBatch
  readonly #fd: number
  #isOpen = true

  /** @throws OperatorError `no-privilege` */
  constructor(memoryAddress: number, family: number, nameLength: number) {
    this.#fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW)
    if (this.#fd < 0) {
      const message = `cannot open a raw socket: ${errnoMessage(errno())}`
      throw new OperatorError('no-privilege', message, 'Run as root, or grant CAP_NET_RAW.', { cause: errno() })
    }
    setSendBuffer(this.#fd, SEND_BUFFER_LENGTH)
    this.batch = new MessageBatch(memoryAddress, nameLength, 0)
  }

  send(refused: Refusal): void {
    this.batch.send(this.#fd, refused)
  }

  close(): void {
    if (this.#isOpen) close(this.#fd)
    this.#isOpen = false
  }
}

/**
 * Sends IP packets with complete headers. The kernel routes them by target, resolves the next hop, and fills in the IP
 * checksum and total length. raw(7), ipv6(7), sendmmsg(2)
 */
export class RawIpSender implements PacketSender {
  sentCount = 0
  readonly refused = new Map<number, number>()
  readonly #memoryAddress: number
  readonly #ipv4: RawSocket
  #ipv6: RawSocket | undefined
  readonly #routes = new Rtnetlink()
  readonly #mtus = new PathMtus(this.#routes)
  #isOpen = true
  readonly #takeRefusal = (error: number, _message: number, count: number): void => {
    this.refused.set(error, (this.refused.get(error) ?? 0) + count)
    this.sentCount -= count
  }

  /**
   * @param memoryAddress address of the outbox memory, for C; it stays mapped until `close`
   * @throws OperatorError `no-privilege`
   */
  constructor(memoryAddress: number) {
    this.#memoryAddress = memoryAddress
    this.#ipv4 = new RawSocket(memoryAddress, AF_INET, INET_ADDRESS_LENGTH)
  }

  /** Call this before the first IPv6 frame. @throws OperatorError `no-privilege` */
  openIpv6(): void {
    this.#ipv6 = new RawSocket(this.#memoryAddress, AF_INET6, INET6_ADDRESS_LENGTH)
  }

  /** @inheritDoc Never: a raw socket takes no packet larger than the device's MTU. */
  canSegment(): boolean {
    return false
  }

  mtu(targetAddress: number): number {
    return this.#mtus.to(targetAddress)
  }

  refresh(): void {
    this.#mtus.refresh()
  }

  /** @inheritDoc Frames are refused while the socket buffer is full; TCP retransmits them. */
  flush(outbox: Outbox): void {
    for (let frame = 0; frame < outbox.count; frame++) this.add(outbox, frame)
    this.send()
    outbox.clear()
  }

  /** Adds a frame to the batch, and sends it when it is full. */
  add(outbox: Outbox, frame: number): void {
    const target = int32At(outbox.targetAddress, frame)
    const raw = isIpv6(target) ? this.#ipv6 : this.#ipv4
    if (raw === undefined) throw new Error('no socket for IPv6 frames')
    let message = raw.batch.add(outbox, frame)
    if (message < 0) {
      this.#sendOf(raw)
      message = raw.batch.add(outbox, frame)
    }
    putInetAddress(raw.batch.block, target, 0, raw.batch.nameAt(message))
  }

  /** Sends the batches. */
  send(): void {
    this.#sendOf(this.#ipv4)
    if (this.#ipv6 !== undefined) this.#sendOf(this.#ipv6)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#routes.close()
    this.#ipv4.close()
    this.#ipv6?.close()
  }

  #sendOf(raw: RawSocket): void {
    this.sentCount += raw.batch.count
    raw.send(this.#takeRefusal)
  }
}
