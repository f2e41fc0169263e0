/** Messages between threads: a ring in shared memory for each pair of sender and receiver. */
import type { Exchange, PeerMessage } from '../ports.ts'
import { copyBytes, int32At } from '../wire/bytes.ts'

/** Words of a ring, a power of two. */
const RING_WORDS = 1 << 18
const MASK = RING_WORDS - 1
/** Read and write positions, in words from the start; each has its own cache line. */
const READ_AT = 0
const WRITTEN_AT = 16
const HEAD_WORDS = 32
const RING_LENGTH = (HEAD_WORDS + RING_WORDS) * 4
/** A message: type and length, peer, three words. */
const MESSAGE_WORDS = 5
/** Words kept free for replies: no messages are taken from a worker whose own ring has less room. */
const ANSWER_WORDS = 1 << 14
/** Marks the rest of a ring as skipped: a message does not wrap around its end. */
const LEFT_OUT = -1

interface Ring {
  /** Holds READ_AT and WRITTEN_AT. */
  readonly head: Int32Array
  readonly words: Int32Array
  readonly bytes: Uint8Array
}

function ringAt(memory: SharedArrayBuffer, index: number): Ring {
  const at = index * RING_LENGTH
  return {
    head: new Int32Array(memory, at, HEAD_WORDS),
    words: new Int32Array(memory, at + HEAD_WORDS * 4, RING_WORDS),
    bytes: new Uint8Array(memory, at + HEAD_WORDS * 4, RING_WORDS * 4)
  }
}

/** Number of words written but not read. */
function usedOf({ head }: Ring): number {
  return (Atomics.load(head, WRITTEN_AT) - Atomics.load(head, READ_AT)) | 0
}

export class WorkerExchange implements Exchange {
  readonly worker: number
  readonly workers: number
  readonly #wake: (worker: number) => void
  /** By worker; its own ring stays empty. */
  readonly #out: readonly Ring[]
  readonly #in: readonly Ring[]
  readonly #isToBeWoken: boolean[]
  /** The worker whose messages are being taken, while there are any. */
  #from = 0

  /** Memory for all rings; unused pages cost nothing. */
  static memory(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * workers * RING_LENGTH)
  }

  /** @param memory of `memory`, the same for all @param wake ends another worker's current or next wait */
  constructor(memory: SharedArrayBuffer, worker: number, workers: number, wake: (worker: number) => void) {
    this.worker = worker
    this.workers = workers
    this.#wake = wake
    const all = Array.from({ length: workers }, (_, index) => index)
    this.#out = all.map((other) => ringAt(memory, worker * workers + other))
    this.#in = all.map((other) => ringAt(memory, other * workers + worker))
    this.#isToBeWoken = all.map(() => false)
  }

  get room(): number {
    let words = RING_WORDS
    for (let other = 0; other < this.workers; other++) words = Math.min(words, this.#roomFor(other))
    return words * 4
  }

  send(worker: number, message: PeerMessage): boolean {
    const ring = this.#out[worker]
    if (ring === undefined) throw new RangeError(`there is no worker ${worker}`)
    const { head, words, bytes } = ring
    const size = MESSAGE_WORDS + ((message.length + 3) >>> 2)
    let written = Atomics.load(head, WRITTEN_AT)
    const rest = RING_WORDS - (written & MASK)
    const leftOut = size > rest ? rest : 0
    if (usedOf(ring) + leftOut + size > RING_WORDS) return false
    if (leftOut > 0) {
      words[written & MASK] = LEFT_OUT
      written = (written + leftOut) | 0
    }
    const at = written & MASK
    words[at] = (message.type << 16) | message.length
    words[at + 1] = message.peer
    for (let index = 0; index < 3; index++) words[at + 2 + index] = int32At(message.words, index)
    copyBytes(message.bytes, 0, bytes, (at + MESSAGE_WORDS) * 4, message.length)
    Atomics.store(head, WRITTEN_AT, (written + size) | 0)
    this.#isToBeWoken[worker] = true
    return true
  }

  take(message: PeerMessage): boolean {
    for (let tries = 0; tries < this.workers; tries++) {
      const ring = this.#in[this.#from]
      if (ring !== undefined && usedOf(ring) > 0 && this.#roomFor(this.#from) >= ANSWER_WORDS) {
        takeFrom(ring, message)
        return true
      }
      this.#from = (this.#from + 1) % this.workers
    }
    return false
  }

  flush(): void {
    for (let other = 0; other < this.workers; other++) {
      if (this.#isToBeWoken[other] !== true) continue
      this.#isToBeWoken[other] = false
      this.#wake(other)
    }
  }

  /** Number of words that can be sent to a worker. */
  #roomFor(worker: number): number {
    const ring = this.#out[worker]
    return ring === undefined ? 0 : RING_WORDS - usedOf(ring)
  }
}

/** Reads the next message, past skipped words. */
function takeFrom({ head, words, bytes }: Ring, message: PeerMessage): void {
  let read = Atomics.load(head, READ_AT)
  if (int32At(words, read & MASK) === LEFT_OUT) read = (read + RING_WORDS - (read & MASK)) | 0
  const at = read & MASK
  const first = int32At(words, at)
  message.type = first >>> 16
  message.length = first & 0xffff
  message.peer = int32At(words, at + 1)
  for (let index = 0; index < 3; index++) message.words[index] = int32At(words, at + 2 + index)
  copyBytes(bytes, (at + MESSAGE_WORDS) * 4, message.bytes, 0, message.length)
  Atomics.store(head, READ_AT, (read + MESSAGE_WORDS + ((message.length + 3) >>> 2)) | 0)
}
