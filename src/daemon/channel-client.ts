/**
 * tcpcopy's side of the channel, version 1: some connections to each intercept, made again with back-off when they
 * break. Routes are announced to every intercept; after a break all that live are announced again.
 */
import { Counter, type Counters } from '../core/counters.ts'
import type { Log, Network, Stream } from '../ports.ts'
import { u16 } from '../wire/bytes.ts'
import { MESSAGE_LENGTH, MessageType, putHello, putMessage, RECORD_LENGTH, RECORDS_MAX } from '../wire/channel-v1.ts'
import { Backlog, consume } from './backlog.ts'

const BACKLOG_MAX = 4 << 20
const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 5000
const CONNECT_PATIENCE_MS = 5000

export interface InterceptAddress {
  /** IPv4 as int32, host order. */
  readonly address: number
  readonly port: number
}

/** The route of a session, as the channel tells it. */
export interface Route {
  readonly id: number
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
}

/** Takes one record. */
export type RecordSink = (bytes: Uint8Array, at: number) => void

class Connection {
  stream: Stream | undefined
  /** It was open, and intercept has been told that we are there. */
  isReady = false
  /** When to connect again, or to give up connecting. */
  nextAt = 0
  openedAt = 0
  retryMs = RETRY_FIRST_MS
  readonly backlog = new Backlog(BACKLOG_MAX)
}

interface Intercept {
  readonly where: InterceptAddress
  readonly connections: Connection[]
  /** Its absence has been told. */
  isAway: boolean
}

export class ChannelClient {
  readonly #network: Network
  readonly #counters: Counters
  readonly #log: Log
  readonly #intercepts: Intercept[]
  readonly #forEachRoute: (visit: (route: Route) => void) => void
  /** When something is due here. */
  deadline = 0

  /** @param forEachRoute visits all routes that intercept has to know */
  constructor(
    network: Network,
    intercepts: readonly InterceptAddress[],
    connectionsEach: number,
    counters: Counters,
    log: Log,
    forEachRoute: (visit: (route: Route) => void) => void
  ) {
    this.#network = network
    this.#counters = counters
    this.#log = log
    this.#forEachRoute = forEachRoute
    this.#intercepts = intercepts.map((where) => ({
      where,
      connections: Array.from({ length: connectionsEach }, () => new Connection()),
      isAway: false
    }))
  }

  /** Tells every intercept that the answers to this client are ours. */
  announce(route: Route): void {
    for (const intercept of this.#intercepts) announceOn(intercept.connections, route)
  }

  /** Takes what has come. */
  receive(sink: RecordSink, now: number): void {
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) {
        if (connection.stream !== undefined) this.#receiveFrom(intercept, connection, connection.stream, sink, now)
      }
    }
  }

  /** Connects where it is time to. */
  onTimer(now: number): void {
    if (now < this.deadline) return
    this.deadline = Number.POSITIVE_INFINITY
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) {
        if (connection.isReady) continue
        if (now >= connection.nextAt) {
          if (connection.stream !== undefined) this.#lose(intercept, connection, 'no answer to connect', now)
          else {
            connection.stream = this.#network.connect(intercept.where.address, intercept.where.port)
            connection.nextAt = now + CONNECT_PATIENCE_MS
          }
        }
        this.deadline = Math.min(this.deadline, connection.nextAt)
      }
    }
  }

  /** Hands what was announced to the kernel. */
  flush(now: number): void {
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) {
        const { stream, backlog } = connection
        if (stream === undefined || backlog.length === 0) continue
        if (!backlog.flush(stream)) this.#lose(intercept, connection, stream.failure, now)
      }
    }
  }

  close(): void {
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) connection.stream?.close()
    }
  }

  #receiveFrom(intercept: Intercept, connection: Connection, stream: Stream, sink: RecordSink, now: number): void {
    for (;;) {
      const octets = stream.read()
      if (octets < 0) {
        this.#lose(intercept, connection, stream.failure || 'it closed the connection', now)
        return
      }
      if (!connection.isReady && stream.open) this.#open(intercept, connection, now)
      if (octets === 0) return
      if (!this.#takeMessages(stream, sink)) {
        this.#lose(intercept, connection, 'it does not speak the protocol of intercept, version 1', now)
        return
      }
      // Only now is it plain that this is intercept: what takes a connection and ends it is not asked ever faster.
      connection.retryMs = RETRY_FIRST_MS
    }
  }

  /** @returns false on what is not the protocol */
  #takeMessages(stream: Stream, sink: RecordSink): boolean {
    let at = 0
    while (stream.inputLength - at >= 2) {
      const count = u16(stream.input, at)
      if (count === 0 || count > RECORDS_MAX) return false
      const end = at + 2 + count * RECORD_LENGTH
      if (end > stream.inputLength) break
      for (let record = at + 2; record < end; record += RECORD_LENGTH) sink(stream.input, record)
      this.#counters.add(Counter.answers, count)
      at = end
    }
    if (at > 0) consume(stream, at)
    return true
  }

  #open(intercept: Intercept, connection: Connection, now: number): void {
    connection.isReady = true
    connection.openedAt = now
    this.#counters.add(Counter.channelsOpen, 1)
    const at = connection.backlog.reserve(MESSAGE_LENGTH)
    putHello(connection.backlog.bytes, at)
    this.#forEachRoute((route) => announceOn(intercept.connections, route))
    if (intercept.connections.every((one) => one.isReady)) {
      this.#log('info', 'connected to intercept', { intercept: connection.stream?.peer })
      intercept.isAway = false
    }
  }

  #lose(intercept: Intercept, connection: Connection, reason: string, now: number): void {
    const peer = connection.stream?.peer
    connection.stream?.close()
    connection.stream = undefined
    connection.backlog.clear()
    this.#counters.add(Counter.channelFailures, 1)
    const wasReady = connection.isReady
    connection.isReady = false
    if (wasReady && now - connection.openedAt >= RETRY_MAX_MS) connection.retryMs = RETRY_FIRST_MS
    connection.nextAt = now + connection.retryMs
    connection.retryMs = Math.min(connection.retryMs * 2, RETRY_MAX_MS)
    this.deadline = Math.min(this.deadline, connection.nextAt)
    if (wasReady) {
      this.#counters.add(Counter.channelsOpen, -1)
      this.#forEachRoute((route) => announceOn(intercept.connections, route))
    }
    if (intercept.isAway) return
    intercept.isAway = true
    this.#log('warn', 'intercept is away; copying goes on and tcpcopy keeps trying to connect', {
      intercept: peer,
      reason,
      hint: 'is intercept running on that host, on that port, and does a firewall let us through?'
    })
  }
}

/** On one of an intercept's connections: always the same for a route as long as all are open. */
function announceOn(connections: readonly Connection[], route: Route): void {
  for (let step = 0; step < connections.length; step++) {
    const connection = connections[(route.id + step) % connections.length]
    if (connection?.isReady !== true) continue
    const at = connection.backlog.reserve(MESSAGE_LENGTH)
    if (at < 0) continue
    const { clientAddress, clientPort, targetAddress, targetPort } = route
    const { bytes } = connection.backlog
    putMessage(bytes, at, clientAddress, clientPort, MessageType.AddRoute, targetAddress, targetPort)
    return
  }
}
