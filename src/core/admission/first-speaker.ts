/**
 * Learns who speaks first on the connections of each `-x`. Where it is the server, a greeting and a log-in come before
 * the requests, and what the client sends after an answer may be data: mail text, for example. So such connections are
 * copied from their beginning or not at all.
 */
import { float64At } from '../../wire/bytes.ts'

/** Ports whose servers speak first (IANA): FTP, SSH, SMTP, POP3, NNTP, IMAP, submission, MySQL, VNC. */
const GREETING_PORTS: readonly number[] = [21, 22, 25, 110, 119, 143, 587, 2525, 3306, 5900]

/**
 * A client that has read something before it speaks shows that the server speaks first. One that speaks first shows
 * less: it may not have waited. So this many of these are outweighed by one that has.
 */
const CLIENTS_EACH = 8

export class FirstSpeaker {
  readonly #clients: Float64Array
  readonly #servers: Float64Array

  /** @param maps number of `-x` */
  constructor(maps: number) {
    this.#clients = new Float64Array(maps)
    this.#servers = new Float64Array(maps)
  }

  /** Takes the first payload of a client. @param isServer the source had spoken before it */
  saw(map: number, isServer: boolean): void {
    const counts = isServer ? this.#servers : this.#clients
    counts[map] = float64At(counts, map) + 1
  }

  /** @param port of the source, which tells as long as no connection was seen from its beginning */
  isServer(map: number, port: number): boolean {
    const [clients, servers] = [float64At(this.#clients, map), float64At(this.#servers, map)]
    return clients === 0 && servers === 0 ? GREETING_PORTS.includes(port) : servers * CLIENTS_EACH > clients
  }
}
