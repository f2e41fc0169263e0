/**
 * How the workers of one tcpcopy share the flows: by the client's port. Each port belongs to one worker. The kernel gives a
 * packet to the worker of its client's port (`steering`), and a worker lets its sessions speak with its own ports only. So
 * nothing that two workers do at a target can meet, and nobody has to ask another.
 */

/** One worker's; undefined where there is one worker. */
export interface WorkerShare {
  /** From 0. */
  readonly worker: number
  readonly workers: number
  /** `Sampling.length` words of memory that all workers share, zero at first. */
  readonly sampling: Int32Array
}

/** 2³² divided by the golden section: ports that follow one another, or every second one, spread evenly. */
export const PORT_FACTOR = 0x9e3779b1

/** The worker that a client's port belongs to. */
export function workerOf(port: number, workers: number): number {
  return ((Math.imul(port, PORT_FACTOR) >>> 16) * workers) >>> 16
}
