/**
 * Runs both ends of the channel on streams in memory, on a clock that tests move. `move` carries what either end has
 * written, so that a test can keep, change or replay it.
 */
import assert from 'node:assert/strict'
import { Router, type Routing } from '../../core/assistant/router.ts'
import { SingleGroup } from '../../core/assistant/single-group.ts'
import { TargetFindings } from '../../core/assistant/target-findings.ts'
import { Counters } from '../../core/books/counters.ts'
import { InterceptCounters } from '../../core/books/intercept-counters.ts'
import type { Route } from '../../core/target/raw/route-events.ts'
import { ChannelClient } from '../../daemon/channel/channel-client.ts'
import { ChannelServer } from '../../daemon/channel/channel-server.ts'
import type { ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { PeerWorkers } from '../../daemon/channel/peer-workers.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import type { Stream } from '../../ports.ts'
import type { Flow } from '../../wire/flow.ts'
import type { Segment } from '../../wire/segment.ts'
import { MemoryExchange } from '../network/memory-exchange.ts'
import { countingCryptography } from '../network/memory-ports.ts'

/** The round trip that each stream reports. */
export const ROUND_TRIP_MS = 4
/** Shared by all, so that no nonce occurs twice. */
const cryptography = countingCryptography()

/** One end of a connection. What it writes waits in `written` for `move`. */
class End implements Stream {
  readonly peer = 'peer'
  readonly failure = ''
  readonly open = true
  readonly input = new Uint8Array(16 * 1024)
  inputLength = 0
  /** Most bytes that wait in `written`. */
  roomMax = Number.POSITIVE_INFINITY
  written: number[] = []
  arrived: number[] = []
  isClosed = false
  other: End | undefined

  read(): number {
    const taken = this.arrived.splice(0, this.input.length - this.inputLength)
    this.input.set(taken, this.inputLength)
    this.inputLength += taken.length
    return taken.length === 0 && this.other?.isClosed === true ? -1 : taken.length
  }
  write(bytes: Uint8Array, at: number, length: number): number {
    const count = Math.min(length, this.roomMax - this.written.length)
    for (let index = 0; index < count; index++) this.written.push(bytes[at + index] ?? 0)
    return count
  }
  leastRoundTripMs(): number {
    return ROUND_TRIP_MS
  }
  awaitWritable(): void {}
  close(): void {
    this.isClosed = true
  }
}

/** One intercept with any number of tcpcopies, on a clock that the test moves. */
export class ChannelWorld {
  now = 1000
  readonly notices = new Notices()
  readonly #logs: string[] = []
  readonly interceptCounters = new InterceptCounters()
  /** Of all workers. */
  readonly findings = new TargetFindings()
  /** That of the first worker. */
  readonly server: ChannelServer
  /** By worker. */
  readonly #servers: readonly (readonly [ChannelServer, Routing])[]
  readonly waiting: End[] = []

  constructor(options: ChannelOptions, workers = 1) {
    const { interceptCounters: counters, notices, findings } = this
    const ports = { listener: { accept: () => this.waiting.shift(), close: () => {} }, cryptography, notices, findings }
    const messages = Array.from({ length: workers }, () => [])
    this.#servers = messages.map((_, worker) => {
      const peerWorkers =
        workers === 1 ? undefined : new PeerWorkers(new MemoryExchange(worker, messages, () => {}), () => {})
      const server = new ChannelServer(ports, { recordsMax: 16, channel: options }, counters, peerWorkers)
      const routing = options.isSingle
        ? new SingleGroup(false)
        : new Router(16, counters, (peer, header, at) => server.deliver1(peer, header.subarray(at)))
      return [server, routing]
    })
    const [[server] = []] = this.#servers
    assert(server !== undefined)
    this.server = server
  }

  /** What both ends said so far: message, version and reason. */
  get logs(): string[] {
    this.notices.drain((_, message, fields) => {
      this.#logs.push([message, fields?.version, fields?.reason].filter((part) => part !== undefined).join(': '))
    }, this.now)
    return this.#logs
  }

  tcpcopy(options: ChannelOptions, name = 0, connections = 1): ChannelPeer {
    return new ChannelPeer(this, options, name, connections)
  }

  turn(): void {
    for (const [server, routing] of this.#servers) {
      server.receive(routing, this.now)
      server.flush()
    }
  }
}

export class ChannelPeer {
  readonly counters = new Counters()
  readonly ends: End[] = []
  readonly answers: number[] = []
  /** When each answer arrived at the assistant. */
  readonly arrivals: number[] = []
  readonly taken: number[] = []
  /** By id. */
  readonly routes: (Route | undefined)[] = []
  readonly client: ChannelClient
  readonly #world: ChannelWorld

  constructor(world: ChannelWorld, options: ChannelOptions, name: number, connections: number) {
    this.#world = world
    const connect = (): Stream => {
      const near = new End()
      const far = new End()
      near.other = far
      far.other = near
      this.ends.push(near)
      world.waiting.push(far)
      return near
    }
    const context = { options, cryptography, instance: new Uint8Array(16).fill(name + 1), counters: this.counters }
    const routeFrom = (id: number): Route | undefined => {
      for (let index = id; index < this.routes.length; index++) if (this.routes[index]) return this.routes[index]
      return undefined
    }
    const where = { intercepts: [{ address: 1, port: 36524 }], connectionsEach: connections }
    this.client = new ChannelClient({ connect }, where, context, { routeFrom }, world.notices)
  }

  announce(id: number, clientPort = 1000 + id, clientAddress = 0x0a000001, targetAddress = 0x0a000003): void {
    const route = { id, clientAddress, clientPort, targetAddress, targetPort: 80 }
    this.routes[id] = route
    this.client.announce(route)
  }

  turn(): void {
    const { client } = this
    const events = {
      answered: ({ seq: sequence, arrivedAt }: Segment) => {
        this.answers.push(sequence)
        this.arrivals.push(arrivedAt)
      },
      taken: ({ clientPort }: Flow) => this.taken.push(clientPort)
    }
    client.receive(events, this.#world.now)
    client.onTimer(this.#world.now)
    client.flush(this.#world.now)
  }

  /** Runs turns of both ends, and moves everything that they have written in between. */
  exchange(turns = 6): void {
    for (let turn = 0; turn < turns; turn++) {
      this.turn()
      this.move(true)
      this.#world.turn()
      this.move(false)
    }
  }

  /** Carries what one end of each connection has written to the other. @param change changes the bytes on the way */
  move(isToIntercept: boolean, change = (bytes: number[]): number[] => bytes): void {
    for (const near of this.ends) {
      const from = isToIntercept ? near : near.other
      from?.other?.arrived.push(...change(from.written.splice(0)))
    }
  }
}
