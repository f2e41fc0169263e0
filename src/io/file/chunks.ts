/**
 * Passes a file's bytes from the reading thread to the replaying thread, which has no event loop. A few buffers
 * circulate between them, which avoids garbage and limits how far the file is read ahead.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'

export const CHUNK_LENGTH = 1 << 18
/** Number of circulating buffers. */
const CHUNKS = 4

/** Messages of the reading thread. */
export type Chunk =
  | { readonly buffer: ArrayBuffer; readonly length: number }
  /** The file has ended; with a failure, the rest cannot be read. Another round may follow. */
  | { readonly failure: string }

/** Source of chunks for a replay. */
export interface ChunkSource {
  /** @returns the next chunk; undefined if none has arrived. A buffer goes back once it is consumed. */
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

  /** Sends a copy of the bytes once a buffer is free. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += CHUNK_LENGTH) {
      const buffer = await this.#takeFree()
      const part = bytes.subarray(at, at + CHUNK_LENGTH)
      new Uint8Array(buffer).set(part)
      this.#post({ buffer, length: part.length }, [buffer])
    }
  }

  /** @param failure empty if the file was read completely */
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
