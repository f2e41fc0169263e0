/**
 * The rule by which the workers of one program share flows: each client port belongs to one worker. The kernel passes a
 * packet to the worker of its client's port (`steering`), and a worker's sessions use only its own ports. So workers
 * never collide at a target and need not ask each other.
 */
import type { LoopMemory } from './loop-guard.ts'

/** The share of one worker; undefined if there is only one. */
export interface WorkerShare {
  /** From 0. */
  readonly worker: number
  readonly workers: number
  /** `Sampling.length` words of memory that all workers share, zero at first. */
  readonly sampling: Int32Array
  /** What all workers know of loops. */
  readonly loops?: LoopMemory | undefined
}

/** 2³² divided by the golden ratio, which spreads consecutive ports evenly, and every second one too. */
export const PORT_FACTOR = 0x9e3779b1

/** The worker that a client's port belongs to. */
export function workerOf(port: number, workers: number): number {
  return ((Math.imul(port, PORT_FACTOR) >>> 16) * workers) >>> 16
}
