/** What the programs have seen of a copy that does not work, as plain data. `causes.ts` draws conclusions from it. */
import type { TargetPath } from '../ports.ts'

/** A copy whose connections the target does not accept: one `-x` of tcpcopy. */
export interface NoAnswers {
  /** As in `*:80` and `10.0.0.2:8080`. */
  readonly source: string
  readonly target: string
  /** Connections without an answer after a second, since the target last accepted one. */
  readonly connections: number
  /** Of these, the target refused with a reset. A refused SYN is sent again, but counts once. */
  readonly refused: number
  /** Of these, with a client address of 127.0.0.0/8 or ::1. */
  readonly loopback: number
  /** Of these, with a client address that this host has itself. */
  readonly ownAddress: number
  /** Address of one of the clients, as the target sees it. */
  readonly client?: string | undefined
  /** Requests that the target answered meanwhile on connections that were open before. */
  readonly answeredOthers: number
  /** Packets that the kernel refused to send in the same time, by errno. */
  readonly sendRefused: Readonly<Record<string, number>>
  /** How packets reach the target. */
  readonly path: TargetPath
  /** Captured packets that arrived truncated in the same time. */
  readonly truncated: number
  /** Length of the longest of these packets, in bytes; 0: unknown. */
  readonly truncatedLength: number
  readonly channelsOpen: number
  /** intercept runs on the target itself. */
  readonly isOnTarget: boolean
  /** What intercept has seen; undefined: it did not say, as in version 1 of the channel. */
  readonly intercept?: InterceptView | undefined
}

/** What intercept has seen of one target in the last seconds. */
export interface InterceptView {
  /** Routes that it has for any target. */
  readonly routes: number
  /** Packets that match its filter arrive. */
  readonly capturesAny: boolean
  /** SYN-ACKs of the target that it returned. */
  readonly hasRouted: boolean
  /** SYN-ACKs of the target without a route. */
  readonly hasUnrouted: boolean
  readonly hasResets: boolean
  /** TTL of the last SYN-ACK and of the last reset; 0: there was none. */
  readonly synAckTtl: number
  readonly resetTtl: number
  /** Its host forwards packets, and no rule or queue keeps the answers. */
  readonly forwards: boolean
}

/** Connections that the target accepted, and how many of them it did not know soon after. */
export interface LostConnections {
  readonly synAcks: number
  readonly disowned: number
  readonly intercept?: InterceptView | undefined
}
