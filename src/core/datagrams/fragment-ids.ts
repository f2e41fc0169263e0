/**
 * Chooses the ids of fragmented datagrams. The target reassembles fragments with the same addresses and id (RFC 791
 * §3.2), whatever their ports. Clients may share an address (`-c`, `-n`), also across workers, so each of N workers has
 * every Nth id.
 */
import type { WorkerShare } from '../selection/worker-share.ts'

export class FragmentIds {
  readonly #first: number
  readonly #step: number
  #last: number

  /** @param from first id, 0 to 65,535; should be random, because another tcpcopy may use the same client addresses */
  constructor(from: number, share: Pick<WorkerShare, 'worker' | 'workers'> | undefined) {
    this.#step = share?.workers ?? 1
    this.#first = (share?.worker ?? 0) + 1
    this.#last = this.#first + Math.floor(from / this.#step) * this.#step
  }

  /** @param most largest id, which depends on the IP version; @returns 1 to `most` */
  next(most: number): number {
    const id = this.#last + this.#step
    this.#last = id <= most ? id : this.#first
    return this.#last
  }
}
