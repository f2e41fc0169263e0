/**
 * Counts the copied connections that are half-open: their clients have not acknowledged the source's SYN-ACK, so the
 * copies do not acknowledge the target's. Their number is limited, because a target holds each of them.
 */
import type { Source } from '../selection/source.ts'
import { type CapturedFlow, SourceState } from '../selection/source-sockets.ts'

/** `--half-open` */
export const HALF_OPEN_DEFAULT = 512
/** When to ask the source's kernel for the first time. The client's acknowledgment is usually captured before. */
const ASK_FIRST_MS = 1000
/** If the source has not processed a captured acknowledgment yet, it is asked again after this time. */
const ASK_AGAIN_MS = 5
/** If it was asked too often, it is asked again after this time. */
const ASK_LATER_MS = 100
/** How long a connection that the source does not have may be over with its end in the capture, or still begin. */
const OVER_MS = 3000
/** The source gives up after about as long (tcp(7), tcp_synack_retries), and so does the copy. */
const GIVE_UP_MS = 63_000

export class HalfOpen {
  /** Copied connections that are half-open. */
  count = 0
  readonly source: Source
  readonly #max: number

  constructor(max: number, source: Source) {
    this.#max = max
    this.source = source
  }

  /** @param more copies to be opened at once */
  hasRoomFor(more: number): boolean {
    return this.count + more <= this.#max
  }
}

/** A handshake of one client with the source that is not complete, as far as it is captured. */
export class ClientHandshake {
  /** When to ask the source's kernel. */
  askAt: number
  /** An acknowledgment was captured before the source's kernel accepted one. */
  hasAck = false
  /** When that acknowledgment was captured, the source's kernel did not have the connection. */
  #isUnknown = false
  readonly #halfOpen: HalfOpen
  readonly #since: number

  constructor(halfOpen: HalfOpen, now: number) {
    this.#halfOpen = halfOpen
    this.#since = now
    halfOpen.count += 1
    this.askAt = now + ASK_FIRST_MS
  }

  /** It is complete, or no longer of interest. To be called once. */
  end(): void {
    this.#halfOpen.count -= 1
  }

  /**
   * Whether an acknowledgment completes the handshake: not if the source's kernel still waits for one, or has no such
   * connection. A stranger may have sent it, the kernel may not have processed it yet, or the connection is over.
   * @param hasBytes it comes with payload; @param hasEnded the client has closed or reset the connection
   */
  accepts(captured: CapturedFlow, hasBytes: boolean, hasEnded: boolean, now: number): boolean {
    if (hasEnded && this.#isUnknown) {
      // In a backlog of the capture, each short connection is over when its packets are taken.
      this.#halfOpen.source.wasReal()
      return true
    }
    if (this.hasAck && now < this.askAt) return false
    const state = this.#halfOpen.source.handshakeOf(captured, hasBytes, now)
    if (state === SourceState.Connected || state === SourceState.Unknown) return true
    this.hasAck = true
    this.#isUnknown = state === SourceState.None
    this.askAt = Math.min(this.askAt, now + (state === SourceState.Later ? ASK_LATER_MS : ASK_AGAIN_MS))
    return false
  }

  /**
   * Asks the source's kernel whether the handshake is complete, in case the client's packet was not captured.
   * @param hasBytes the client has sent payload; @param hasEnded it has closed or reset the connection
   * @returns Connected; None: there is no such connection, or the source has given up by now
   */
  ask(captured: CapturedFlow, hasBytes: boolean, hasEnded: boolean, now: number): SourceState {
    const { source } = this.#halfOpen
    const state = source.handshakeOf(captured, hasBytes, now)
    const passed = now - this.#since
    if (state !== SourceState.Connected && passed >= GIVE_UP_MS) return SourceState.None
    if (state === SourceState.None) {
      // A short connection may be complete and over by now, and its end may still wait in the capture.
      if (this.hasAck && hasEnded) {
        source.wasReal()
        return SourceState.Connected
      }
      // A source that sends SYN cookies has no connection before its client's acknowledgment.
      if (passed >= OVER_MS) return state
      this.askAt = Math.min(this.#since + OVER_MS, now + Math.max(ASK_AGAIN_MS, passed))
      return SourceState.Unknown
    }
    const leastMs = state === SourceState.Later ? ASK_LATER_MS : this.hasAck ? ASK_AGAIN_MS : ASK_FIRST_MS
    this.askAt = Math.min(this.#since + GIVE_UP_MS, now + Math.max(leastMs, passed))
    return state
  }
}
