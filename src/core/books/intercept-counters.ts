/** What intercept counts; like `Counters` readable by another thread. docs/counters.md explains each by its name. */
import { float64At } from '../../wire/bytes.ts'

export const InterceptCounter = {
  /** Packets that the capture gave us. */
  capturedPackets: 0,
  /** Packets the kernel dropped because the ring, or the queue, was full. */
  captureDropped: 1,
  /** Packets that matched the filter and are no whole TCP header over IPv4. */
  flawedPackets: 2,
  /** Headers put on the way to a tcpcopy. */
  forwardedHeaders: 3,
  /** Headers without a route: of clients that no tcpcopy announced. */
  unroutedHeaders: 4,
  /** SYN-ACKs and RSTs that waited for their route. */
  delayedHeaders: 5,
  /** Of these, those whose route did not come in time, or that newer ones pushed out. */
  delayedLost: 6,
  /** Headers dropped because their tcpcopy does not read. */
  backlogDropped: 7,
  /** Routes known now. */
  routes: 8,
  /** Routes forgotten because the table was full. */
  routesEvicted: 9,
  /** Connections of tcpcopy that are open now. */
  peersOpen: 10,
  /** Connections accepted since the start. */
  peersAccepted: 11,
  /** Connections closed because they did not speak the channel's protocol. */
  peersRejected: 12,
  /** Answers to the clients of `-x`, which went on their way. */
  passedPackets: 13,
  /** Of `peersRejected`, those that did not prove the secret of `--secret-file`, version 1 among them. */
  peersUnproven: 14,
  /** Records of version 2 in which headers were put on their way. */
  records: 15,
  /** Octets put on their way to tcpcopy. */
  channelBytes: 16,
  /** Routes refused because another tcpcopy has them. */
  routesTaken: 17,
  /** Routes refused because there is no room for one more IPv6 address. */
  routesRefused: 18
} as const
export type InterceptCounter = (typeof InterceptCounter)[keyof typeof InterceptCounter]

export class InterceptCounters {
  static readonly byteLength = (Math.max(...Object.values(InterceptCounter)) + 1) * 8
  readonly #slots: Float64Array

  /** @param buffer shared between threads, of `InterceptCounters.byteLength` */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(InterceptCounters.byteLength)) {
    this.#slots = new Float64Array(buffer)
  }

  /** What several workers have counted, together. */
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
