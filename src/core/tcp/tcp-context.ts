/** What all TCP connections of a worker share. */
import type { Counters } from '../books/counters.ts'
import type { SendPool } from '../memory/send-pool.ts'
import type { Frames } from '../packets/frames.ts'
import type { Purpose } from '../packets/purpose.ts'
import type { ControlBlock } from './control-block.ts'

/** Receives each packet that a connection sends, for `--trace`. */
export interface SegmentTrace {
  /** @param headerAt where the packet's headers begin in the outbox's memory */
  sent(tcb: ControlBlock, headerAt: number, payloadLength: number, purpose: Purpose): void
}

export interface TcpContext {
  readonly pool: SendPool
  readonly frames: Frames
  readonly counters: Counters
  /** `-R`: used instead of the round trip measured in the client's handshake; 0: acknowledge at once. */
  readonly roundTripMs: number | undefined
  /** `--acks drop`: the third ACK of the client's handshake is not captured. */
  readonly isWithoutAcks: boolean
  /** Largest IP packet to this target, in bytes: the path MTU, or `-M` if smaller. */
  mtu(targetAddress: number): number
  /** With `--trace` only. */
  readonly trace?: SegmentTrace | undefined
}
