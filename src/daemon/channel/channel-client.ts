/**
 * tcpcopy's end of the channel keeps several connections to each intercept, and reconnects with back-off. It announces
 * routes to every intercept. After a break it announces all live routes again, as fast as intercept reads them.
 */
import { Counter } from '../../core/books/counters.ts'
import type { Route } from '../../core/target/raw/route-events.ts'
import type { InterceptView } from '../../doctor/evidence.ts'
import type { Network } from '../../ports.ts'
import { Condition } from '../notices/condition.ts'
import type { Notices } from '../notices/notices.ts'
import {
  ALL_ANNOUNCED,
  type ChannelContext,
  type ChannelEvents,
  ClientConnection,
  Phase,
  type Place,
  SPEAKS_OTHER
} from './client-connection.ts'
import { InterceptViews, joinViews } from './intercept-views.ts'

/** What it logs about an intercept. */
export const CONNECTED = 'connected to intercept'
export const CONNECTED_VERSION_1 = 'connected to intercept (version 1, no reply yet)'
export const NOT_CONNECTED = 'not connected to intercept; copying continues and tcpcopy keeps trying to connect'

const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 5000
const CONNECT_PATIENCE_MS = 5000
/** Time for intercept to prove that it knows the secret. */
const PROOF_PATIENCE_MS = 5000
/** An intercept that has not replied by then is reported as version 1, which sends nothing before its first record. */
const REPLY_PATIENCE_MS = 1000
/** Reads from one connection in one turn, so that intercept never delays the capture. The rest waits in the socket. */
const READS_MAX = 4
/** Bytes of repeated routes that may wait before the next new route. */
const ANNOUNCED_AHEAD = 64 * 1024

export interface InterceptAddress {
  /** An int32; for IPv6, the number in the thread's address book. */
  readonly address: number
  readonly port: number
}

/** Which intercepts there are. */
export interface InterceptSettings {
  /** `-s` */
  readonly intercepts: readonly InterceptAddress[]
  /** `-C`: connections to each. */
  readonly connectionsEach: number
}

/** The live routes. */
export interface Routes {
  /** @returns the route with the lowest id that is at least `id`, if any */
  routeFrom(id: number): Route | undefined
}

interface Intercept {
  readonly where: InterceptAddress
  readonly connections: ClientConnection[]
  readonly views: InterceptViews
  readonly away: Condition
  /** Its presence has been reported. */
  isReported: boolean
}

export class ChannelClient {
  readonly #network: Network
  readonly #context: ChannelContext
  readonly #notices: Notices
  readonly #intercepts: Intercept[]
  readonly #routes: Routes
  /** When `onTimer` has something to do. */
  deadline = 0

  constructor(
    network: Network,
    { intercepts, connectionsEach }: InterceptSettings,
    context: ChannelContext,
    routes: Routes,
    notices: Notices
  ) {
    this.#network = network
    this.#context = context
    this.#routes = routes
    this.#notices = notices
    this.#intercepts = intercepts.map((where) => {
      const views = new InterceptViews()
      const connect = (): ClientConnection => new ClientConnection(context, views, RETRY_FIRST_MS)
      const connections = Array.from({ length: connectionsEach }, connect)
      const away = new Condition(notices, { message: NOT_CONNECTED })
      return { where, connections, views, away, isReported: false }
    })
  }

  /** Requests the answers to this client from every intercept. Single mode needs no routes. */
  announce(route: Route): void {
    if (this.#context.options.isSingle) return
    for (const { connections } of this.#intercepts) {
      const connection = connectionOf(connections, route)
      if (connection === undefined || connection.announce(route)) continue
      this.#context.counters.add(Counter.routesDelayed, 1)
      connection.announceFrom = Math.min(connection.announceFrom, route.id)
    }
  }

  /** Tells every intercept that answers to this client are no longer needed. */
  withdraw(route: Route): void {
    for (const { connections } of this.#intercepts) connectionOf(connections, route)?.withdraw(route)
  }

  /** Asks every intercept what it has seen of a target. `viewOf` has the answer soon after. */
  ask(target: Place): void {
    for (const { connections } of this.#intercepts) connections.some((connection) => connection.ask(target))
  }

  /** What the intercepts have seen of a target, together; undefined: none has answered lately. */
  viewOf(target: Place, now: number): InterceptView | undefined {
    return joinViews(this.#intercepts.map(({ views }) => views.of(target, now)))
  }

  /** Takes what the intercepts have sent. */
  receive(events: ChannelEvents, now: number): void {
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) this.#receiveFrom(intercept, connection, events, now)
    }
  }

  /** Connects when a retry is due, and handles intercepts that do not reply. */
  onTimer(now: number): void {
    if (now < this.deadline) return
    this.deadline = Number.POSITIVE_INFINITY
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) {
        if (connection.isOpen) this.#onSilence(intercept, connection, now)
        else if (now >= connection.nextAt) {
          if (connection.stream !== undefined) this.#lose(intercept, connection, 'connecting timed out', now)
          else {
            connection.stream = this.#network.connect(intercept.where.address, intercept.where.port)
            connection.nextAt = now + CONNECT_PATIENCE_MS
          }
        }
        if (!connection.isOpen) this.#awake(connection.nextAt)
      }
    }
  }

  /** Writes announced routes to the kernel. */
  flush(now: number): void {
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) {
        const { stream, backlog } = connection
        if (stream === undefined) continue
        if (connection.announceFrom !== ALL_ANNOUNCED) this.#announceMore(intercept, connection, now)
        if (backlog.length > 0 && !backlog.flush(stream)) this.#lose(intercept, connection, stream.failure, now)
      }
    }
  }

  close(): void {
    for (const intercept of this.#intercepts) {
      for (const connection of intercept.connections) connection.close()
    }
  }

  /** Announces routes again, a few at a time, so that a new route does not wait behind a million old ones. */
  #announceMore(intercept: Intercept, connection: ClientConnection, now: number): void {
    while (connection.backlog.length < ANNOUNCED_AHEAD) {
      const route = this.#routes.routeFrom(connection.announceFrom)
      if (route === undefined) {
        connection.announceFrom = ALL_ANNOUNCED
        return
      }
      if (connectionOf(intercept.connections, route) === connection) connection.announce(route)
      connection.announceFrom = route.id + 1
    }
    this.#awake(now)
  }

  #receiveFrom(intercept: Intercept, connection: ClientConnection, events: ChannelEvents, now: number): void {
    for (let reads = 0; reads < READS_MAX; reads++) {
      const { stream, phase } = connection
      if (stream === undefined) return
      const room = stream.input.length - stream.inputLength
      const count = stream.read()
      if (count < 0) {
        this.#lose(intercept, connection, stream.failure || 'it closed the connection', now)
        return
      }
      if (!connection.isOpen && stream.open) this.#open(intercept, connection, now)
      if (count === 0) return
      const fault = connection.take(events, now)
      if (fault !== '') {
        this.#lose(intercept, connection, fault, now)
        return
      }
      if (connection.phase !== phase) this.#onPhase(intercept, connection, now)
      // The back-off is reset only for a peer that proved to be intercept, not for one that accepts and closes.
      if (connection.isReady) connection.retryMs = RETRY_FIRST_MS
      if (count < room) return
    }
  }

  #open(intercept: Intercept, connection: ClientConnection, now: number): void {
    connection.open(now)
    this.#context.counters.add(Counter.channelsOpen, 1)
    const { options } = this.#context
    if (connection.isReady) this.#announceAgain(intercept)
    this.#awake(now + (options.secret === undefined ? REPLY_PATIENCE_MS : PROOF_PATIENCE_MS))
    if (options.version === 1) this.#report(intercept, now)
  }

  /** The version of a connection is settled. */
  #onPhase(intercept: Intercept, connection: ClientConnection, now: number): void {
    if (!connection.isReady) return
    if (this.#context.options.secret !== undefined) this.#announceAgain(intercept)
    if (connection.isHoldingBack) connection.announceFrom = 0
    connection.isHoldingBack = false
    this.#report(intercept, now)
  }

  /** Handles a connection on which nothing has arrived yet. */
  #onSilence(intercept: Intercept, connection: ClientConnection, now: number): void {
    if (connection.phase !== Phase.Silent && connection.phase !== Phase.Proving) return
    const isSecret = this.#context.options.secret !== undefined
    const at = connection.openedAt + (isSecret ? PROOF_PATIENCE_MS : REPLY_PATIENCE_MS)
    if (now < at) this.#awake(at)
    else if (isSecret) this.#lose(intercept, connection, connection.silenceReason, now)
    else {
      connection.isSilentForLong = true
      this.#report(intercept, now, true)
    }
  }

  /** Reports an intercept once all connections to it are ready. @param isFinal do not wait for a reply */
  #report(intercept: Intercept, now: number, isFinal = this.#context.options.version === 1): void {
    const { connections } = intercept
    const isSettled = (one: ClientConnection): boolean => one.isReady && (isFinal || one.phase !== Phase.Silent)
    if (intercept.isReported || !connections.every(isSettled)) return
    intercept.isReported = true
    const fields = { intercept: connections[0]?.stream?.peer }
    intercept.away.update(false, now, () => fields)
    if (connections.some((one) => one.phase === Phase.Silent)) {
      this.#notices.add('info', CONNECTED_VERSION_1, fields)
      this.#warnOfVersion1()
      return
    }
    const version = connections.every((one) => one.phase === Phase.Version2) ? 2 : 1
    this.#notices.add('info', CONNECTED, { ...fields, version })
    if (version === 1) this.#warnOfVersion1()
  }

  #warnOfVersion1(): void {
    if (this.#context.hasIpv6 !== true) return
    const hint = 'On the assistant, run an intercept of this version without --channel-version 1.'
    this.#notices.add(
      'warn',
      'version 1 of the channel does not support IPv6: connections to IPv6 targets get no answers',
      {
        hint
      }
    )
  }

  #lose(intercept: Intercept, connection: ClientConnection, reason: string, now: number): void {
    const peer = connection.stream?.peer
    const { isOpen, isReady } = connection
    const { counters } = this.#context
    connection.close()
    counters.add(Counter.channelFailures, 1)
    if (isReady && now - connection.openedAt >= RETRY_MAX_MS) connection.retryMs = RETRY_FIRST_MS
    connection.nextAt = now + connection.retryMs
    connection.retryMs = Math.min(connection.retryMs * 2, RETRY_MAX_MS)
    this.#awake(connection.nextAt)
    if (isOpen) counters.add(Counter.channelsOpen, -1)
    if (isReady) this.#announceAgain(intercept)
    intercept.isReported = false
    intercept.away.update(true, now, () => ({ intercept: peer, reason, hint: hintOf(reason) }))
  }

  /** Announces all live routes again, since some now belong to another connection. */
  #announceAgain({ connections }: Intercept): void {
    if (this.#context.options.isSingle) return
    for (const connection of connections) if (connection.isReady) connection.announceFrom = 0
  }

  #awake(at: number): void {
    this.deadline = Math.min(this.deadline, at)
  }
}

/** The connection of an intercept for a route: always the same while all are open. */
function connectionOf(connections: readonly ClientConnection[], route: Route): ClientConnection | undefined {
  for (let step = 0; step < connections.length; step++) {
    const connection = connections[(route.id + step) % connections.length]
    if (connection?.isReady === true) return connection
  }
  return undefined
}

/** What the operator should check. */
function hintOf(reason: string): string {
  if (reason.includes('secret')) return 'Give both programs the same --secret-file, or none.'
  if (reason === SPEAKS_OTHER)
    return 'Check that it is intercept, with the same --disable-combined or --with-resp-payload as tcpcopy.'
  return 'Check that intercept runs on that host and port, and that no firewall blocks it.'
}
