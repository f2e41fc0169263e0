/**
 * A file's octets on their way from the thread that reads to the one that replays, which has no event loop: a few buffers
 * go round between them, so that no garbage is made and no more than these are ever read ahead.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'

export const CHUNK_LENGTH = 1 << 18
/** So many go round. */
const CHUNKS = 4

/** What the reading thread says. */
export type Chunk =
  | { readonly buffer: ArrayBuffer; readonly length: number }
  /** The file has ended; with a failure: what follows cannot be read. Another round of the file may follow. */
  | { readonly failure: string }

/** What a replay takes chunks from. */
export interface ChunkSource {
  /** @returns the next, or undefined if none is there yet. A buffer is given back when its octets were used. */
  take(): Chunk | undefined
  giveBack(buffer: ArrayBuffer): void
}

/** The replaying thread's end. */
export class ChunkReceiver implements ChunkSource {
  readonly #port: MessagePort

  constructor(port: MessagePort) {
    this.#port = port
  }

  take(): Chunk | undefined {
    // as: only `ChunkSender` writes to the other end of this port.
    return receiveMessageOnPort(this.#port)?.message as Chunk | undefined
  }

  giveBack(buffer: ArrayBuffer): void {
    this.#port.postMessage(buffer, [buffer])
  }
}

/** The reading thread's end. */
export class ChunkSender {
  readonly #port: MessagePort
  readonly #wake: () => void
  readonly #free: ArrayBuffer[] = []
  #onFree: (() => void) | undefined

  /** @param wake wakes the replaying thread */
  constructor(port: MessagePort, wake: () => void) {
    this.#port = port
    this.#wake = wake
    for (let count = 0; count < CHUNKS; count++) this.#free.push(new ArrayBuffer(CHUNK_LENGTH))
    port.on('message', (buffer: ArrayBuffer) => {
      this.#free.push(buffer)
      this.#onFree?.()
    })
  }

  /** Sends a copy of the bytes, as soon as there is room. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += CHUNK_LENGTH) {
      const buffer = await this.#takeFree()
      const part = bytes.subarray(at, at + CHUNK_LENGTH)
      new Uint8Array(buffer).set(part)
      this.#post({ buffer, length: part.length }, [buffer])
    }
  }

  /** @param failure empty if the file was read to its end */
  end(failure: string): void {
    this.#post({ failure }, [])
  }

  close(): void {
    this.#port.close()
  }

  #post(chunk: Chunk, transfer: ArrayBuffer[]): void {
    this.#port.postMessage(chunk, transfer)
    this.#wake()
  }

  async #takeFree(): Promise<ArrayBuffer> {
    for (;;) {
      const buffer = this.#free.pop()
      if (buffer !== undefined) return buffer
      await new Promise<void>((resolve) => {
        this.#onFree = resolve
      })
    }
  }
}
