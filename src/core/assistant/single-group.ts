/**
 * The single mode of tcpcopy 1.x has no routes: all answers go to one tcpcopy, whose connections share them.
 * Connections made within 3 s of the first belong to the same tcpcopy. A later connection belongs to another tcpcopy,
 * which replaces the first or is refused.
 */
import type { Flow } from '../../wire/flow.ts'
import type { Routing } from './router.ts'

const TOGETHER_MS = 3000
const NOBODY: readonly number[] = []

export class SingleGroup implements Routing {
  readonly #keepsFirst: boolean
  #peers: readonly number[] = NOBODY
  /** When the first of them connected. */
  #begunAt = 0

  /** @param keepsFirst refuse another tcpcopy while the first is connected (`-c`) */
  constructor(keepsFirst: boolean) {
    this.#keepsFirst = keepsFirst
  }

  admit(peer: number, now: number): readonly number[] {
    const before = this.#peers
    const isLater = before.length > 0 && now - this.#begunAt > TOGETHER_MS
    if (isLater && this.#keepsFirst) return [peer]
    if (isLater || before.length === 0) this.#begunAt = now
    this.#peers = isLater ? [peer] : [...before, peer]
    return isLater ? before : NOBODY
  }

  left(peer: number): void {
    this.#peers = this.#peers.filter((one) => one !== peer)
  }

  /** @returns index of the connection that gets this client's answers; −1: no connection */
  find({ clientAddress, clientPort }: Flow): number {
    const count = this.#peers.length
    return count === 0 ? -1 : ((clientAddress + clientPort) & 0xff) % count
  }

  peerOf(slot: number): number {
    return this.#peers[slot] ?? -1
  }

  /** A route that is announced nevertheless has no effect. */
  addRoute(): boolean {
    return true
  }

  removeRoute(): void {}

  used(): void {}

  /** No header waits, because no route will arrive. */
  delay(): void {}

  sweep(): void {}

  eachAddress(): void {}
}
