/**
 * What the source's own kernel knows of its connections. It tells a forged packet from a real one, and a connection
 * from an attempt, where packets alone do not.
 */
import type { Flow } from '../../wire/flow.ts'

/** The state of a connection at the source. */
export const SourceState = {
  /** Nobody can tell: the source is another host or a file. */
  Unknown: 0,
  /** The source's port is served, but it has no such connection. */
  None: 1,
  /** SYN-RECEIVED: the client has not acknowledged the SYN-ACK. */
  HalfOpen: 2,
  /** The client's handshake is complete: ESTABLISHED, or any later state. */
  Connected: 3,
  /** The kernel was asked too often in this second. Ask again later, and believe nothing meanwhile. */
  Later: 4
} as const
export type SourceState = (typeof SourceState)[keyof typeof SourceState]

export interface SourceSockets {
  /** @param flow the client and the source, as captured */
  stateOf(flow: Flow, now: number): SourceState
  /** Payload bytes that the source has received in order on the connection of the last `Connected`; NaN: unknown. */
  readonly receivedBytes: number
}

/** The addresses and ports of a connection at the source, as captured. */
export interface CapturedFlow {
  readonly capturedAddress: number
  readonly capturedPort: number
  readonly sourceAddress: number
  readonly sourcePort: number
}
