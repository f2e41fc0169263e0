/**
 * An AF_XDP socket for sending (Documentation/networking/af_xdp.rst). Its own memory, the UMEM, is divided into chunks
 * of one frame each. One ring lists the chunks to send, another those that were sent. It uses no XDP program and
 * receives nothing. It always uses copy mode: zero-copy would reset the queues of the network card.
 */
import { int32At } from '../../../wire/bytes.ts'
import {
  AF_XDP,
  bind,
  close,
  Errno,
  errno,
  getsockopt,
  MSG_DONTWAIT,
  SOCK_CLOEXEC,
  SOCK_RAW,
  send,
  setsockopt,
  socket
} from '../system/libc.ts'
import { allocate, type Mapping, mapDescriptor, mapMemory } from '../system/memory.ts'

const SOL_XDP = 283
const XDP_MMAP_OFFSETS = 1
const XDP_TX_RING = 3
const XDP_UMEM_REG = 4
const XDP_UMEM_FILL_RING = 5
const XDP_UMEM_COMPLETION_RING = 6
const XDP_COPY = 2
const TX_OFFSET = 0x80000000
const COMPLETION_OFFSET = 0x180000000
/**
 * xdp_mmap_offsets: producer, consumer, descriptors and flags of the rx, tx, fill and completion ring; 64 bits each.
 */
const OFFSETS_LENGTH = 128
const RING_OFFSETS_WORDS = 8
const TX = 1
const COMPLETION = 3
/** xdp_desc: address, length, options. */
const DESCRIPTOR_WORDS = 4
/**
 * Number of chunks, and of entries in both rings; a power of two. The kernel also requires a fill ring, of any size.
 */
const CHUNKS = 2048
const MASK = CHUNKS - 1
/** Bytes of a chunk, and of the longest frame. */
export const CHUNK_LENGTH = 2048

/** One of the two rings. Indexes only increase. */
interface XdpRing {
  readonly memory: Mapping
  readonly words: Int32Array
  readonly producer: number
  readonly consumer: number
  readonly descriptors: number
}

export class XdpSocket {
  /** Memory for frames, written at the offset that `take` returns. */
  readonly frames: Uint8Array
  readonly #fd: number
  readonly #umem: Mapping
  readonly #tx: XdpRing
  readonly #completed: XdpRing
  /** Offsets of free chunks. */
  readonly #free = Int32Array.from({ length: CHUNKS }, (_, chunk) => chunk * CHUNK_LENGTH)
  #freeCount = CHUNKS
  /** Frames added but not submitted yet. */
  #added = 0

  /** @throws XdpRefusal if kernel or device do not support it, or the queue already has such a socket */
  constructor(deviceIndex: number) {
    const fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)
    if (fd < 0) throw new XdpRefusal(errno())
    this.#fd = fd
    this.#umem = mapMemory(CHUNKS * CHUNK_LENGTH)
    this.frames = this.#umem.bytes
    const opened: XdpRing[] = []
    try {
      this.#register()
      this.#tx = mapRing(fd, TX, TX_OFFSET, DESCRIPTOR_WORDS)
      opened.push(this.#tx)
      this.#completed = mapRing(fd, COMPLETION, COMPLETION_OFFSET, 2)
      opened.push(this.#completed)
      const address = allocate(16)
      address.words.set([AF_XDP | (XDP_COPY << 16), deviceIndex, 0, 0])
      must(bind(fd, address.address, 16))
    } catch (error) {
      for (const ring of opened) ring.memory.close()
      close(fd)
      this.#umem.close()
      throw error
    }
  }

  #register(): void {
    const { address } = this.#umem
    const request = allocate(32) // xdp_umem_reg: address and length (64 bits each), chunk size, headroom, flags
    request.words.set([address, Math.floor(address / 2 ** 32), CHUNKS * CHUNK_LENGTH, 0, CHUNK_LENGTH])
    must(setsockopt(this.#fd, SOL_XDP, XDP_UMEM_REG, request.address, 32))
    request.words[0] = CHUNKS
    for (const ring of [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING]) {
      must(setsockopt(this.#fd, SOL_XDP, ring, request.address, 4))
    }
  }

  /** Offset in `frames` for the next frame; −1: no chunk is free. */
  take(): number {
    if (this.#freeCount === 0) this.#reap()
    return this.#freeCount === 0 ? -1 : int32At(this.#free, --this.#freeCount)
  }

  /** Adds the frame written at `at`. The ring has an entry for every chunk. */
  add(at: number, length: number): void {
    const { words, producer, descriptors } = this.#tx
    const word = descriptors + ((int32At(words, producer) + this.#added) & MASK) * DESCRIPTOR_WORDS
    words[word] = at
    words[word + 1] = 0
    words[word + 2] = length
    words[word + 3] = 0
    this.#added += 1
  }

  /**
   * Makes the kernel send the added frames. Frames that do not fit now (EAGAIN, EBUSY, ENOBUFS) stay in the ring until
   * the next call. @returns 0, or the errno of a socket that has failed
   */
  send(): number {
    const { words, producer } = this.#tx
    if (this.#added > 0) Atomics.store(words, producer, (int32At(words, producer) + this.#added) | 0)
    this.#added = 0
    // A call sends up to 32 frames, and returns EAGAIN if there are more.
    for (let before = this.waiting; before > 0; before = this.waiting) {
      if (send(this.#fd, 0, 0, MSG_DONTWAIT) < 0) {
        const error = errno()
        if (error !== Errno.EAGAIN && error !== Errno.EBUSY && error !== Errno.ENOBUFS) return error
      }
      if (this.waiting === before) break
    }
    return 0
  }

  /** Frames that the kernel has not taken from the ring. */
  get waiting(): number {
    const { words, producer, consumer } = this.#tx
    return (int32At(words, producer) - Atomics.load(words, consumer)) | 0
  }

  /** Frees the chunks of frames that were sent. */
  #reap(): void {
    const { words, producer, consumer, descriptors } = this.#completed
    const end = Atomics.load(words, producer)
    let at = int32At(words, consumer)
    for (; at !== end; at = (at + 1) | 0) {
      this.#free[this.#freeCount++] = int32At(words, descriptors + (at & MASK) * 2)
    }
    Atomics.store(words, consumer, at)
  }

  close(): void {
    close(this.#fd)
    this.#tx.memory.close()
    this.#completed.memory.close()
    this.#umem.close()
  }
}

/** The kernel or the device refuses an AF_XDP socket. */
export class XdpRefusal extends Error {
  readonly errno: number

  constructor(error: number) {
    super(`AF_XDP was refused: errno ${error}`)
    this.errno = error
  }
}

function must(result: number): void {
  if (result < 0) throw new XdpRefusal(errno())
}

function mapRing(fd: number, which: number, offset: number, entryWords: number): XdpRing {
  const offsets = allocate(OFFSETS_LENGTH + 4)
  offsets.words[OFFSETS_LENGTH >>> 2] = OFFSETS_LENGTH
  must(getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, offsets.address, offsets.address + OFFSETS_LENGTH))
  const of = (field: number): number => int32At(offsets.words, which * RING_OFFSETS_WORDS + field * 2) >>> 2
  const length = of(2) * 4 + CHUNKS * entryWords * 4
  const memory = mapDescriptor(fd, length, offset)
  const words = new Int32Array(memory.bytes.buffer, memory.bytes.byteOffset, length >>> 2)
  return { memory, words, producer: of(0), consumer: of(1), descriptors: of(2) }
}
