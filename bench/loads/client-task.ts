/** The task of client.ts, JSON on its command line. */
export type Protocol = 'redis' | 'memcached' | 'http'

export interface ClientTask {
  readonly protocol: Protocol
  readonly host: string
  readonly port: number
  readonly connections: number
  /** Client addresses, used in turn; default: the host's own. */
  readonly addresses?: readonly string[]
  /** Client port, for a task with one connection; default: any. */
  readonly localPort?: number
  /** A connection for each request, which the server closes. */
  readonly isShort?: boolean
  /** Minimum time between two requests of a connection; default: the next follows the answer at once. */
  readonly intervalMs?: number
  /** How long it sends requests; 0: one on each connection, which stays open until the program is stopped. */
  readonly seconds: number
}
