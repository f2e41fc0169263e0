/** The byte streams of clients, put together from a capture file. */
import { createHash } from 'node:crypto'
import { type CapturedSegment, readCapture, SYN } from './pcap-file.ts'
import { RespScanner } from './resp-scanner.ts'

/** A segment further away from the expected byte belongs to an earlier connection with the same ports. */
const distanceMax = 1 << 26

interface Piece {
  readonly seq: number
  readonly bytes: Uint8Array
}

/** What a client sent on one connection: each byte once and in order, as a receiver would see it. */
export class ClientStream {
  /** When each request was complete, in microseconds on the reader's clock. */
  readonly requestTimesUs: number[] = []
  /** Payload bytes in order so far. */
  byteCount = 0
  readonly #hash = createHash('sha256')
  readonly #scanner = new RespScanner()
  #next: number
  /** Beyond a hole, unsorted: there are few in a lab. */
  #pieces: Piece[] = []
  #digest: string | undefined

  /** @param iss the client's initial sequence number, int32 */
  constructor(iss: number) {
    this.#next = (iss + 1) | 0
  }

  /** @returns whether the segment can belong to this connection */
  add(seq: number, payload: Uint8Array, timeUs: number): boolean {
    const distance = (seq - this.#next) | 0
    if (Math.abs(distance) > distanceMax) return false
    if (distance > 0) {
      this.#pieces.push({ seq, bytes: Uint8Array.from(payload) })
      return true
    }
    this.#append(payload, -distance, timeUs)
    this.#appendPieces(timeUs)
    return true
  }

  #append(bytes: Uint8Array, known: number, timeUs: number): void {
    if (known >= bytes.length) return
    const fresh = known === 0 ? bytes : bytes.subarray(known)
    this.#next = (this.#next + fresh.length) | 0
    this.byteCount += fresh.length
    this.#hash.update(fresh)
    for (let left = this.#scanner.feed(fresh); left > 0; left--) this.requestTimesUs.push(timeUs)
  }

  #appendPieces(timeUs: number): void {
    for (;;) {
      const index = this.#pieces.findIndex(({ seq }) => ((seq - this.#next) | 0) <= 0)
      const [piece] = index < 0 ? [] : this.#pieces.splice(index, 1)
      if (piece === undefined) return
      this.#append(piece.bytes, (this.#next - piece.seq) | 0, timeUs)
    }
  }

  /** Whether bytes were captured beyond a hole. */
  get hasHole(): boolean {
    return this.#pieces.length > 0
  }

  /** SHA-256 of the stream up to its first hole. Nothing can be added after the first call. */
  digest(): string {
    this.#digest ??= this.#hash.digest('hex')
    return this.#digest
  }
}

/** The client byte streams to one server in one capture. */
export class ClientStreams {
  /** By client address, port and initial sequence number, which a copy keeps. */
  readonly byConnection = new Map<string, ClientStream>()
  /** Segments with payload of connections whose SYN was not captured. */
  strayCount = 0
  readonly #serverPort: number
  readonly #current = new Map<string, ClientStream>()

  constructor(serverPort: number) {
    this.#serverPort = serverPort
  }

  add(segment: CapturedSegment): void {
    if (segment.targetPort !== this.#serverPort) return
    const flow = `${segment.sourceAddress >>> 0}:${segment.sourcePort}`
    if ((segment.flags & SYN) !== 0) this.#open(flow, segment.seq)
    if (segment.payload.length === 0) return
    const isTaken = this.#current.get(flow)?.add(segment.seq, segment.payload, segment.timeUs)
    if (isTaken !== true) this.strayCount++
  }

  #open(flow: string, iss: number): void {
    const key = `${flow}:${iss >>> 0}`
    const known = this.byConnection.get(key)
    const stream = known ?? new ClientStream(iss)
    if (known === undefined) this.byConnection.set(key, stream)
    this.#current.set(flow, stream)
  }

  get requestCount(): number {
    return [...this.byConnection.values()].reduce((sum, stream) => sum + stream.requestTimesUs.length, 0)
  }

  get holeCount(): number {
    return [...this.byConnection.values()].filter((stream) => stream.hasHole).length
  }
}

/** @param baseSeconds see readCapture */
export async function readClientStreams(path: string, serverPort: number, baseSeconds: number): Promise<ClientStreams> {
  const streams = new ClientStreams(serverPort)
  await readCapture(path, baseSeconds, (segment) => streams.add(segment))
  return streams
}
