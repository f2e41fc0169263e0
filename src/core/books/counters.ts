/**
 * The counters of tcpcopy. They are slots of one Float64Array, which another thread may read while they change. A count
 * is exact up to 2⁵³, and an increment is one load and one store. docs/counters.md explains each counter.
 *
 * The books close: capturedPayloadBytes = deliveredBytes + duplicateBytes + pendingBytes + the bytes of all drops. A
 * byte counts once for each copy (`-n`) that it was given to. So do the books of requests.
 */
import { float64At } from '../../wire/bytes.ts'
import { DROPS_END, Drop, dropNames } from './drop.ts'
import { Histogram } from './histogram.ts'
import { RequestBooks } from './request-books.ts'

export const Counter = {
  /** Packets that the capture delivered. */
  capturedPackets: 0,
  /** Bytes of payload in them. */
  capturedPayloadBytes: 1,
  /** Bytes of client payload that the target acknowledged. */
  deliveredBytes: 2,
  /** Captured bytes that the client had sent before. */
  duplicateBytes: 3,
  /** Bytes held for sessions, not yet sent or not yet acknowledged. */
  pendingBytes: 4,
  /** Packets that the kernel dropped because the ring was full, or delivered truncated. */
  captureDropped: 5,
  /** Sessions started, by a captured SYN or in mid-stream. */
  sessionsStarted: 6,
  /** Of these, started at payload because no SYN was captured. */
  sessionsJoined: 7,
  /** Sessions that ended, for any reason. */
  sessionsEnded: 8,
  /** Sessions that ended because both sides had closed. */
  sessionsClosed: 9,
  /** Sessions ended by a reset of the target. */
  sessionsReset: 10,
  /** Sessions ended by a time limit. */
  sessionsTimedOut: 11,
  /** New connections that had to wait for the previous copy with the same client address and port. */
  sessionsWaited: 12,
  /** Packets that the kernel accepted for sending. */
  sentPackets: 13,
  /** Packets that the kernel refused to send. */
  sendRefused: 14,
  /** Segments with payload that were sent again. */
  retransmissions: 15,
  /** SYNs sent, retransmissions included. */
  synsSent: 16,
  /** SYN-ACKs that opened a connection. */
  synAcks: 17,
  /** Records received from intercept. In version 2 of the channel a record can stand for several packets. */
  answers: 18,
  /** Epochs (requests) sent for the first time. */
  epochs: 19,
  /** Epochs sent after `--epoch-timeout`, and ends of connections sent after theirs, without the expected answer. */
  epochTimeouts: 20,
  /** Epochs sent because the target fell silent before it had answered as much as the source. */
  epochsQuiet: 21,
  /** Connections to intercept that are open now. */
  channelsOpen: 22,
  /** Connections to intercept that broke or could not be made. */
  channelFailures: 23,
  /** Bytes of the send pool in use now. */
  poolUsedBytes: 24,
  /** Sessions that reconnected because the target, or bytes that were missed, had ended the previous connection. */
  sessionsContinued: 25,
  /** SYNs that the target answered with a reset. They are sent again. */
  refusals: 26,
  /** New flows that `-r`, `-g` or `-O` left out. */
  flowsLeftOut: 27,
  /** Of `sessionsStarted`, the second and further copies of a connection to one target (`-n`). */
  copiesStarted: 28,
  /** Copies that were not made although others of the same connection were. */
  copiesRefused: 29,
  /** Copies that gave up their port to a client that uses it. */
  copiesMoved: 30,
  /** How often a session halved its segment size because large segments timed out. */
  segmentsHalved: 31,
  /** Resets of the target that were not at the next byte and were answered by an acknowledgment. */
  resetsChallenged: 32,
  /** Of `sessionsReset`, those whose connection the target did not know shortly after its SYN-ACK. */
  sessionsDisowned: 33,
  /** Captured segments with URG. Their copies have URG too (RFC 9293 §3.8.5). */
  urgentSegments: 34,
  /** Sessions that gave up what they held because the pool ran short. */
  sessionsEvicted: 35,
  /** Bytes received from intercept. */
  channelBytes: 36,
  /** Routes that could not be announced before their SYN because too much waits for intercept; announced later. */
  routesDelayed: 37,
  /** Sessions that took another port because another tcpcopy has theirs at the target. */
  portsMoved: 38,
  /** Packets read from the replayed file. */
  filePackets: 39,
  /** Of these, not copied: answers, other traffic, or excluded by `-F`, `--from` or `--to`. */
  fileLeftOut: 40,
  /** Packets of targets that were answered although their session had ended. */
  lateAnswers: 41,
  /** Holes given up at once because their bytes were captured while the pool was full. */
  holesOfPool: 42,
  /** Acknowledgments of unacceptable answers that were not sent because the last one was too recent (RFC 5961 §7). */
  objectionsWithheld: 43,
  /** Requests that were sent again on a new connection because the previous one ended before they were acknowledged. */
  epochsSentAgain: 44,
  /** Packets captured on devices of `-i` that are not to be copied. */
  captureLeftOut: 45,
  /** Routes to IPv6 targets that were not announced because intercept speaks version 1 of the channel. */
  routesUntold: 46,
  /** Pauses of sessions before they reconnect, because two connections in a row were of no use. */
  reconnectPauses: 47,
  /** Connections left out because they use TLS. */
  tlsLeftOut: 48,
  /** Connections on which requests no longer wait, because both sides talk at once. */
  sessionsUngated: 49,
  /** Questions that the source's kernel was not asked because of their number. What was in doubt waited. */
  sourceBusy: 50,
  /** Connections whose end was not captured, and that the source's kernel no longer has. */
  endsMissed: 51,
  /** Connections not copied, or whose copy had ended, that were forgotten early because of their number. */
  flowsForgotten: 52
} as const
export type Counter = (typeof Counter)[keyof typeof Counter]

const COUNTERS_END = Math.max(...Object.values(Counter)) + 1
const DROPPED_PACKETS_AT = COUNTERS_END
const DROPPED_BYTES_AT = DROPPED_PACKETS_AT + DROPS_END
const LATENCY_AT = DROPPED_BYTES_AT + DROPS_END
const SLOTS_END = LATENCY_AT + Histogram.slotCount
/** How many `-x` there is room for unless a buffer is given. */
const MAPS_DEFAULT = 8

export class Counters {
  readonly slots: Float64Array
  /** Microseconds from an answer's arrival at the assistant to the request that waited for it; see `Latency`. */
  readonly latency: Histogram
  readonly requests: RequestBooks

  /** @param buffer of `Counters.byteLength`; may be shared between threads */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(Counters.byteLength(MAPS_DEFAULT))) {
    this.slots = new Float64Array(buffer)
    this.latency = new Histogram(this.slots.subarray(LATENCY_AT, SLOTS_END))
    this.requests = new RequestBooks(this.slots.subarray(SLOTS_END))
  }

  /** @param maps number of `-x` */
  static byteLength(maps: number): number {
    return SLOTS_END * 8 + maps * RequestBooks.byteLength
  }

  /** The sum of several workers' counters. */
  static sum(parts: readonly Counters[]): Counters {
    const total = new Counters(new ArrayBuffer(parts[0]?.slots.byteLength ?? Counters.byteLength(0)))
    for (const { slots } of parts) {
      for (let slot = 0; slot < slots.length; slot++)
        total.slots[slot] = float64At(total.slots, slot) + float64At(slots, slot)
    }
    return total
  }

  get(counter: Counter): number {
    return float64At(this.slots, counter)
  }
  set(counter: Counter, value: number): void {
    this.slots[counter] = value
  }
  add(counter: Counter, amount: number): void {
    this.slots[counter] = float64At(this.slots, counter) + amount
  }

  drop(reason: Drop, packets: number, bytes: number): void {
    this.slots[DROPPED_PACKETS_AT + reason] = float64At(this.slots, DROPPED_PACKETS_AT + reason) + packets
    this.slots[DROPPED_BYTES_AT + reason] = float64At(this.slots, DROPPED_BYTES_AT + reason) + bytes
  }
  droppedPackets(reason: Drop): number {
    return float64At(this.slots, DROPPED_PACKETS_AT + reason)
  }
  droppedBytes(reason: Drop): number {
    return float64At(this.slots, DROPPED_BYTES_AT + reason)
  }

  /** Bytes of payload dropped for any reason. */
  allDroppedBytes(): number {
    let total = 0
    for (let reason = 0; reason < DROPS_END; reason++) total += float64At(this.slots, DROPPED_BYTES_AT + reason)
    return total
  }

  /** Captured bytes of payload that no other counter accounts for; 0 unless there is a bug. */
  unaccountedBytes(): number {
    return (
      this.get(Counter.capturedPayloadBytes) -
      this.get(Counter.deliveredBytes) -
      this.get(Counter.duplicateBytes) -
      this.get(Counter.pendingBytes) -
      this.allDroppedBytes()
    )
  }

  /**
   * Every counter by its name, drops that occurred as `dropped.<reason>` (packets) and `dropped.<reason>.bytes`, and
   * the values of `latency.…`.
   */
  report(): Record<string, number> {
    const fields: Record<string, number> = {}
    for (const [name, counter] of Object.entries(Counter)) fields[name] = this.get(counter)
    for (const reason of Object.values(Drop)) {
      const packets = this.droppedPackets(reason)
      const bytes = this.droppedBytes(reason)
      if (packets > 0) fields[`dropped.${dropNames[reason]}`] = packets
      if (bytes > 0) fields[`dropped.${dropNames[reason]}.bytes`] = bytes
    }
    fields.droppedBytes = this.allDroppedBytes()
    return { ...fields, ...this.requests.report(), ...latencyFields(this.latency) }
  }
}

/** How many requests waited for an answer, and if any did, quantiles of their latency in ms. */
function latencyFields(latency: Histogram): Record<string, number> {
  const requests = latency.count
  if (requests === 0) return { 'latency.requests': 0 }
  return {
    'latency.requests': requests,
    'latency.p50': latency.quantile(0.5) / 1000,
    'latency.p90': latency.quantile(0.9) / 1000,
    'latency.p99': latency.quantile(0.99) / 1000,
    'latency.max': latency.most / 1000
  }
}
