/**
 * Counts the copied connections that are half-open: their clients have not acknowledged the source's SYN-ACK, so the
 * copies do not acknowledge the target's. Their number is limited, because a target holds each of them.
 */
import { type Endpoints, Flow } from '../../wire/flow.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'

/** `--half-open` */
export const HALF_OPEN_DEFAULT = 512
/** When to ask the source's kernel for the first time. The client's acknowledgment is usually captured before. */
const ASK_FIRST_MS = 1000
/** The source gives up after about as long (tcp(7), tcp_synack_retries), and so does the copy. */
const GIVE_UP_MS = 63_000

/** The addresses and ports of a captured connection. */
interface Captured {
  readonly capturedAddress: number
  readonly capturedPort: number
  readonly sourceAddress: number
  readonly sourcePort: number
}

export class HalfOpen {
  /** Copied connections that are half-open. */
  count = 0
  readonly #max: number
  readonly #source: SourceSockets | undefined
  readonly #flow = new Flow()

  /** @param source undefined: the source is not this host */
  constructor(max: number, source: SourceSockets | undefined) {
    this.#max = max
    this.#source = source
  }

  /** @param more copies to be opened at once */
  hasRoomFor(more: number): boolean {
    return this.count + more <= this.#max
  }

  /** What the source's kernel knows of a connection. */
  stateAtSource({ capturedAddress, capturedPort, sourceAddress, sourcePort }: Captured, now: number): SourceState {
    const flow = this.#flow.set(capturedAddress, capturedPort, sourceAddress, sourcePort)
    return this.#source?.stateOf(flow, now) ?? SourceState.Unknown
  }

  /** Whether the source has received no more than `byteCount` bytes on the connection of a client's segment. */
  hasReceivedOnly(byteCount: number, segment: Endpoints, now: number): boolean {
    if (this.#source?.stateOf(this.#flow.fromClient(segment), now) !== SourceState.Connected) return false
    return this.#source.receivedBytes <= byteCount
  }
}

/** The handshake of one client with the source, as far as it is captured. */
export class ClientHandshake {
  /** The client has not acknowledged the source's SYN-ACK. */
  isPending: boolean
  /** While pending: when to ask the source's kernel; Infinity: never. */
  askAt = Number.POSITIVE_INFINITY
  readonly #halfOpen: HalfOpen
  readonly #since: number

  /** @param isComplete the connection is joined */
  constructor(halfOpen: HalfOpen, isComplete: boolean, now: number) {
    this.#halfOpen = halfOpen
    this.#since = now
    this.isPending = !isComplete
    if (isComplete) return
    halfOpen.count += 1
    this.askAt = now + ASK_FIRST_MS
  }

  /** It is complete, or no longer of interest. May be called again. */
  end(): void {
    if (!this.isPending) return
    this.isPending = false
    this.askAt = Number.POSITIVE_INFINITY
    this.#halfOpen.count -= 1
  }

  /**
   * Asks the source's kernel whether the handshake is complete, in case the client's packet was not captured.
   * @returns Connected; None: there is no such connection, or the source has given up by now
   */
  ask(captured: Captured, now: number): SourceState {
    const state = this.#halfOpen.stateAtSource(captured, now)
    const passed = now - this.#since
    if (state !== SourceState.Connected && passed >= GIVE_UP_MS) return SourceState.None
    this.askAt = Math.min(this.#since + GIVE_UP_MS, now + Math.max(ASK_FIRST_MS, passed))
    return state
  }
}
