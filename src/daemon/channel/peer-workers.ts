/**
 * Messages to and from the other workers of an intercept. A flow belongs to the worker of its client's port, which has
 * its route and the headers that wait for it, and to which the kernel's fanout delivers its answers. A connection of a
 * tcpcopy belongs to the worker that accepted it. A worker that gets something of another sends it there as a message:
 * a route to the worker of its flow, a record to the worker of its connection. So a tcpcopy of either version may
 * connect to any worker.
 */
import assert from 'node:assert/strict'
import { workerOf } from '../../core/selection/worker-share.ts'
import type { Exchange, PeerMessage } from '../../ports.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { copyBytes, int32At } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'

const PeerMessageType = {
  /** Describes a connection (`Party`): sent before its first route, and when it has changed. */
  Party: 1,
  /** A connection that was described has closed. */
  Gone: 2,
  Route: 3,
  Withdrawal: 4,
  /** Another tcpcopy has the route. */
  Taken: 5,
  /** For a connection, in its version of the channel. */
  Record: 6,
  /** A captured packet of a flow that belongs to the receiver. */
  Packet: 7
} as const

/** Length of an IPv6 address. Messages hold whole addresses, since each worker has its own address book. */
const ADDRESS_6_LENGTH = 16
/** Enough for a captured header with the payload of `--with-resp-payload`. */
const BYTES_MAX = 384
/**
 * Bytes kept free for messages that must not be lost. Records and packets may be lost. The routes in one read of a
 * connection need no more than this.
 */
const ROOM_FOR_ROUTES = 0x40000
/** Messages taken in one turn. */
const MESSAGES_MAX = 8192

/** What another worker knows of a connection. */
export interface Party {
  readonly id: number
  /** Version of its records; 0: it gets none. */
  readonly version: number
  /** The same for all connections of one tcpcopy; empty: unknown. */
  readonly instance: string
}

/** Takes a packet that another worker captured, from its IP header on. */
export type TakePacket = (bytes: Uint8Array, captured: number, length: number) => void

/** Carries out what the messages of other workers request. */
export interface PeerMessageRequests {
  /** @param flow valid during the call, as in the others */
  addRoute(party: Party, flow: Flow): void
  removeRoute(party: Party, flow: Flow): void
  taken(peer: number, flow: Flow): void
  record(peer: number, version: number, bytes: Uint8Array, length: number, segments: number): void
  /** Counts a route that cannot be added because the address book is full. */
  refuseRoute(): void
}

export class PeerWorkers {
  readonly #exchange: Exchange
  readonly #message: PeerMessage = {
    type: 0,
    peer: 0,
    words: new Int32Array(3),
    length: 0,
    bytes: new Uint8Array(BYTES_MAX)
  }
  /** Connections of other workers, by id. */
  readonly #parties = new Map<number, Party>()
  /** What the other workers know of this worker's connections, by id. */
  readonly #described = new Map<number, string>()
  readonly #takePacket: TakePacket
  /** The flow of the message at hand. */
  readonly #flow = new Flow()

  constructor(exchange: Exchange, takePacket: TakePacket) {
    this.#exchange = exchange
    this.#takePacket = takePacket
  }

  /** A worker's connections get the ids `firstId`, `firstId + idStep` and so on, so an id tells the worker. */
  get firstId(): number {
    return this.#exchange.worker
  }
  get idStep(): number {
    return this.#exchange.workers
  }

  /** Whether a connection may be read: all routes that it may announce fit into the rings. */
  get mayRead(): boolean {
    return this.#exchange.room >= ROOM_FOR_ROUTES
  }

  /** Whether flows of this client port belong to this worker. */
  owns(clientPort: number): boolean {
    return workerOf(clientPort, this.#exchange.workers) === this.#exchange.worker
  }

  /** @returns undefined if no other worker has the connection, or it has announced nothing here */
  party(id: number): Party | undefined {
    return this.#parties.get(id)
  }

  /** Describes a connection of this worker to the others, unless they know it already. */
  describe({ id, version, instance }: Party): void {
    const known = `${version}${instance}`
    if (this.#described.get(id) === known) return
    this.#described.set(id, known)
    const message = this.#begin(PeerMessageType.Party, id, version)
    message.length = instance.length
    for (let index = 0; index < instance.length; index++) message.bytes[index] = instance.charCodeAt(index)
    this.#sendToAll()
  }

  /** A connection of this worker has closed. */
  forget(id: number): void {
    if (!this.#described.delete(id)) return
    this.#begin(PeerMessageType.Gone, id)
    this.#sendToAll()
  }

  addRoute(party: Party, flow: Flow): void {
    this.describe(party)
    this.#sendFlow(PeerMessageType.Route, this.#ownerOf(flow.clientPort), party.id, flow)
  }

  removeRoute(party: Party, flow: Flow): void {
    this.#sendFlow(PeerMessageType.Withdrawal, this.#ownerOf(flow.clientPort), party.id, flow)
  }

  /** Tells a connection of another worker that another tcpcopy has a route. */
  taken(id: number, flow: Flow): void {
    this.#sendFlow(PeerMessageType.Taken, id % this.#exchange.workers, id, flow)
  }

  /** Sends a record to the worker of its connection. @returns false if it does not fit and is lost */
  record(id: number, version: number, bytes: Uint8Array, length: number, segments: number): boolean {
    if (!this.mayRead) return false
    const message = this.#begin(PeerMessageType.Record, id, version, segments)
    message.length = length
    copyBytes(bytes, 0, message.bytes, 0, length)
    return this.#exchange.send(id % this.#exchange.workers, message)
  }

  /** Sends a captured packet, from its IP header on, to the worker of its flow. @returns false if it is lost */
  packet(clientPort: number, bytes: Uint8Array, at: number, captured: number, length: number): boolean {
    if (!this.mayRead) return false
    const message = this.#begin(PeerMessageType.Packet, 0, length)
    message.length = Math.min(captured, BYTES_MAX)
    copyBytes(bytes, at, message.bytes, 0, message.length)
    return this.#exchange.send(this.#ownerOf(clientPort), message)
  }

  /** Takes messages of the other workers. @returns whether more are waiting */
  receive(requests: PeerMessageRequests): boolean {
    for (let count = 0; count < MESSAGES_MAX; count++) {
      if (!this.#exchange.take(this.#message)) return false
      this.#onMessage(this.#message, requests)
    }
    return true
  }

  /** Wakes the workers that got messages. Call it at the end of a turn. */
  flush(): void {
    this.#exchange.flush()
  }

  #onMessage({ type, peer, words, bytes, length }: PeerMessage, requests: PeerMessageRequests): void {
    const first = int32At(words, 0)
    const second = int32At(words, 1)
    if (type === PeerMessageType.Party) {
      const instance = String.fromCharCode(...bytes.subarray(0, length))
      this.#parties.set(peer, { id: peer, version: first, instance })
    } else if (type === PeerMessageType.Gone) this.#parties.delete(peer)
    else if (type === PeerMessageType.Record) requests.record(peer, first, bytes, length, second)
    else if (type === PeerMessageType.Packet) this.#takePacket(bytes, length, first)
    else this.#onFlow(this.#message, requests)
  }

  #onFlow({ type, peer, words, bytes, length }: PeerMessage, requests: PeerMessageRequests): void {
    const isOfIpv6 = length > 0
    const client = isOfIpv6 ? addressBook.intern(bytes, 0) : int32At(words, 0)
    const target = isOfIpv6 ? addressBook.intern(bytes, ADDRESS_6_LENGTH) : int32At(words, 1)
    const flow = this.#flow.unpack(client, target, int32At(words, 2))
    const party = this.#parties.get(peer)
    if (isOfIpv6 && (client === 0 || target === 0)) {
      if (type === PeerMessageType.Route) requests.refuseRoute()
    } else if (type === PeerMessageType.Taken) requests.taken(peer, flow)
    else if (party === undefined) return
    else if (type === PeerMessageType.Route) requests.addRoute(party, flow)
    else requests.removeRoute(party, flow)
  }

  #ownerOf(clientPort: number): number {
    return workerOf(clientPort, this.#exchange.workers)
  }

  #begin(type: number, peer: number, first = 0, second = 0, third = 0): PeerMessage {
    const message = this.#message
    message.type = type
    message.peer = peer
    message.words[0] = first
    message.words[1] = second
    message.words[2] = third
    message.length = 0
    return message
  }

  #sendFlow(type: number, worker: number, peer: number, { clientAddress, serverAddress, ports }: Flow): void {
    const message = this.#begin(type, peer, clientAddress, serverAddress, ports)
    if (isIpv6(serverAddress)) {
      message.length = 2 * ADDRESS_6_LENGTH
      addressBook.put(clientAddress, message.bytes, 0)
      addressBook.put(serverAddress, message.bytes, ADDRESS_6_LENGTH)
    }
    this.#send(worker)
  }

  #sendToAll(): void {
    const { worker, workers } = this.#exchange
    for (let other = 0; other < workers; other++) if (other !== worker) this.#send(other)
  }

  /** Sends a message that must not be lost: `mayRead` made sure that it fits. */
  #send(worker: number): void {
    assert(this.#exchange.send(worker, this.#message), 'a ring between workers is full')
  }
}
