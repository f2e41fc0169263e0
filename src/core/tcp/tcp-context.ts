/** What all our TCP connections of a worker share. */
import type { Counters } from '../books/counters.ts'
import type { SendPool } from '../memory/send-pool.ts'
import type { Frames } from '../packets/frames.ts'
import type { Purpose } from '../packets/purpose.ts'
import type { ControlBlock } from './control-block.ts'

/** Sees what connections send, for `--trace`. */
export interface SegmentTrace {
  /** @param headerAt where the packet's headers are in the outbox's memory */
  sent(tcb: ControlBlock, headerAt: number, payloadLength: number, purpose: Purpose): void
}

export interface TcpContext {
  readonly pool: SendPool
  readonly frames: Frames
  readonly counters: Counters
  /** `-R`: stands in for the client's round trip that its handshake shows; 0: acknowledge at once. */
  readonly roundTripMs: number | undefined
  /** `--acks drop`: the client's own acknowledgment of its handshake is not captured. */
  readonly isWithoutAcks: boolean
  /** Largest IP packet to this target, in bytes (`-M`, or the path MTU). */
  mtu(targetAddress: number): number
  /** With `--trace` only. */
  readonly trace?: SegmentTrace | undefined
}
