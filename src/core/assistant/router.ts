/**
 * The router finds the tcpcopy to which an answer belongs. A connection of the channel (a *peer*, a small integer)
 * announces routes. A route ends when its peer withdraws it, or after a long idle time. A SYN-ACK or RST that arrives
 * before its route waits for it.
 */
import { copyBytes, float64At, int32At } from '../../wire/bytes.ts'
import { HEADER_LENGTH } from '../../wire/channel/channel-v1.ts'
import { Flow } from '../../wire/flow.ts'
import { InterceptCounter, type InterceptCounters } from '../books/intercept-counters.ts'
import { FlowTable } from '../memory/flow-table.ts'

/** Default of `--routes`. */
export const ROUTES_MAX = 1 << 20
const ROUTE_IDLE_MS = 2 * 3600_000
const DELAY_MS = 30_000
/** Routes that one call of `sweep` checks, in about 15 µs. At one call a second, all are checked in four minutes. */
const SWEEP = 4096
const NO_PEER = -1
/** Words of a flow in a list of keys: both addresses, both ports. */
const KEY_WORDS = 3
const NOBODY: readonly number[] = []

/** Takes a header that waited for its route, as `putHeader` wrote it. */
export type Deliver = (peer: number, header: Uint8Array, at: number) => void

/** Whether a route may be taken from its owner. @param idleMs time since it was last announced or used */
export type MayTake = (owner: number, idleMs: number) => boolean

/** What `Router` and `SingleGroup` have in common. */
export type Routing = Pick<
  Router,
  'admit' | 'left' | 'addRoute' | 'removeRoute' | 'find' | 'peerOf' | 'used' | 'delay' | 'sweep' | 'eachAddress'
>

export class Router {
  readonly #counters: InterceptCounters
  readonly #deliver: Deliver
  readonly #slotByFlow = new FlowTable()
  /** Filled for what this router takes out of its own tables. */
  readonly #flow = new Flow()
  #keys = new Int32Array(1024 * KEY_WORDS)
  #peer = new Int32Array(1024).fill(NO_PEER)
  #usedAt = new Float64Array(1024)
  readonly #freeSlots: number[] = []
  #slotCount = 0
  #hand = 0
  /** A ring of `delayMax` waiting headers in order of arrival, at most one for each flow. */
  readonly #delayMax: number
  readonly #routesMax: number
  readonly #delayed: Uint8Array
  readonly #delayedAt: Float64Array
  readonly #delayedKeys: Int32Array
  readonly #delayedByFlow = new FlowTable()
  #delayedNext = 0

  /** @param delayMax most headers that may wait for their routes (`-s`); @param routesMax most routes */
  constructor(delayMax: number, counters: InterceptCounters, deliver: Deliver, routesMax = ROUTES_MAX) {
    this.#routesMax = routesMax
    this.#counters = counters
    this.#deliver = deliver
    this.#delayMax = delayMax
    this.#delayed = new Uint8Array(delayMax * HEADER_LENGTH)
    this.#delayedAt = new Float64Array(delayMax)
    this.#delayedKeys = new Int32Array(delayMax * KEY_WORDS)
  }

  /** A tcpcopy has identified itself. @returns the peers to close; its own number if it is refused */
  admit(_peer: number, _now: number): readonly number[] {
    return NOBODY
  }

  /** A peer has closed. Its routes stay, and move to another peer when that announces them. */
  left(_peer: number): void {}

  /**
   * Adds a route to a peer, or moves the route of this flow to it.
   * @returns false if another peer has the route and keeps it
   */
  addRoute(peer: number, flow: Flow, now: number, mayTake: MayTake): boolean {
    const found = this.#slotByFlow.get(flow)
    const owner = found >= 0 ? this.peerOf(found) : peer
    if (owner !== peer && !mayTake(owner, now - float64At(this.#usedAt, found))) return false
    const slot = found >= 0 ? found : this.#take()
    this.#peer[slot] = peer
    this.#usedAt[slot] = now
    if (found < 0) {
      putKey(this.#keys, slot, flow)
      this.#slotByFlow.set(flow, slot)
      this.#counters.add(InterceptCounter.routes, 1)
      this.#counters.add(InterceptCounter.routesAnnounced, 1)
    }
    this.#release(peer, flow, now)
    return true
  }

  /** Removes a route if it belongs to this peer. */
  removeRoute(peer: number, flow: Flow): void {
    const slot = this.#slotByFlow.get(flow)
    if (slot >= 0 && this.peerOf(slot) === peer) this.#free(slot)
  }

  /** @returns the slot of the flow's route, valid until routes are added or removed; −1: no route */
  find(flow: Flow): number {
    return this.#slotByFlow.get(flow)
  }

  /** The peer of a route. It may have closed. */
  peerOf(slot: number): number {
    return int32At(this.#peer, slot)
  }

  /** An answer took this route. */
  used(slot: number, now: number): void {
    this.#usedAt[slot] = now
  }

  /** Keeps a header until its route arrives, up to 30 s. A newer header of the same flow replaces it. */
  delay(header: Uint8Array, flow: Flow, now: number): void {
    const index = this.#delayedNext
    this.#delayedNext = (index + 1) % this.#delayMax
    this.#forget(index)
    const before = this.#delayedByFlow.get(flow)
    if (before >= 0) this.#forget(before)
    copyBytes(header, 0, this.#delayed, index * HEADER_LENGTH, HEADER_LENGTH)
    this.#delayedAt[index] = now
    putKey(this.#delayedKeys, index, flow)
    this.#delayedByFlow.set(flow, index)
    this.#counters.add(InterceptCounter.delayedHeaders, 1)
  }

  /** Gives every address of a route or of a waiting header. An address may be given several times. */
  eachAddress(take: (address: number) => void): void {
    this.#slotByFlow.eachAddress(take)
    this.#delayedByFlow.eachAddress(take)
  }

  /** Removes routes that were idle for two hours. Checks a few at a time; call it once a second. */
  sweep(now: number): void {
    for (let count = Math.min(SWEEP, this.#slotCount); count > 0; count--) {
      this.#hand = (this.#hand + 1) % this.#slotCount
      const isUsed = int32At(this.#peer, this.#hand) !== NO_PEER
      if (isUsed && now - float64At(this.#usedAt, this.#hand) > ROUTE_IDLE_MS) this.#free(this.#hand)
    }
  }

  #release(peer: number, flow: Flow, now: number): void {
    const index = this.#delayedByFlow.get(flow)
    if (index < 0) return
    this.#delayedByFlow.delete(flow)
    const isInTime = now - float64At(this.#delayedAt, index) <= DELAY_MS
    this.#delayedAt[index] = 0
    if (isInTime) this.#deliver(peer, this.#delayed, index * HEADER_LENGTH)
    else this.#counters.add(InterceptCounter.delayedLost, 1)
  }

  /** Discards the header that waits at a place of the ring, if any. */
  #forget(index: number): void {
    if (float64At(this.#delayedAt, index) === 0) return
    this.#delayedAt[index] = 0
    this.#delayedByFlow.delete(keyAt(this.#delayedKeys, index, this.#flow))
    this.#counters.add(InterceptCounter.delayedLost, 1)
  }

  #take(): number {
    const free = this.#freeSlots.pop()
    if (free !== undefined) return free
    if (this.#slotCount === this.#routesMax) {
      this.#hand = (this.#hand + 1) % this.#slotCount
      this.#free(this.#hand)
      this.#counters.add(InterceptCounter.routesEvicted, 1)
      return this.#freeSlots.pop() ?? this.#hand
    }
    if (this.#slotCount === this.#peer.length) this.#grow()
    return this.#slotCount++
  }

  #free(slot: number): void {
    this.#slotByFlow.delete(keyAt(this.#keys, slot, this.#flow))
    this.#peer[slot] = NO_PEER
    this.#freeSlots.push(slot)
    this.#counters.add(InterceptCounter.routes, -1)
  }

  #grow(): void {
    const size = this.#peer.length * 2
    const keys = new Int32Array(size * KEY_WORDS)
    keys.set(this.#keys)
    this.#keys = keys
    const peer = new Int32Array(size).fill(NO_PEER)
    peer.set(this.#peer)
    this.#peer = peer
    const usedAt = new Float64Array(size)
    usedAt.set(this.#usedAt)
    this.#usedAt = usedAt
  }
}

function putKey(keys: Int32Array, index: number, { clientAddress, serverAddress, ports }: Flow): void {
  keys[index * KEY_WORDS] = clientAddress
  keys[index * KEY_WORDS + 1] = serverAddress
  keys[index * KEY_WORDS + 2] = ports
}

/** @returns `flow`, filled with the key */
function keyAt(keys: Int32Array, index: number, flow: Flow): Flow {
  const at = index * KEY_WORDS
  return flow.unpack(int32At(keys, at), int32At(keys, at + 1), int32At(keys, at + 2))
}
