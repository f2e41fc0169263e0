/**
 * An AF_XDP socket that sends (Documentation/networking/af_xdp.rst). It has a memory of its own, the UMEM, cut into
 * chunks of one frame each; a ring names the chunks to send, another those that have been. There is no XDP program and
 * nothing is received. Always in copy mode: zero-copy would reset the queues of the network card.
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
/** xdp_mmap_offsets: of rx, tx, fill and completion ring each producer, consumer, descriptors, flags; 64 bits each. */
const OFFSETS_LENGTH = 128
const RING_OFFSETS_WORDS = 8
const TX = 1
const COMPLETION = 3
/** xdp_desc: address, length, options. */
const DESCRIPTOR_WORDS = 4
/** Chunks, and entries of both rings; a power of two. The kernel wants a fill ring as well, of any size. */
const CHUNKS = 2048
const MASK = CHUNKS - 1
/** Octets of a chunk: no frame is longer. */
export const CHUNK_LENGTH = 2048

/** One of the two rings. Indexes count up for ever. */
interface XdpRing {
  readonly memory: Mapping
  readonly words: Int32Array
  readonly producer: number
  readonly consumer: number
  readonly descriptors: number
}

export class XdpSocket {
  /** Frames are written here, at what `take` returns. */
  readonly frames: Uint8Array
  readonly #fd: number
  readonly #umem: Mapping
  readonly #tx: XdpRing
  readonly #completed: XdpRing
  /** Offsets of chunks that are free. */
  readonly #free = Int32Array.from({ length: CHUNKS }, (_, chunk) => chunk * CHUNK_LENGTH)
  #freeCount = CHUNKS
  /** Frames added and not yet shown to the kernel. */
  #added = 0

  /** @throws XdpRefusal where kernel or device have no such sockets, or the queue has one already */
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
    const request = allocate(32) // xdp_umem_reg: address and length of 64 bits, chunk size, headroom, flags
    request.words.set([address, Math.floor(address / 2 ** 32), CHUNKS * CHUNK_LENGTH, 0, CHUNK_LENGTH])
    must(setsockopt(this.#fd, SOL_XDP, XDP_UMEM_REG, request.address, 32))
    request.words[0] = CHUNKS
    for (const ring of [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING]) {
      must(setsockopt(this.#fd, SOL_XDP, ring, request.address, 4))
    }
  }

  /** Where in `frames` the next frame is to be written; −1: no chunk is free. */
  take(): number {
    if (this.#freeCount === 0) this.#reap()
    return this.#freeCount === 0 ? -1 : int32At(this.#free, --this.#freeCount)
  }

  /** Adds the frame that was written at `at`. There are as many entries as chunks. */
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
   * Has the kernel send what was added. What it has no room for now (EAGAIN, EBUSY, ENOBUFS) stays in the ring, and goes
   * with the next call. @returns 0, or the errno of a socket that is of no more use
   */
  send(): number {
    const { words, producer } = this.#tx
    if (this.#added > 0) Atomics.store(words, producer, (int32At(words, producer) + this.#added) | 0)
    this.#added = 0
    // A call sends 32 frames at most, and says EAGAIN where there are more.
    for (let before = this.waiting; before > 0; before = this.waiting) {
      if (send(this.#fd, 0, 0, MSG_DONTWAIT) < 0) {
        const error = errno()
        if (error !== Errno.EAGAIN && error !== Errno.EBUSY && error !== Errno.ENOBUFS) return error
      }
      if (this.waiting === before) break
    }
    return 0
  }

  /** Frames that the kernel has not taken out of the ring. */
  get waiting(): number {
    const { words, producer, consumer } = this.#tx
    return (int32At(words, producer) - Atomics.load(words, consumer)) | 0
  }

  /** Chunks of frames that have been sent are free again. */
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

/** Kernel or device refuse an AF_XDP socket. */
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
