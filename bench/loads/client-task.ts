/** What bench/client.ts is told to do, as JSON on its command line. */
export type Protocol = 'redis' | 'memcached' | 'http'

export interface ClientTask {
  readonly protocol: Protocol
  readonly host: string
  readonly port: number
  readonly connections: number
  /** Connections take these addresses in turn; default: the host's own. */
  readonly addresses?: readonly string[]
  /** Of its only connection; default: any. */
  readonly localPort?: number
  /** A connection for each request, which the server ends. */
  readonly isShort?: boolean
  /** From one request of a connection to its next, at least; default: none, as soon as the answer is whole. */
  readonly intervalMs?: number
  /** How long it asks; 0: one request on each connection, which then stays until the program is ended. */
  readonly seconds: number
}
