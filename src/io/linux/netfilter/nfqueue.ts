/** Captures packets from an NFQUEUE of the firewall. */
import { readFileSync } from 'node:fs'
import { OperatorError } from '../../../errors.ts'
import { type Capture, ChecksumState, type PacketSink } from '../../../ports.ts'
import { addressBook } from '../../../wire/address-book.ts'
import { i32, int32At, put32, u8 } from '../../../wire/bytes.ts'
import { IPV6_HEADER } from '../../../wire/ipv6.ts'
import { IPV4_HEADER } from '../../../wire/segment.ts'
import {
  ATTRIBUTE_HEADER,
  aligned,
  attributeLength,
  attributeType,
  MESSAGE_HEADER,
  openNetfilter,
  putAttribute,
  putMessageHeader,
  request
} from '../netlink/netlink.ts'
import { setOption, setReceiveBuffer } from '../sockets/socket.ts'
import { close, Errno, errno, errnoMessage, MSG_DONTWAIT, recvmmsg, send } from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'

export interface NfQueueOptions {
  /** Queue number, 0 to 65535, as in the rule's `--queue-num`. */
  readonly queue: number
  /** Most packets that wait in the queue; the kernel drops others. */
  readonly lengthMax: number
  /** Bytes to capture of each packet, up to 400. */
  readonly snapLength: number
  /** Addresses whose packets pass, without being delivered. */
  readonly passed: readonly number[]
}

const SOL_NETLINK = 270
const NETLINK_NO_ENOBUFS = 5

/** linux/netfilter/nfnetlink_queue.h: subsystem 3 and its messages. */
const NFQNL_MSG_PACKET = 0x300
const NFQNL_MSG_VERDICT = 0x301
const NFQNL_MSG_CONFIG = 0x302
const NFQNL_MSG_VERDICT_BATCH = 0x303
const NFQA_PACKET_HDR = 1
const NFQA_VERDICT_HDR = 2
const NFQA_PAYLOAD = 10
const NFQA_CAP_LEN = 13
const NFQA_CFG_CMD = 1
const NFQA_CFG_PARAMS = 2
const NFQA_CFG_QUEUE_MAXLEN = 3
const NFQA_CFG_MASK = 4
const NFQA_CFG_FLAGS = 5
const NFQNL_CFG_CMD_BIND = 1
const NFQNL_COPY_PACKET = 2
const NFQA_CFG_F_FAIL_OPEN = 1
const NFQA_CFG_F_GSO = 4
const NF_DROP = 0
const NF_ACCEPT = 1

/** Messages per system call. */
const BATCH_MAX = 64
/** Size of a packet's message: headers, some 60 bytes of attributes, and the start of the packet. */
const SLOT_LENGTH = 512
const VERDICT_LENGTH = MESSAGE_HEADER + ATTRIBUTE_HEADER + 8
/** mmsghdr and iovec, sendmmsg(2). */
const MMSGHDR_LENGTH = 64
const IOVEC_LENGTH = 16
const IOVECS_AT = BATCH_MAX * MMSGHDR_LENGTH
const HIGH = 0x100000000
/** Least size that a message takes in the socket buffer, with its sk_buff. */
const BUFFERED_LENGTH = 1280
const BUFFER_MAX = 256 << 20
const CAP_NET_ADMIN = 12n

/**
 * Receives packets from NFQUEUE over plain netlink, and drops them in the kernel. A firewall rule selects the packets.
 * Each is delivered once; super-packets arrive whole (NFQA_CFG_F_GSO), with an unfinished checksum.
 *
 * The kernel drops packets when the queue is full. Letting them pass (NFQA_CFG_F_FAIL_OPEN) would send answers to real
 * clients under load, while the target's TCP retransmits what was dropped.
 */
export class NfQueue implements Capture {
  /** The caller watches it for POLLIN. */
  readonly fd: number
  readonly #queue: number
  readonly #passed: ReadonlySet<number>
  readonly #slots: Block = allocate(BATCH_MAX * SLOT_LENGTH)
  readonly #headers: Block = allocate(IOVECS_AT + BATCH_MAX * IOVEC_LENGTH)
  /** One verdict for each packet that passes, and one for all others. */
  readonly #verdicts: Block = allocate((BATCH_MAX + 1) * VERDICT_LENGTH)
  #verdictsLength = 0
  /** Expected number of the next packet; a gap means that the socket was full. */
  #nextId = 1
  #missedCount = 0
  #passedCount = 0
  #fullCount = 0
  /** Of the message that `#find` read last. */
  #packetAt = 0
  #packetLength = 0
  #wireLength = 0
  #isOpen = true

  /** @throws OperatorError `no-privilege`, `queue-in-use`, `no-nfqueue` */
  constructor(options: NfQueueOptions) {
    this.#queue = options.queue
    this.#passed = new Set(options.passed)
    const fd = openNetfilter()
    if (fd < 0) throw refusal(options.queue, errno())
    this.fd = fd
    setReceiveBuffer(fd, Math.min(options.lengthMax * BUFFERED_LENGTH, BUFFER_MAX))
    // Packet numbers reveal overflows; reported as an error, they would also cost the following packets.
    setOption(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
    const error = bindQueue(fd, options)
    if (error !== 0) {
      close(fd)
      throw refusal(options.queue, error)
    }
    this.#prepareHeaders()
  }

  receive(sink: PacketSink, packetsMax: number): number {
    let count = 0
    while (count < packetsMax) {
      const wanted = Math.min(BATCH_MAX, packetsMax - count)
      const received = recvmmsg(this.fd, this.#headers.address, wanted, MSG_DONTWAIT, 0)
      if (received <= 0) break
      count += this.#takeBatch(sink, received)
      if (received < wanted) break
    }
    return count
  }

  /** @inheritDoc Packets lost because the socket was full and, where the system tells, because the queue was. */
  dropped(): number {
    if (this.#isOpen) this.#fullCount = fullQueueDrops(this.#queue) ?? this.#fullCount
    return this.#missedCount + this.#fullCount
  }

  passed(): number {
    return this.#passedCount
  }

  /** The kernel drops the packets that still wait. */
  close(): void {
    if (!this.#isOpen) return
    this.dropped()
    this.#isOpen = false
    close(this.fd)
  }

  #prepareHeaders(): void {
    const { words, address } = this.#headers
    for (let index = 0; index < BATCH_MAX; index++) {
      const iovec = (IOVECS_AT + index * IOVEC_LENGTH) >>> 2
      const message = (index * MMSGHDR_LENGTH) >>> 2
      putPointer(words, message + 4, address + iovec * 4)
      words[message + 6] = 1
      putPointer(words, iovec, this.#slots.address + index * SLOT_LENGTH)
      words[iovec + 2] = SLOT_LENGTH
    }
  }

  /** @returns the number of packets in the messages */
  #takeBatch(sink: PacketSink, received: number): number {
    this.#verdictsLength = 0
    let count = 0
    let lastId = 0
    let dropCount = 0
    for (let index = 0; index < received; index++) {
      const at = index * SLOT_LENGTH
      // Other messages are rejected verdicts, about which nothing can be done.
      if ((int32At(this.#slots.words, (at >>> 2) + 1) & 0xffff) !== NFQNL_MSG_PACKET) continue
      const length = Math.min(int32At(this.#headers.words, (index * MMSGHDR_LENGTH + 56) >>> 2), SLOT_LENGTH)
      count++
      const id = this.#find(at, at + length)
      if (this.#passes()) {
        this.#addVerdict(NFQNL_MSG_VERDICT, NF_ACCEPT, id)
        this.#passedCount++
        continue
      }
      sink(this.#slots.bytes, this.#packetAt, this.#packetLength, this.#wireLength, ChecksumState.Partial)
      lastId = id
      dropCount++
    }
    if (dropCount > 0) this.#addVerdict(NFQNL_MSG_VERDICT_BATCH, NF_DROP, lastId)
    // If the kernel rejects this verdict, the next one drops the same packets.
    if (this.#verdictsLength > 0) send(this.fd, this.#verdicts.address, this.#verdictsLength, 0)
    return count
  }

  /** Finds the packet in a message, and counts those missed before it. @returns its number */
  #find(at: number, end: number): number {
    const { bytes } = this.#slots
    let id = this.#nextId
    this.#packetLength = 0
    this.#wireLength = 0
    for (let attribute = at + MESSAGE_HEADER; attribute + ATTRIBUTE_HEADER <= end; ) {
      const length = attributeLength(bytes, attribute)
      if (length < ATTRIBUTE_HEADER) break
      const valueAt = attribute + ATTRIBUTE_HEADER
      const type = attributeType(bytes, attribute)
      if (type === NFQA_PACKET_HDR) id = i32(bytes, valueAt)
      else if (type === NFQA_CAP_LEN) this.#wireLength = i32(bytes, valueAt)
      else if (type === NFQA_PAYLOAD) {
        this.#packetAt = valueAt
        this.#packetLength = Math.min(length - ATTRIBUTE_HEADER, end - valueAt)
      }
      attribute += aligned(length)
    }
    // The full length is present only if the packet was truncated.
    if (this.#wireLength === 0) this.#wireLength = this.#packetLength
    this.#missedCount += Math.max(0, (id - this.#nextId) | 0)
    this.#nextId = (id + 1) | 0
    return id
  }

  /** Whether the packet that `#find` read last is for an address that passes. */
  #passes(): boolean {
    if (this.#passed.size === 0 || this.#packetLength < IPV4_HEADER) return false
    const { bytes } = this.#slots
    if (u8(bytes, this.#packetAt) >>> 4 === 4) return this.#passed.has(i32(bytes, this.#packetAt + 16))
    return this.#packetLength >= IPV6_HEADER && this.#passed.has(addressBook.find(bytes, this.#packetAt + 24))
  }

  /** @param type a verdict for this packet, or for all up to it without one */
  #addVerdict(type: number, verdict: number, id: number): void {
    const at = this.#verdictsLength
    putMessageHeader(this.#verdicts, at, VERDICT_LENGTH, type, this.#queue, false)
    const valueAt = putAttribute(this.#verdicts, at + MESSAGE_HEADER, NFQA_VERDICT_HDR, 8)
    put32(this.#verdicts.bytes, valueAt, verdict)
    put32(this.#verdicts.bytes, valueAt + 4, id)
    this.#verdictsLength = at + VERDICT_LENGTH
  }
}

function putPointer(words: Int32Array, word: number, address: number): void {
  words[word] = address
  words[word + 1] = Math.floor(address / HIGH)
}

/**
 * Binds and configures the queue in one message, so that no packet arrives in between. @returns an errno, 0: success
 */
function bindQueue(fd: number, options: NfQueueOptions): number {
  const message = allocate(128)
  const { bytes } = message
  let at = MESSAGE_HEADER
  const put = (type: number, length: number): number => {
    const valueAt = putAttribute(message, at, type, length)
    at = aligned(valueAt + length)
    return valueAt
  }
  bytes[put(NFQA_CFG_CMD, 4)] = NFQNL_CFG_CMD_BIND
  const params = put(NFQA_CFG_PARAMS, 5)
  put32(bytes, params, options.snapLength)
  bytes[params + 4] = NFQNL_COPY_PACKET
  put32(bytes, put(NFQA_CFG_QUEUE_MAXLEN, 4), options.lengthMax)
  put32(bytes, put(NFQA_CFG_FLAGS, 4), NFQA_CFG_F_GSO)
  put32(bytes, put(NFQA_CFG_MASK, 4), NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN)
  putMessageHeader(message, 0, at, NFQNL_MSG_CONFIG, options.queue, true)
  return request(fd, message, at)
}

/** The kernel returns EPERM both without permission and if another program has the queue. */
function refusal(queue: number, error: number): OperatorError {
  const cause = { cause: errnoMessage(error) }
  const message = `cannot read packets from queue ${queue}: ${errnoMessage(error)}`
  if (error === Errno.EBUSY || (error === Errno.EPERM && hasNetAdmin())) {
    const hint =
      'Stop that program (/proc/net/netfilter/nfnetlink_queue lists queues and port ids), or use another --queue-number.'
    return new OperatorError('queue-in-use', `another program reads queue ${queue}`, hint, cause)
  }
  if (error === Errno.EPERM || error === Errno.EACCES)
    return new OperatorError('no-privilege', message, 'Run as root, or grant CAP_NET_ADMIN.', cause)
  const hint = 'Use a kernel with NFQUEUE (CONFIG_NETFILTER_NETLINK_QUEUE, module nfnetlink_queue).'
  return new OperatorError('no-nfqueue', message, hint, cause)
}

/** proc_pid_status(5). */
function hasNetAdmin(): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  return ((BigInt(`0x${mask}`) >> CAP_NET_ADMIN) & 1n) === 1n
}

/** Packets dropped because the queue was full; undefined if the system does not tell. */
function fullQueueDrops(queue: number): number | undefined {
  try {
    const lines = readFileSync('/proc/self/net/netfilter/nfnetlink_queue', 'latin1').trim().split('\n')
    // Fields: number, port id, waiting, copy mode, copy range, dropped, dropped by the socket, last packet's number, 1.
    const fields = lines.map((line) => line.trim().split(/\s+/).map(Number)).find(([number]) => number === queue)
    return fields?.[5]
  } catch {
    return undefined // Only root can read it.
  }
}
