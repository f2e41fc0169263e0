/**
 * intercept's side of the channel: takes routes from any number of tcpcopy connections, of either version, and gives each
 * the records that belong to it. A peer that speaks something else is closed; one that does not read loses records.
 */
import { InterceptCounter, type InterceptCounters } from '../core/intercept-counters.ts'
import type { Routing } from '../core/router.ts'
import type { Cryptography, Listener, Log, Stream } from '../ports.ts'
import type { Framing } from '../wire/channel-v1.ts'
import type { ChannelOptions } from './negotiation.ts'
import { type Fault, type PeerRequests, ServerPeer } from './server-peer.ts'

const PEERS_MAX = 1024
/** Reads from one peer in one turn: one that never pauses does not hold up the others, nor the capture. */
const READS_MAX = 16
/** A connection that has not said what it is by then is closed. */
const HELLO_PATIENCE_MS = 30_000
/** A tcpcopy of version 1 does not say that a route is not needed any more: after so long it is anybody's. */
const ROUTE_QUIET_MS = 60_000

export class ChannelServer implements PeerRequests {
  readonly #listener: Listener
  readonly #counters: InterceptCounters
  readonly #log: Log
  readonly #framing: Framing
  readonly #options: ChannelOptions
  readonly #cryptography: Cryptography
  readonly #peers = new Map<number, ServerPeer>()
  #nextId = 0
  /** Peers that have something to send. */
  readonly #pending: ServerPeer[] = []
  #routing: Routing | undefined
  #now = 0

  /** @param recordsMax most records in a message of version 1 (`-n`) */
  constructor(
    listener: Listener,
    recordsMax: number,
    options: ChannelOptions,
    cryptography: Cryptography,
    counters: InterceptCounters,
    log: Log
  ) {
    this.#listener = listener
    this.#framing = { ...options.framing, recordsMax: Math.min(recordsMax, options.framing.recordsMax) }
    this.#options = options
    this.#cryptography = cryptography
    this.#counters = counters
    this.#log = log
  }

  /** The version in which a peer takes records; 0: none, it has gone. */
  versionOf(peer: number): number {
    return this.#peers.get(peer)?.version ?? 0
  }

  /** Takes new connections and what they say. */
  receive(routing: Routing, now: number): void {
    this.#routing = routing
    this.#now = now
    for (let stream = this.#listener.accept(); stream !== undefined; stream = this.#listener.accept()) {
      this.#accept(stream, now)
    }
    for (const peer of this.#peers.values()) this.#receiveFrom(peer, now)
  }

  /** Adds a record of version 1, as long as the framing says, to what goes to a peer. */
  deliver1(peerId: number, record: Uint8Array, at: number): void {
    const peer = this.#peers.get(peerId)
    if (peer !== undefined) this.#count(peer, peer.putRecord1(record, at, this.#framing), 1)
  }

  /** Adds a record of version 2. @param segments captured headers that it stands for */
  deliver2(peerId: number, record: Uint8Array, length: number, segments: number): void {
    const peer = this.#peers.get(peerId)
    if (peer === undefined) return
    const taken = peer.putRecord2(record, length)
    this.#count(peer, taken, segments)
    if (taken > 0) this.#counters.add(InterceptCounter.records, 1)
  }

  /** @param length octets that were taken in; 0: there was no room */
  #count(peer: ServerPeer, length: number, segments: number): void {
    if (length === 0) {
      this.#counters.add(InterceptCounter.backlogDropped, segments)
      return
    }
    if (peer.backlog.length === length) this.#pending.push(peer)
    this.#counters.add(InterceptCounter.channelBytes, length)
    this.#counters.add(InterceptCounter.forwardedHeaders, segments)
  }

  /** Hands all that was delivered to the kernel; called at the end of each batch. */
  flush(): void {
    let waiting = 0
    for (let index = 0; index < this.#pending.length; index++) {
      const peer = this.#pending[index]
      if (peer === undefined || !this.#peers.has(peer.id)) continue
      if (!peer.flush()) this.#close(peer, peer.stream.failure || 'it closed the connection')
      else if (peer.backlog.length > 0) this.#pending[waiting++] = peer
    }
    this.#pending.length = waiting
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.stream.close()
    this.#peers.clear()
    this.#listener.close()
  }

  introduced(peer: ServerPeer): Fault | undefined {
    for (const id of this.#routing?.admit(peer.id, this.#now) ?? []) {
      if (id === peer.id) return { reason: 'another tcpcopy is there, and --keep-first keeps it', isUnproven: false }
      const replaced = this.#peers.get(id)
      if (replaced !== undefined) this.#close(replaced, 'another tcpcopy has taken its place (--single)')
    }
    this.#log('info', 'tcpcopy connected', { tcpcopy: peer.stream.peer, version: peer.version })
    return undefined
  }

  addRoute(peer: ServerPeer, client: number, clientPort: number, target: number, targetPort: number): void {
    const mayTake = (owner: number, idleMs: number): boolean => this.#mayTake(peer, this.#peers.get(owner), idleMs)
    if (this.#routing?.addRoute(peer.id, client, clientPort, target, targetPort, this.#now, mayTake) !== false) return
    this.#counters.add(InterceptCounter.routesTaken, 1)
    const length = peer.putTaken(client, clientPort, target, targetPort)
    if (length > 0 && peer.backlog.length === length) this.#pending.push(peer)
  }

  removeRoute(peer: ServerPeer, client: number, clientPort: number, target: number, targetPort: number): void {
    this.#routing?.removeRoute(peer.id, client, clientPort, target, targetPort)
  }

  refuseRoute(): void {
    this.#counters.add(InterceptCounter.routesRefused, 1)
  }

  /** Whether a route goes over to another connection. One of version 1 could not be told that it does not. */
  #mayTake(peer: ServerPeer, owner: ServerPeer | undefined, idleMs: number): boolean {
    if (owner === undefined || peer.instance === '' || owner.instance === peer.instance) return true
    return owner.instance === '' && idleMs > ROUTE_QUIET_MS
  }

  #accept(stream: Stream, now: number): void {
    this.#counters.add(InterceptCounter.peersAccepted, 1)
    if (this.#peers.size >= PEERS_MAX) {
      this.#counters.add(InterceptCounter.peersRejected, 1)
      stream.close()
      return
    }
    const peer = new ServerPeer(this.#nextId++, stream, now, this.#options, this.#cryptography)
    this.#peers.set(peer.id, peer)
    this.#counters.add(InterceptCounter.peersOpen, 1)
  }

  #receiveFrom(peer: ServerPeer, now: number): void {
    for (let reads = 0; reads < READS_MAX; reads++) {
      const room = peer.stream.input.length - peer.stream.inputLength
      const octets = peer.stream.read()
      if (octets < 0) {
        this.#close(peer, peer.stream.failure || 'it closed the connection')
        return
      }
      if (octets === 0) break
      const fault = peer.take(this)
      if (fault !== undefined) {
        this.#reject(peer, fault)
        return
      }
      if (octets < room) break
    }
    if (peer.isIntroduced || now - peer.acceptedAt <= HELLO_PATIENCE_MS) return
    this.#reject(peer, { reason: 'it did not say what it is', isUnproven: false })
  }

  #reject(peer: ServerPeer, { reason, isUnproven }: Fault): void {
    this.#counters.add(InterceptCounter.peersRejected, 1)
    if (isUnproven) this.#counters.add(InterceptCounter.peersUnproven, 1)
    const message = isUnproven ? 'tcpcopy refused' : 'connection closed that is no tcpcopy'
    this.#log('warn', message, { from: peer.stream.peer, reason })
    this.#drop(peer)
  }

  #close(peer: ServerPeer, reason: string): void {
    if (peer.isIntroduced) this.#log('info', 'tcpcopy disconnected', { tcpcopy: peer.stream.peer, reason })
    this.#drop(peer)
  }

  #drop(peer: ServerPeer): void {
    peer.stream.close()
    this.#peers.delete(peer.id)
    this.#routing?.left(peer.id)
    this.#counters.add(InterceptCounter.peersOpen, -1)
  }
}
