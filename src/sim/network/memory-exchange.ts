/** The exchange in memory: messages between workers that take turns in one thread. */
import type { Exchange, PeerMessage } from '../../ports.ts'

interface Sent extends Pick<PeerMessage, 'type' | 'peer' | 'length'> {
  readonly words: Int32Array
  readonly bytes: Uint8Array
}

export class MemoryExchange implements Exchange {
  readonly worker: number
  readonly workers: number
  readonly room = 1 << 20
  /** By receiving worker; shared by all workers. */
  readonly #waiting: readonly Sent[][]
  readonly #wake: () => void
  #hasSent = false

  /** @param waiting an empty list for each worker, shared by all; @param wake ends the others' wait */
  constructor(worker: number, waiting: readonly Sent[][], wake: () => void) {
    this.worker = worker
    this.workers = waiting.length
    this.#waiting = waiting
    this.#wake = wake
  }

  send(worker: number, { type, peer, words, length, bytes }: PeerMessage): boolean {
    this.#waiting[worker]?.push({ type, peer, length, words: words.slice(), bytes: bytes.slice(0, length) })
    this.#hasSent = true
    return true
  }

  take(message: PeerMessage): boolean {
    const sent = this.#waiting[this.worker]?.shift()
    if (sent === undefined) return false
    message.type = sent.type
    message.peer = sent.peer
    message.length = sent.length
    message.words.set(sent.words)
    message.bytes.set(sent.bytes)
    return true
  }

  flush(): void {
    if (this.#hasSent) this.#wake()
    this.#hasSent = false
  }
}
