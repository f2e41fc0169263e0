/** Captures packets through a raw IP socket. */
import { OperatorError } from '../../../errors.ts'
import { type Capture, ChecksumState, type PacketSink } from '../../../ports.ts'
import { int32At } from '../../../wire/bytes.ts'
import type { FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { setReceiveBuffer } from '../sockets/socket.ts'
import {
  AF_INET,
  close,
  errno,
  errnoMessage,
  getsockopt,
  MSG_DONTWAIT,
  MSG_TRUNC,
  recv,
  recvmmsg,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  socket
} from '../system/libc.ts'
import { allocate, type Block, type Mapping, mapMemory } from '../system/memory.ts'
import { NOTHING } from './filter-code.ts'
import { attachFilter } from './packet-socket.ts'

export interface IpCaptureOptions {
  /** 6: TCP, 17: UDP. */
  readonly protocol: number
  /** Finds the IP header at offset 0. */
  readonly filter: FilterProgram
  /** Size of the socket buffer in MiB, with the kernel's overhead. */
  readonly bufferMegabytes: number
  /** Capture nothing until `begin`. Default: false. */
  readonly isHeld?: boolean
}

const SO_MEMINFO = 55
/** Nine words, linux/sock_diag.h; this one counts packets that did not fit. */
const MEMINFO_LENGTH = 36
const MEMINFO_DROPS = 8
const MEGABYTE = 0x100000

/** Packets per system call. */
const BATCH_MAX = 64
/** Room for the largest IPv4 packet. */
const SLOT_LENGTH = 0x10000
/** mmsghdr and iovec, recvmmsg(2). */
const MESSAGE_LENGTH = 64
const MESSAGE_OCTETS_AT = 56
const RANGE_LENGTH = 16
const RANGES_AT = BATCH_MAX * MESSAGE_LENGTH
const HIGH = 0x100000000

function putPointer(words: Int32Array, word: number, address: number): void {
  words[word] = address
  words[word + 1] = Math.floor(address / HIGH)
}

/**
 * Captures the IPv4 packets that this host accepts, through a raw socket: raw(7). The kernel has reassembled fragments
 * and applied the firewall. Packets from this host to itself have no checksum yet.
 */
export class IpCapture implements Capture {
  /** The caller watches it for POLLIN. */
  readonly fd: number
  readonly #slots: Mapping = mapMemory(BATCH_MAX * SLOT_LENGTH)
  readonly #headers: Block = allocate(RANGES_AT + BATCH_MAX * RANGE_LENGTH)
  readonly #memory: Block = allocate(MEMINFO_LENGTH + 4)
  readonly #filter: FilterProgram
  #droppedCount = 0
  #isOpen = true

  /** @throws OperatorError `no-privilege`, `bad-filter` */
  constructor(options: IpCaptureOptions) {
    this.fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, options.protocol)
    if (this.fd < 0) {
      const message = `cannot open a raw socket: ${errnoMessage(errno())}`
      throw new OperatorError('no-privilege', message, 'Run as root, or grant CAP_NET_RAW.', { cause: errno() })
    }
    this.#filter = options.filter
    setReceiveBuffer(this.fd, options.bufferMegabytes * MEGABYTE)
    try {
      attachFilter(this.fd, options.isHeld === true ? NOTHING : options.filter)
    } catch (error) {
      close(this.fd)
      this.#slots.close()
      throw error
    }
    // The socket has received packets without a filter since it was created.
    while (recv(this.fd, this.#slots.address, SLOT_LENGTH, MSG_DONTWAIT) >= 0) {}
    this.#prepareHeaders()
  }

  /** Starts a socket that `isHeld`. @throws OperatorError `bad-filter` */
  begin(): void {
    attachFilter(this.fd, this.#filter)
  }

  receive(sink: PacketSink, packetsMax: number): number {
    const { words, address } = this.#headers
    let count = 0
    while (count < packetsMax) {
      const wanted = Math.min(BATCH_MAX, packetsMax - count)
      const received = recvmmsg(this.fd, address, wanted, MSG_DONTWAIT | MSG_TRUNC, 0)
      for (let index = 0; index < received; index++) {
        const length = int32At(words, (index * MESSAGE_LENGTH + MESSAGE_OCTETS_AT) >>> 2)
        sink(this.#slots.bytes, index * SLOT_LENGTH, Math.min(length, SLOT_LENGTH), length, ChecksumState.Filed)
      }
      if (received > 0) count += received
      if (received < wanted) break
    }
    return count
  }

  /** @inheritDoc The kernel counts drops before it filters, so unrelated packets are included. */
  dropped(): number {
    if (!this.#isOpen) return this.#droppedCount
    const { words, address } = this.#memory
    words[MEMINFO_LENGTH >>> 2] = MEMINFO_LENGTH
    if (getsockopt(this.fd, SOL_SOCKET, SO_MEMINFO, address, address + MEMINFO_LENGTH) === 0) {
      this.#droppedCount = int32At(words, MEMINFO_DROPS) >>> 0
    }
    return this.#droppedCount
  }

  /** The bytes that sinks saw become invalid. */
  close(): void {
    if (!this.#isOpen) return
    this.dropped()
    this.#isOpen = false
    this.#slots.close()
    close(this.fd)
  }

  #prepareHeaders(): void {
    const { words, address } = this.#headers
    for (let index = 0; index < BATCH_MAX; index++) {
      const range = (RANGES_AT + index * RANGE_LENGTH) >>> 2
      const message = (index * MESSAGE_LENGTH) >>> 2
      putPointer(words, message + 4, address + range * 4)
      words[message + 6] = 1
      putPointer(words, range, this.#slots.address + index * SLOT_LENGTH)
      words[range + 2] = SLOT_LENGTH
    }
  }
}
