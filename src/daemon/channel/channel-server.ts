/**
 * intercept's end of the channel takes routes from up to 1024 connections of tcpcopy, of either version, and sends each
 * the records of its flows. A peer that speaks another protocol is closed. One that does not read loses records.
 */
import type { Routing } from '../../core/assistant/router.ts'
import { TargetFindings } from '../../core/assistant/target-findings.ts'
import { InterceptCounter, type InterceptCounters } from '../../core/books/intercept-counters.ts'
import type { Cryptography, Listener, Stream } from '../../ports.ts'
import type { Framing } from '../../wire/channel/channel-v1.ts'
import type { Flow } from '../../wire/flow.ts'
import type { Notices } from '../notices/notices.ts'
import type { ChannelOptions } from './negotiation.ts'
import type { Party, PeerMessageRequests, PeerWorkers } from './peer-workers.ts'
import { type Fault, type PeerRequests, ServerPeer } from './server-peer.ts'

const PEERS_MAX = 1024
/** Reads from one peer in one turn, so that a peer that never pauses delays neither the others nor the capture. */
const READS_MAX = 16
/** A connection that has not identified itself by then is closed. */
const HELLO_PATIENCE_MS = 30_000
/** A tcpcopy of version 1 does not withdraw routes. After this idle time another tcpcopy may take one. */
const ROUTE_QUIET_MS = 60_000

/** What the server works with. */
export interface ServerPorts {
  readonly listener: Listener
  readonly cryptography: Cryptography
  readonly notices: Notices
  /** Default: its own. */
  readonly findings?: TargetFindings | undefined
  /** Routes of all workers; default: none. */
  readonly routes?: (() => number) | undefined
}

export interface ServerOptions {
  /** `-n`: most headers in one message of version 1. */
  readonly recordsMax: number
  readonly channel: ChannelOptions
}

export class ChannelServer implements PeerRequests {
  readonly #listener: Listener
  readonly #counters: InterceptCounters
  readonly #notices: Notices
  readonly #framing: Framing
  readonly #options: ChannelOptions
  readonly #cryptography: Cryptography
  readonly #findings: TargetFindings
  readonly #routes: () => number
  readonly #peers = new Map<number, ServerPeer>()
  readonly #idStep: number
  #nextId: number
  readonly #peerWorkers: PeerWorkers | undefined
  readonly #messageRequests: PeerMessageRequests
  /** Peers that have something to send. */
  readonly #pending: ServerPeer[] = []
  #routing: Routing | undefined
  #now = 0

  /** @param peerWorkers undefined: this is the only worker */
  constructor(
    { listener, cryptography, notices, findings, routes }: ServerPorts,
    { recordsMax, channel }: ServerOptions,
    counters: InterceptCounters,
    peerWorkers?: PeerWorkers
  ) {
    this.#listener = listener
    this.#framing = { ...channel.framing, recordsMax: Math.min(recordsMax, channel.framing.recordsMax) }
    this.#options = channel
    this.#cryptography = cryptography
    this.#counters = counters
    this.#findings = findings ?? new TargetFindings()
    this.#routes = routes ?? (() => counters.get(InterceptCounter.routes))
    this.#notices = notices
    this.#peerWorkers = peerWorkers
    this.#nextId = peerWorkers?.firstId ?? 0
    this.#idStep = peerWorkers?.idStep ?? 1
    this.#messageRequests = {
      addRoute: (party, flow) => this.#addRoute(party, flow),
      removeRoute: (party, flow) => this.#routing?.removeRoute(party.id, flow),
      taken: (id, flow) => this.#tellTaken(id, flow),
      record: (id, version, bytes, length, segments) => this.#onRecord(id, version, bytes, length, segments),
      refuseRoute: () => this.refuseRoute()
    }
  }

  /** The version of a peer's records; 0: it gets none, or has closed. */
  versionOf(peer: number): number {
    return this.#party(peer)?.version ?? 0
  }

  /** Takes messages of other workers, new connections and their input. @returns whether more messages are waiting */
  receive(routing: Routing, now: number): boolean {
    this.#routing = routing
    this.#now = now
    const hasMore = this.#peerWorkers?.receive(this.#messageRequests) ?? false
    for (let stream = this.#listener.accept(); stream !== undefined; stream = this.#listener.accept()) {
      this.#accept(stream, now)
      // All workers accept from one socket. Each accepts one per turn, so the least busy one accepts most.
      if (this.#peerWorkers !== undefined) break
    }
    for (const peer of this.#peers.values()) this.#receiveFrom(peer, now)
    return hasMore
  }

  /** Sends a record of version 1 to a peer at the next `flush`. The framing determines its length. */
  deliver1(peerId: number, record: Uint8Array): void {
    const peer = this.#peers.get(peerId)
    if (peer !== undefined) this.#count(peer, peer.putRecord1(record, this.#framing), 1)
    else this.#handOver(peerId, 1, record, this.#framing.recordLength, 1)
  }

  /** Sends a record of version 2 at the next `flush`. @param segments number of captured headers in it */
  deliver2(peerId: number, record: Uint8Array, length: number, segments: number): void {
    const peer = this.#peers.get(peerId)
    if (peer === undefined) {
      this.#handOver(peerId, 2, record, length, segments)
      return
    }
    const taken = peer.putRecord2(record, length)
    this.#count(peer, taken, segments)
    if (taken > 0) this.#counters.add(InterceptCounter.records, 1)
  }

  /** Sends a record to the worker that has the connection. */
  #handOver(id: number, version: number, record: Uint8Array, length: number, segments: number): void {
    if (this.#peerWorkers === undefined) return
    if (!this.#peerWorkers.record(id, version, record, length, segments))
      this.#counters.add(InterceptCounter.backlogDropped, segments)
  }

  /** Takes a record of another worker's flow for a connection of this worker. */
  #onRecord(id: number, version: number, record: Uint8Array, length: number, segments: number): void {
    if (!this.#peers.has(id)) this.#counters.add(InterceptCounter.unroutedHeaders, segments)
    else if (version === 1) this.deliver1(id, record)
    else this.deliver2(id, record, length, segments)
  }

  /** Counts a record. @param length bytes added to the backlog; 0: it did not fit */
  #count(peer: ServerPeer, length: number, segments: number): void {
    if (length === 0) {
      this.#counters.add(InterceptCounter.backlogDropped, segments)
      return
    }
    if (peer.backlog.length === length) this.#pending.push(peer)
    this.#counters.add(InterceptCounter.channelBytes, length)
    this.#counters.add(InterceptCounter.forwardedHeaders, segments)
  }

  /** Writes all backlogs to the kernel. Call it at the end of a turn. */
  flush(): void {
    let waiting = 0
    for (let index = 0; index < this.#pending.length; index++) {
      const peer = this.#pending[index]
      if (peer === undefined || !this.#peers.has(peer.id)) continue
      if (!peer.flush()) this.#close(peer, peer.stream.failure || 'it closed the connection')
      else if (peer.backlog.length > 0) this.#pending[waiting++] = peer
    }
    // Popping takes 5 ns; setting the length is a call into the runtime and takes 50.
    while (this.#pending.length > waiting) this.#pending.pop()
    this.#peerWorkers?.flush()
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.stream.close()
    this.#peers.clear()
    this.#listener.close()
  }

  introduced(peer: ServerPeer): Fault | undefined {
    this.#peerWorkers?.describe(peer)
    for (const id of this.#routing?.admit(peer.id, this.#now) ?? []) {
      if (id === peer.id) return { reason: 'another tcpcopy is connected, and --keep-first is set', isUnproven: false }
      const replaced = this.#peers.get(id)
      if (replaced !== undefined) this.#close(replaced, 'another tcpcopy took its place (--single)')
    }
    this.#notices.add('info', 'tcpcopy connected', { tcpcopy: peer.stream.peer, version: peer.version })
    return undefined
  }

  addRoute(peer: ServerPeer, flow: Flow): void {
    if (this.#owns(flow)) this.#addRoute(peer, flow)
    else this.#peerWorkers?.addRoute(peer, flow)
  }

  removeRoute(peer: ServerPeer, flow: Flow): void {
    if (this.#owns(flow)) this.#routing?.removeRoute(peer.id, flow)
    else this.#peerWorkers?.removeRoute(peer, flow)
  }

  question(peer: ServerPeer, flow: Flow): void {
    const { serverAddress, serverPort } = flow
    const length = peer.putFindings(flow, this.#findings.of(serverAddress, serverPort, this.#routes(), this.#now))
    if (length > 0 && peer.backlog.length === length) this.#pending.push(peer)
  }

  #owns({ clientPort }: Flow): boolean {
    return this.#peerWorkers === undefined || this.#peerWorkers.owns(clientPort)
  }

  /** A connection of this worker or another; undefined: it has closed. */
  #party(id: number): Party | undefined {
    return this.#peers.get(id) ?? this.#peerWorkers?.party(id)
  }

  #addRoute(party: Party, flow: Flow): void {
    const mayTake = (owner: number, idleMs: number): boolean => this.#mayTake(party, this.#party(owner), idleMs)
    if (this.#routing?.addRoute(party.id, flow, this.#now, mayTake) !== false) return
    this.#counters.add(InterceptCounter.routesTaken, 1)
    if (this.#peers.has(party.id)) this.#tellTaken(party.id, flow)
    else this.#peerWorkers?.taken(party.id, flow)
  }

  #tellTaken(id: number, flow: Flow): void {
    const peer = this.#peers.get(id)
    const length = peer?.putTaken(flow) ?? 0
    if (peer !== undefined && length > 0 && peer.backlog.length === length) this.#pending.push(peer)
  }

  refuseRoute(): void {
    this.#counters.add(InterceptCounter.routesRefused, 1)
  }

  /** Whether a route moves to another connection. A peer of version 1 always gets it, since it cannot be refused. */
  #mayTake(peer: Party, owner: Party | undefined, idleMs: number): boolean {
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
    const peer = new ServerPeer(this.#nextId, stream, now, this.#options, this.#cryptography)
    this.#nextId += this.#idStep
    this.#peers.set(peer.id, peer)
    this.#counters.add(InterceptCounter.peersOpen, 1)
  }

  #receiveFrom(peer: ServerPeer, now: number): void {
    for (let reads = 0; reads < READS_MAX; reads++) {
      if (this.#peerWorkers?.mayRead === false) return
      const room = peer.stream.input.length - peer.stream.inputLength
      const count = peer.stream.read()
      if (count < 0) {
        this.#close(peer, peer.stream.failure || 'it closed the connection')
        return
      }
      if (count === 0) break
      const fault = peer.take(this)
      if (fault !== undefined) {
        this.#reject(peer, fault)
        return
      }
      if (count < room) break
    }
    if (peer.isIntroduced || now - peer.acceptedAt <= HELLO_PATIENCE_MS) return
    this.#reject(peer, { reason: 'it did not identify itself', isUnproven: false })
  }

  #reject(peer: ServerPeer, { reason, isUnproven }: Fault): void {
    this.#counters.add(InterceptCounter.peersRejected, 1)
    if (isUnproven) this.#counters.add(InterceptCounter.peersUnproven, 1)
    const message = isUnproven ? 'tcpcopy refused' : 'closed a connection that is not from tcpcopy'
    this.#notices.add('warn', message, { from: peer.stream.peer, reason })
    this.#drop(peer)
  }

  #close(peer: ServerPeer, reason: string): void {
    if (peer.isIntroduced) this.#notices.add('info', 'tcpcopy disconnected', { tcpcopy: peer.stream.peer, reason })
    this.#drop(peer)
  }

  #drop(peer: ServerPeer): void {
    peer.stream.close()
    this.#peers.delete(peer.id)
    this.#peerWorkers?.forget(peer.id)
    this.#routing?.left(peer.id)
    this.#counters.add(InterceptCounter.peersOpen, -1)
  }
}
