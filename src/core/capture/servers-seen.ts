/** Counts the servers in a capture, for an operator whose `-x` names none of them. */
import { ACK, type Segment, SYN } from '../../wire/segment.ts'

/** Limit of servers. Further ones are not counted. */
const SERVERS_MAX = 4096
const PORTS = 65_536

export interface ServerSeen {
  readonly address: number
  readonly port: number
  /** Segments to and from the server. */
  packets: number
  /** SYNs to the server. */
  connections: number
}

export class ServersSeen {
  readonly #servers = new Map<number, ServerSeen>()

  /** Takes a segment and guesses which end is the server. */
  add(segment: Segment): void {
    const { fromAddress, fromPort, toAddress, toPort, flags } = segment
    const isSyn = (flags & SYN) !== 0
    const isOpening = isSyn && (flags & ACK) === 0
    const to = this.#servers.get(keyOf(toAddress, toPort))
    const from = this.#servers.get(keyOf(fromAddress, fromPort))
    // A handshake decides, otherwise a known server, otherwise the lower port, which servers have more often.
    const isToServer = isSyn ? isOpening : to !== undefined || (from === undefined && toPort <= fromPort)
    const address = isToServer ? toAddress : fromAddress
    const port = isToServer ? toPort : fromPort
    const server = (isToServer ? to : from) ?? this.#insert(address, port)
    if (server === undefined) return
    server.packets += 1
    if (isOpening) server.connections += 1
  }

  /** Up to `most` servers, the busiest first. */
  list(most: number): ServerSeen[] {
    return [...this.#servers.values()].sort((a, b) => b.packets - a.packets).slice(0, most)
  }

  eachAddress(take: (address: number) => void): void {
    for (const { address } of this.#servers.values()) take(address)
  }

  get count(): number {
    return this.#servers.size
  }

  #insert(address: number, port: number): ServerSeen | undefined {
    if (this.#servers.size === SERVERS_MAX) return undefined
    const server = { address, port, packets: 0, connections: 0 }
    this.#servers.set(keyOf(address, port), server)
    return server
  }
}

function keyOf(address: number, port: number): number {
  return (address >>> 0) * PORTS + port
}
