/** The counters of intercept. Like `Counters`, another thread may read them. docs/counters.md explains each counter. */
import { float64At } from '../../wire/bytes.ts'

export const InterceptCounter = {
  /** Packets that matched the filter, or arrived in the queue. */
  capturedPackets: 0,
  /** Packets that the kernel dropped because the ring or the queue was full. */
  captureDropped: 1,
  /** Packets that matched the filter without a complete TCP header over IPv4 or IPv6. */
  flawedPackets: 2,
  /** Headers queued for a tcpcopy. */
  forwardedHeaders: 3,
  /** Headers without a route, because no tcpcopy has announced their client. */
  unroutedHeaders: 4,
  /** Of these, SYN-ACKs and RSTs that were kept for their route. */
  delayedHeaders: 5,
  /** Of these, lost because their route came too late or newer ones displaced them. */
  delayedLost: 6,
  /** Headers dropped because their tcpcopy does not read, or because another worker does not keep up. */
  backlogDropped: 7,
  /** Routes known now. */
  routes: 8,
  /** Routes forgotten because the table was full. */
  routesEvicted: 9,
  /** Connections of tcpcopy that are open now. */
  peersOpen: 10,
  /** Connections accepted since the start. */
  peersAccepted: 11,
  /** Connections closed because they did not speak the channel's protocol, said nothing, or were too many. */
  peersRejected: 12,
  /** Answers to clients of `-x`, which the queue passed on to them (`--nfqueue`). */
  passedPackets: 13,
  /** Of `peersRejected`, those that did not prove the secret of `--secret-file`, including those of version 1. */
  peersUnproven: 14,
  /** Records of version 2 that were queued for tcpcopy. */
  records: 15,
  /** Bytes queued for tcpcopy. */
  channelBytes: 16,
  /** Routes refused because another tcpcopy has them. */
  routesTaken: 17,
  /** Routes refused because the book of IPv6 addresses is full. */
  routesRefused: 18,
  /** Routes added since the start. */
  routesAnnounced: 19
} as const
export type InterceptCounter = (typeof InterceptCounter)[keyof typeof InterceptCounter]

export class InterceptCounters {
  static readonly byteLength = (Math.max(...Object.values(InterceptCounter)) + 1) * 8
  readonly #slots: Float64Array

  /** @param buffer of `InterceptCounters.byteLength`; may be shared between threads */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(InterceptCounters.byteLength)) {
    this.#slots = new Float64Array(buffer)
  }

  /** The sum of several workers' counters. */
  static sum(parts: readonly InterceptCounters[]): InterceptCounters {
    const total = new InterceptCounters()
    for (const part of parts)
      for (const counter of Object.values(InterceptCounter)) total.add(counter, part.get(counter))
    return total
  }

  get(counter: InterceptCounter): number {
    return float64At(this.#slots, counter)
  }
  set(counter: InterceptCounter, value: number): void {
    this.#slots[counter] = value
  }
  add(counter: InterceptCounter, amount: number): void {
    this.#slots[counter] = float64At(this.#slots, counter) + amount
  }

  /** Every counter by its name. */
  report(): Record<string, number> {
    const fields: Record<string, number> = {}
    for (const [name, counter] of Object.entries(InterceptCounter)) fields[name] = this.get(counter)
    return fields
  }
}
