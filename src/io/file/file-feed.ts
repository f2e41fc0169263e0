/** Reads a capture file or standard input for the replaying thread, and decompresses gzip. */
import { closeSync, createReadStream, fstatSync, openSync, type ReadStream } from 'node:fs'
import { getSystemErrorMap } from 'node:util'
import { createGunzip } from 'node:zlib'
import { OperatorError } from '../../errors.ts'
import { CHUNK_LENGTH, type ChunkSender } from './chunks.ts'

/** Compressed bytes to inflate at once: the output stays small even for a gzip bomb. */
const GZIP_PIECE = 1 << 14
const GZIP_MAGIC = 0x1f8b
export const STANDARD_INPUT = '-'

export class FileFeed {
  /** Bytes read in this round, before decompression. */
  position = 0
  /** Size of the file in bytes; 0: unknown. */
  readonly length: number
  readonly #fd: number
  readonly #isSeekable: boolean
  #isClosed = false

  /** @param path a path, or STANDARD_INPUT @throws OperatorError `no-file` */
  constructor(path: string) {
    this.#fd = path === STANDARD_INPUT ? 0 : open(path)
    const status = fstatSync(this.#fd)
    if (status.isDirectory()) throw noFile(path, 'it is a directory')
    this.#isSeekable = status.isFile()
    this.length = status.isFile() ? status.size : 0
  }

  /** Whether the file can be read again. */
  get isRepeatable(): boolean {
    return this.#isSeekable
  }

  /** Sends the bytes of the file, round after round. @param rounds 0: endless */
  async run(sender: ChunkSender, rounds: number): Promise<void> {
    for (let round = 0; (rounds === 0 || round < rounds) && !this.#isClosed; round++) {
      this.position = 0
      let failure = ''
      try {
        for await (const bytes of this.#contents()) await sender.send(bytes)
      } catch (error) {
        failure = `read error: ${error instanceof Error ? error.message : String(error)}`
      }
      sender.end(failure)
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#fd !== 0) closeSync(this.#fd)
  }

  async *#contents(): AsyncGenerator<Uint8Array> {
    const begin = this.#isSeekable ? { start: 0 } : {}
    const raw = createReadStream('', { fd: this.#fd, autoClose: false, highWaterMark: CHUNK_LENGTH, ...begin })
    const pieces = this.#counted(raw)
    const first = await firstOctets(pieces)
    if (first.length >= 2 && first.readUInt16BE(0) === GZIP_MAGIC) yield* inflate(first, pieces)
    else {
      yield first
      yield* pieces
    }
  }

  async *#counted(raw: ReadStream): AsyncGenerator<Buffer> {
    for await (const piece of raw) {
      const bytes = piece as Buffer // as: a stream without an encoding gives Buffers
      this.position += bytes.length
      yield bytes
    }
  }
}

/** Reads at least two bytes, if there are any: a pipe may return single bytes. */
async function firstOctets(pieces: AsyncGenerator<Buffer>): Promise<Buffer> {
  let first: Buffer = Buffer.alloc(0)
  while (first.length < 2) {
    const { value, done } = await pieces.next()
    if (done === true) return first
    first = Buffer.concat([first, value])
  }
  return first
}

/** Inflates in pieces, so that everything before a damaged place is delivered. */
async function* inflate(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
  const gunzip = createGunzip({ chunkSize: CHUNK_LENGTH })
  const inflated: Buffer[] = []
  let failure: Error | undefined
  let goOn = (): void => {}
  gunzip.on('data', (bytes: Buffer) => inflated.push(bytes))
  // The callback of a failed write is not called.
  gunzip.on('error', (error) => {
    failure = error
    goOn()
  })
  const write = async (bytes: Buffer): Promise<void> =>
    await new Promise((resolve) => {
      goOn = resolve
      gunzip.write(bytes, () => resolve())
    })
  for (let piece: Buffer | undefined = first; piece !== undefined && failure === undefined; ) {
    for (let at = 0; at < piece.length && failure === undefined; at += GZIP_PIECE) {
      await write(piece.subarray(at, at + GZIP_PIECE))
      yield* inflated.splice(0)
    }
    const { value, done } = await rest.next()
    piece = done === true ? undefined : value
  }
  if (failure === undefined) await new Promise<void>((resolve) => gunzip.once('close', resolve).end())
  yield* inflated.splice(0)
  if (failure !== undefined) throw failure
}

function open(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    const errno = cause instanceof Error && 'errno' in cause ? Number(cause.errno) : 0
    throw noFile(path, getSystemErrorMap().get(errno)?.[1] ?? String(cause))
  }
}

function noFile(path: string, why: string): OperatorError {
  return new OperatorError('no-file', `the file ${path} cannot be read: ${why}`, 'Check its path and permissions.')
}
