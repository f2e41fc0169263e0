/**
 * Ids for datagrams that are cut into fragments. The target puts together what has the same addresses and the same id
 * (RFC 791 §3.2), whatever its ports. Clients share addresses (`-c`, `-n`), and so do workers: each of N has every Nth id.
 */
import type { WorkerShare } from '../selection/worker-share.ts'

export class FragmentIds {
  readonly #first: number
  readonly #step: number
  #last: number

  /** @param from where they begin, 0 to 65,535: other programs may speak for the same clients */
  constructor(from: number, share: Pick<WorkerShare, 'worker' | 'workers'> | undefined) {
    this.#step = share?.workers ?? 1
    this.#first = (share?.worker ?? 0) + 1
    this.#last = this.#first + Math.floor(from / this.#step) * this.#step
  }

  /** @param most of the version of IP; @returns 1 to `most` */
  next(most: number): number {
    const id = this.#last + this.#step
    this.#last = id <= most ? id : this.#first
    return this.#last
  }
}
