/**
 * Single mode of tcpcopy 1.x: no routes. All answers are those of one tcpcopy, whose connections share them. Its
 * connections are those made within 3 s of the first; one that is made later belongs to another tcpcopy, which takes the
 * place of the first, or is not let in.
 */
import type { Flow } from '../../wire/flow.ts'
import type { Routing } from './router.ts'

const TOGETHER_MS = 3000
const NOBODY: readonly number[] = []

export class SingleGroup implements Routing {
  readonly #keepsFirst: boolean
  #peers: readonly number[] = NOBODY
  /** When the first of them came. */
  #begunAt = 0

  /** @param keepsFirst a later tcpcopy is not let in as long as the first is there (`-c`) */
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

  /** @returns which of the connections takes this client's answers; −1: there is none */
  find({ clientAddress, clientPort }: Flow): number {
    const count = this.#peers.length
    return count === 0 ? -1 : ((clientAddress + clientPort) & 0xff) % count
  }

  peerOf(slot: number): number {
    return this.#peers[slot] ?? -1
  }

  /** What is announced all the same is true anyway. */
  addRoute(): boolean {
    return true
  }

  removeRoute(): void {}

  used(): void {}

  /** There is no route to wait for. */
  delay(): void {}

  sweep(): void {}

  eachAddress(): void {}
}
