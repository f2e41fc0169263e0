/**
 * The other workers of an intercept. Each flow belongs to the worker of its client's port: there are its route and the
 * headers that wait for it, and there the kernel's fanout brings its answers. Each connection of a tcpcopy belongs to the
 * worker that has accepted it. What one gets that is another's goes there as a message: a route to the worker of its flow,
 * a record to the worker of its connection. So who connects where is all the same, to tcpcopies of either version.
 */
import assert from 'node:assert/strict'
import { workerOf } from '../../core/selection/worker-share.ts'
import type { Exchange, PeerMessage } from '../../ports.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { copyBytes, int32At } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'

const NoteType = {
  /** What a connection is: `Party`. Before its first route, and when it has changed. */
  Party: 1,
  /** A connection that was told of has ended. */
  Gone: 2,
  Route: 3,
  Withdrawal: 4,
  /** A route is another's. */
  Taken: 5,
  /** For a connection, in its version. */
  Record: 6,
  /** Captured octets of a flow of the other's. */
  Packet: 7
} as const

/** Addresses of IPv6, each worker of which has a number of its own. */
const ADDRESS_6_LENGTH = 16
/** A captured header, and the payload that `--with-resp-payload` asks for. */
const NOTE_LENGTH_MAX = 384
/** Kept free for all but records and packets, which may be lost: routes of all that one reading of a connection may bring. */
const ROOM_FOR_ROUTES = 0x40000
/** Messages taken in one turn. */
const NOTES_MAX = 8192

/** A connection as another worker knows it. */
export interface Party {
  readonly id: number
  /** In which it takes records; 0: it may not have any. */
  readonly version: number
  /** The same for all connections of one tcpcopy; empty where that is not known. */
  readonly instance: string
}

/** Takes a packet that another worker captured, from its IP header on. */
export type TakePacket = (bytes: Uint8Array, captured: number, length: number) => void

/** What messages ask for. */
export interface NoteRequests {
  /** @param flow valid during the call, as in the others */
  addRoute(party: Party, flow: Flow): void
  removeRoute(party: Party, flow: Flow): void
  taken(peer: number, flow: Flow): void
  record(peer: number, version: number, bytes: Uint8Array, length: number, segments: number): void
  /** A route cannot be added: there is no room for one more IPv6 address. */
  refuseRoute(): void
}

export class PeerWorkers {
  readonly #exchange: Exchange
  readonly #message: PeerMessage = {
    type: 0,
    peer: 0,
    words: new Int32Array(3),
    length: 0,
    bytes: new Uint8Array(NOTE_LENGTH_MAX)
  }
  /** Connections of others. */
  readonly #parties = new Map<number, Party>()
  /** Of its own connections, what the others know. */
  readonly #told = new Map<number, string>()
  readonly #takePacket: TakePacket
  /** The flow of the message at hand. */
  readonly #flow = new Flow()

  constructor(exchange: Exchange, takePacket: TakePacket) {
    this.#exchange = exchange
    this.#takePacket = takePacket
  }

  /** Ids of connections, from `firstId` on and so far apart, tell whose they are. */
  get firstId(): number {
    return this.#exchange.worker
  }
  get idStep(): number {
    return this.#exchange.workers
  }

  /** Whether connections may be read: there is room for all the routes that they may announce. */
  get mayRead(): boolean {
    return this.#exchange.room >= ROOM_FOR_ROUTES
  }

  /** Whether the flows of this client's port are this worker's. */
  owns(clientPort: number): boolean {
    return workerOf(clientPort, this.#exchange.workers) === this.#exchange.worker
  }

  /** @returns undefined where no other worker has it, or it has announced nothing here */
  party(id: number): Party | undefined {
    return this.#parties.get(id)
  }

  /** To be called when a connection of its own has become known, or may have changed. */
  tell({ id, version, instance }: Party): void {
    const known = `${version}${instance}`
    if (this.#told.get(id) === known) return
    this.#told.set(id, known)
    const message = this.#begin(NoteType.Party, id, version)
    message.length = instance.length
    for (let index = 0; index < instance.length; index++) message.bytes[index] = instance.charCodeAt(index)
    this.#sendToAll()
  }

  /** A connection of its own has ended. */
  forget(id: number): void {
    if (!this.#told.delete(id)) return
    this.#begin(NoteType.Gone, id)
    this.#sendToAll()
  }

  addRoute(party: Party, flow: Flow): void {
    this.tell(party)
    this.#sendFlow(NoteType.Route, this.#ownerOf(flow.clientPort), party.id, flow)
  }

  removeRoute(party: Party, flow: Flow): void {
    this.#sendFlow(NoteType.Withdrawal, this.#ownerOf(flow.clientPort), party.id, flow)
  }

  /** Tells a connection of another worker that a route is not its own. */
  taken(id: number, flow: Flow): void {
    this.#sendFlow(NoteType.Taken, id % this.#exchange.workers, id, flow)
  }

  /** Hands a record to the worker of its connection. @returns false: there is no room, and it is lost */
  record(id: number, version: number, bytes: Uint8Array, length: number, segments: number): boolean {
    if (!this.mayRead) return false
    const message = this.#begin(NoteType.Record, id, version, segments)
    message.length = length
    copyBytes(bytes, 0, message.bytes, 0, length)
    return this.#exchange.send(id % this.#exchange.workers, message)
  }

  /** Hands captured octets, from their IP header on, to the worker of their flow. @returns false: as `record` */
  packet(clientPort: number, bytes: Uint8Array, at: number, captured: number, length: number): boolean {
    if (!this.mayRead) return false
    const message = this.#begin(NoteType.Packet, 0, length)
    message.length = Math.min(captured, NOTE_LENGTH_MAX)
    copyBytes(bytes, at, message.bytes, 0, message.length)
    return this.#exchange.send(this.#ownerOf(clientPort), message)
  }

  /** Takes what the others have sent. @returns whether there is more */
  receive(requests: NoteRequests): boolean {
    for (let count = 0; count < NOTES_MAX; count++) {
      if (!this.#exchange.take(this.#message)) return false
      this.#onNote(this.#message, requests)
    }
    return true
  }

  /** At the end of a turn. */
  flush(): void {
    this.#exchange.flush()
  }

  #onNote({ type, peer, words, bytes, length }: PeerMessage, requests: NoteRequests): void {
    const first = int32At(words, 0)
    const second = int32At(words, 1)
    if (type === NoteType.Party) {
      const instance = String.fromCharCode(...bytes.subarray(0, length))
      this.#parties.set(peer, { id: peer, version: first, instance })
    } else if (type === NoteType.Gone) this.#parties.delete(peer)
    else if (type === NoteType.Record) requests.record(peer, first, bytes, length, second)
    else if (type === NoteType.Packet) this.#takePacket(bytes, length, first)
    else this.#onFlow(this.#message, requests)
  }

  #onFlow({ type, peer, words, bytes, length }: PeerMessage, requests: NoteRequests): void {
    const isOfIpv6 = length > 0
    const client = isOfIpv6 ? addressBook.intern(bytes, 0) : int32At(words, 0)
    const target = isOfIpv6 ? addressBook.intern(bytes, ADDRESS_6_LENGTH) : int32At(words, 1)
    const flow = this.#flow.unpack(client, target, int32At(words, 2))
    const party = this.#parties.get(peer)
    if (isOfIpv6 && (client === 0 || target === 0)) {
      if (type === NoteType.Route) requests.refuseRoute()
    } else if (type === NoteType.Taken) requests.taken(peer, flow)
    else if (party === undefined) return
    else if (type === NoteType.Route) requests.addRoute(party, flow)
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

  /** What may not be lost: `mayRead` has seen to it that there is room. */
  #send(worker: number): void {
    assert(this.#exchange.send(worker, this.#message), 'a ring between workers is full')
  }
}
