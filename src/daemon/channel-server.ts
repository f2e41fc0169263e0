/**
 * intercept's side of the channel, version 1: takes routes from any number of tcpcopy connections, and gives each the
 * records that belong to it. A peer that speaks something else is closed; one that does not read loses records.
 */
import { InterceptCounter, type InterceptCounters } from '../core/intercept-counters.ts'
import type { Router } from '../core/router.ts'
import type { Listener, Log, Stream } from '../ports.ts'
import { copyBytes, put16 } from '../wire/bytes.ts'
import {
  MESSAGE_LENGTH,
  MessageType,
  messageClientAddress,
  messageClientPort,
  messageTargetAddress,
  messageTargetPort,
  messageType,
  RECORD_LENGTH
} from '../wire/channel-v1.ts'
import { Backlog, consume } from './backlog.ts'

const BACKLOG_MAX = 4 << 20
const PEERS_MAX = 1024
/** Reads from one peer in one turn: one that never pauses does not hold up the others, nor the capture. */
const READS_MAX = 16
/** A connection that has not said what it is by then is closed. */
const HELLO_PATIENCE_MS = 30_000

class Peer {
  readonly id: number
  readonly stream: Stream
  readonly acceptedAt: number
  readonly backlog = new Backlog(BACKLOG_MAX)
  hasSaidHello = false
  /** Where the count of the message under construction stands in the backlog; −1: there is none. */
  messageAt = -1
  recordCount = 0

  constructor(id: number, stream: Stream, acceptedAt: number) {
    this.id = id
    this.stream = stream
    this.acceptedAt = acceptedAt
  }
}

export class ChannelServer {
  readonly #listener: Listener
  readonly #counters: InterceptCounters
  readonly #log: Log
  readonly #recordsMax: number
  readonly #peers = new Map<number, Peer>()
  #nextId = 0
  /** Peers that have something to send. */
  readonly #pending: Peer[] = []

  /** @param recordsMax most records in a message (`-n`) */
  constructor(listener: Listener, recordsMax: number, counters: InterceptCounters, log: Log) {
    this.#listener = listener
    this.#recordsMax = recordsMax
    this.#counters = counters
    this.#log = log
  }

  isAlive(peer: number): boolean {
    return this.#peers.has(peer)
  }

  /** Takes new connections and what they say. */
  receive(router: Router, now: number): void {
    for (let stream = this.#listener.accept(); stream !== undefined; stream = this.#listener.accept()) {
      this.#accept(stream, now)
    }
    for (const peer of this.#peers.values()) this.#receiveFrom(peer, router, now)
  }

  /** Adds a record to what goes to a peer. */
  deliver(peerId: number, record: Uint8Array, at: number): void {
    const peer = this.#peers.get(peerId)
    if (peer === undefined) return
    const isNew = peer.messageAt < 0
    const reserved = peer.backlog.reserve(RECORD_LENGTH + (isNew ? 2 : 0))
    if (reserved < 0) {
      this.#counters.add(InterceptCounter.backlogDropped, 1)
      return
    }
    if (isNew) {
      if (peer.backlog.length === RECORD_LENGTH + 2) this.#pending.push(peer)
      peer.messageAt = reserved
      peer.recordCount = 0
    }
    copyBytes(record, at, peer.backlog.bytes, isNew ? reserved + 2 : reserved, RECORD_LENGTH)
    peer.recordCount += 1
    put16(peer.backlog.bytes, peer.messageAt, peer.recordCount)
    if (peer.recordCount === this.#recordsMax) peer.messageAt = -1
    this.#counters.add(InterceptCounter.forwardedHeaders, 1)
  }

  /** Hands all that was delivered to the kernel; called at the end of each batch. */
  flush(): void {
    let waiting = 0
    for (let index = 0; index < this.#pending.length; index++) {
      const peer = this.#pending[index]
      if (peer === undefined || !this.#peers.has(peer.id)) continue
      peer.messageAt = -1
      if (!peer.backlog.flush(peer.stream)) this.#close(peer, peer.stream.failure || 'it closed the connection')
      else if (peer.backlog.length > 0) this.#pending[waiting++] = peer
    }
    this.#pending.length = waiting
  }

  close(): void {
    for (const peer of this.#peers.values()) peer.stream.close()
    this.#peers.clear()
    this.#listener.close()
  }

  #accept(stream: Stream, now: number): void {
    this.#counters.add(InterceptCounter.peersAccepted, 1)
    if (this.#peers.size >= PEERS_MAX) {
      this.#counters.add(InterceptCounter.peersRejected, 1)
      stream.close()
      return
    }
    const peer = new Peer(this.#nextId++, stream, now)
    this.#peers.set(peer.id, peer)
    this.#counters.add(InterceptCounter.peersOpen, 1)
  }

  #receiveFrom(peer: Peer, router: Router, now: number): void {
    for (let reads = 0; reads < READS_MAX; reads++) {
      const octets = peer.stream.read()
      if (octets < 0) {
        this.#close(peer, peer.stream.failure || 'it closed the connection')
        return
      }
      if (octets === 0) break
      if (!this.#takeMessages(peer, router, now)) {
        this.#reject(peer, 'its first message is not that of a tcpcopy')
        return
      }
    }
    if (!peer.hasSaidHello && now - peer.acceptedAt > HELLO_PATIENCE_MS) this.#reject(peer, 'it said nothing')
  }

  #takeMessages(peer: Peer, router: Router, now: number): boolean {
    const { input } = peer.stream
    let at = 0
    for (; peer.stream.inputLength - at >= MESSAGE_LENGTH; at += MESSAGE_LENGTH) {
      const type = messageType(input, at)
      const client = messageClientAddress(input, at)
      const clientPort = messageClientPort(input, at)
      if (!peer.hasSaidHello) {
        if (client !== 0 || clientPort !== 0 || type !== MessageType.Version) return false
        peer.hasSaidHello = true
        this.#log('info', 'tcpcopy connected', { tcpcopy: peer.stream.peer })
        continue
      }
      const target = messageTargetAddress(input, at)
      const targetPort = messageTargetPort(input, at)
      if (type === MessageType.AddRoute) router.addRoute(peer.id, client, clientPort, target, targetPort, now)
      else if (type === MessageType.RemoveRoute) router.removeRoute(client, clientPort, target, targetPort)
    }
    if (at > 0) consume(peer.stream, at)
    return true
  }

  #reject(peer: Peer, reason: string): void {
    this.#counters.add(InterceptCounter.peersRejected, 1)
    this.#log('warn', 'connection closed that is no tcpcopy', { from: peer.stream.peer, reason })
    this.#drop(peer)
  }

  #close(peer: Peer, reason: string): void {
    if (peer.hasSaidHello) this.#log('info', 'tcpcopy disconnected', { tcpcopy: peer.stream.peer, reason })
    this.#drop(peer)
  }

  #drop(peer: Peer): void {
    peer.stream.close()
    this.#peers.delete(peer.id)
    this.#counters.add(InterceptCounter.peersOpen, -1)
  }
}
