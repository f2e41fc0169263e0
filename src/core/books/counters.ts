/**
 * What tcpcopy counts. Counters are slots of one Float64Array, which another thread may read while they move: a
 * count is exact up to 2⁵³, and an increment is one load and one store. docs/counters.md explains each by its name.
 *
 * The books close; an octet counts once for each copy (`-n`) that it was given to: capturedPayloadBytes = deliveredBytes + duplicateBytes + pendingBytes + every drop's bytes.
 */
import { float64At } from '../../wire/bytes.ts'
import { DROPS_END, Drop, dropNames } from './drop.ts'
import { Histogram } from './histogram.ts'

export const Counter = {
  /** Packets that the capture gave us. */
  capturedPackets: 0,
  /** Octets of TCP payload in them. */
  capturedPayloadBytes: 1,
  /** Octets of client payload that the target acknowledged. */
  deliveredBytes: 2,
  /** Octets captured that the client had sent before. */
  duplicateBytes: 3,
  /** Octets held for a session: not sent, or sent and not yet acknowledged. */
  pendingBytes: 4,
  /** Packets the kernel dropped because the ring was full. */
  captureDropped: 5,
  /** Sessions begun, by a captured SYN or in mid-stream. */
  sessionsStarted: 6,
  /** Sessions of these begun at a payload, without a captured SYN. */
  sessionsJoined: 7,
  /** Sessions that ended, for whatever reason. */
  sessionsEnded: 8,
  /** Sessions that ended because both sides had closed. */
  sessionsClosed: 9,
  /** Sessions ended by a reset of the target. */
  sessionsReset: 10,
  /** Sessions ended by a time limit. */
  sessionsTimedOut: 11,
  /** New connections that waited for the previous copy with the same client address and port. */
  sessionsWaited: 12,
  /** Packets handed to the kernel. */
  sentPackets: 13,
  /** Packets the kernel refused to send. */
  sendRefused: 14,
  /** Segments with payload sent again. */
  retransmissions: 15,
  /** SYNs sent, repeated ones too. */
  synsSent: 16,
  /** SYN-ACKs that opened a session. */
  synAcks: 17,
  /** Header records that came over the channel. */
  answers: 18,
  /** Epochs (requests) sent for the first time. */
  epochs: 19,
  /** Epochs sent after `--epoch-timeout` without the answer they waited for. */
  epochTimeouts: 20,
  /** Epochs released because the target fell silent before it had answered as much as the source. */
  epochsQuiet: 21,
  /** Connections to intercept that are open now. */
  channelsOpen: 22,
  /** Connections to intercept that broke, or that could not be made. */
  channelFailures: 23,
  /** Octets of send buffers in use. */
  poolUsedBytes: 24,
  /** Sessions that went on with a new connection after the target, or octets that were missed, ended the one before. */
  sessionsContinued: 25,
  /** SYNs that the target answered with a reset; they are sent again. */
  refusals: 26,
  /** New flows that `-r`, `-g` or `-O` left out. */
  flowsLeftOut: 27,
  /** Sessions of those started that are a second, third … copy of a connection (`-n`). */
  copiesStarted: 28,
  /** Copies beyond the first that could not be made. */
  copiesRefused: 29,
  /** Copies that gave their port to the client that owns it. */
  copiesMoved: 30,
  /** How often a session halved its segments, because large ones timed out again and again. */
  segmentsHalved: 31,
  /** Resets of the target that were not at the next octet, and were answered by an acknowledgment. */
  resetsChallenged: 32,
  /** Sessions of those reset that the target did not know although its SYN-ACK had come just before. */
  sessionsDisowned: 33,
  /** Captured segments with URG, which their octets keep (RFC 9293 §3.8.5). */
  urgentSegments: 34,
  /** Sessions that gave up what they held, because the pool ran short. */
  sessionsEvicted: 35,
  /** Octets that came from intercept. */
  channelBytes: 36,
  /** Routes that intercept could not be told at once, because it does not read; they are told later. */
  routesDelayed: 37,
  /** Sessions that took another port because another tcpcopy has theirs at the target. */
  portsMoved: 38,
  /** Packets read from the file that is replayed. */
  filePackets: 39,
  /** Packets of these that are not for the copy: answers, other traffic, and what -F, --from and --to leave out. */
  fileLeftOut: 40,
  /** Packets of targets that were answered although their session had ended. */
  lateAnswers: 41,
  /** Holes given up at once, because they were captured and the pool had no room for them. */
  holesOfPool: 42,
  /** Acknowledgments of unacceptable answers that were not sent, because one had just been (RFC 5961 §7). */
  objectionsWithheld: 43,
  /** Requests that were sent again on a new connection, since the one before had ended unacknowledged. */
  epochsSentAgain: 44,
  /** Packets that the devices of `-i` see and that are not for a copy. */
  captureLeftOut: 45,
  /** Routes to IPv6 targets that intercept was not told: it speaks version 1 of the channel. */
  routesUntold: 46
} as const
export type Counter = (typeof Counter)[keyof typeof Counter]

const COUNTERS_END = Math.max(...Object.values(Counter)) + 1
const DROPPED_PACKETS_AT = COUNTERS_END
const DROPPED_BYTES_AT = DROPPED_PACKETS_AT + DROPS_END
const LATENCY_AT = DROPPED_BYTES_AT + DROPS_END
const SLOTS_END = LATENCY_AT + Histogram.slotCount

export class Counters {
  readonly slots: Float64Array
  /** Microseconds from an answer at the assistant to the request that waited for it; see `Latency`. */
  readonly latency: Histogram

  /** @param buffer shared between threads, of `Counters.byteLength` */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(Counters.byteLength)) {
    this.slots = new Float64Array(buffer)
    this.latency = new Histogram(this.slots.subarray(LATENCY_AT, SLOTS_END))
  }

  static readonly byteLength = SLOTS_END * 8

  /** What several workers have counted, together. */
  static sum(parts: readonly Counters[]): Counters {
    const total = new Counters()
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

  /** Payload octets dropped for any reason. */
  allDroppedBytes(): number {
    let total = 0
    for (let reason = 0; reason < DROPS_END; reason++) total += float64At(this.slots, DROPPED_BYTES_AT + reason)
    return total
  }

  /** Captured payload octets that are in no place of the books; 0 unless there is a bug. */
  unaccountedBytes(): number {
    return (
      this.get(Counter.capturedPayloadBytes) -
      this.get(Counter.deliveredBytes) -
      this.get(Counter.duplicateBytes) -
      this.get(Counter.pendingBytes) -
      this.allDroppedBytes()
    )
  }

  /** Every counter by its name, the drops that happened as `dropped.<reason>` (packets) and `….bytes`, and `latency.…`. */
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
    return { ...fields, ...latencyFields(this.latency) }
  }
}

/** How many requests waited for an answer, and if any did, what its way took, in ms. */
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
