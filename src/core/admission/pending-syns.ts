/**
 * Holds pending SYNs, each until its client's next packet shows that the source accepted it. A SYN waits because its
 * client may never answer (a flood of SYNs must not fill the target), because acknowledgments are not captured
 * (`--acks drop`), or because another connection of the flow may still be alive: a source answers such a SYN with a
 * challenge and keeps its connection (RFC 5961 §4), so a forged one must not end the copy.
 *
 * The table has a fixed size. If a flow finds no place, the SYN that has waited longest gives up its own: it is the one
 * least likely to be answered.
 */
import { int32At } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'
import { ACK, RST, Segment, SYN } from '../../wire/segment.ts'
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import { RecentFlows } from '../memory/recent-flows.ts'

/** How long a SYN is held. If the client's acknowledgment was not captured, its first request should be by then. */
const PENDING_MS = 60_000
const PLACES = 1 << 15
/** How far into the new connection's stream its first captured packet may be, in bytes, if earlier ones were missed. */
export const REACH = 1 << 16

/** Words of a place. */
const WORDS = 6
const ISS = 0
const TS_VAL = 1
/** Window in the upper half, MSS in the lower. */
const WINDOW_AND_MSS = 2
/** TTL and traffic class in a byte each, then the window scale plus one, then flags. */
const HEADER = 3
const FLOW_LABEL = 4
const IP_ID = 5
const IS_SACK_PERMITTED = 1 << 24
const HAS_TIMESTAMPS = 1 << 25
const DONT_FRAGMENT = 1 << 26

export class PendingSyns {
  /** When the SYN that `take` returned last was captured. */
  takenAt = 0
  readonly #flows = new RecentFlows(PLACES)
  /** By place; allocated with the first SYN. */
  #words = new Int32Array(0)
  readonly #flow = new Flow()
  /** The SYN that `take` returned last. */
  readonly #syn = new Segment()

  get size(): number {
    return this.#flows.size
  }

  /** Passes both addresses of every SYN to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#flows.eachAddress(take)
  }

  /** Keeps a SYN without its payload, instead of an earlier one of its flow. The same SYN keeps its first time. */
  hold(segment: Segment, now: number): void {
    if (this.#words.length === 0) this.#words = new Int32Array(PLACES * WORDS)
    const words = this.#words
    const flow = this.#flow.fromClient(segment)
    const found = this.#flows.find(flow)
    if (found >= 0 && int32At(words, found * WORDS + ISS) === segment.seq) return
    const at = this.#flows.set(flow, now) * WORDS
    words[at + ISS] = segment.seq
    words[at + TS_VAL] = segment.tsVal
    words[at + WINDOW_AND_MSS] = (segment.window << 16) | segment.mss
    words[at + HEADER] =
      segment.ttl |
      (segment.trafficClass << 8) |
      ((segment.windowScale + 1) << 16) |
      (segment.sackPermitted ? IS_SACK_PERMITTED : 0) |
      (segment.hasTimestamps ? HAS_TIMESTAMPS : 0) |
      (segment.dontFragment ? DONT_FRAGMENT : 0)
    words[at + FLOW_LABEL] = segment.flowLabel
    words[at + IP_ID] = segment.ipId
  }

  /**
   * Whether a segment belongs to a pending connection.
   * @param oldEnd sequence number after the captured stream of the previous connection, if there is one
   * @returns bytes of the pending connection up to the end of the segment; −1: it is not of one, or may belong to the
   * previous connection
   */
  bytesFor(segment: Segment, oldEnd: Seq | undefined, now: number): number {
    if ((segment.flags & (SYN | RST | ACK)) !== ACK) return -1
    const place = this.#flows.find(this.#flow.fromClient(segment))
    if (place < 0 || this.#flows.setAt(place) < now - PENDING_MS) return -1
    const into = distance(segment.seq, add(seq(int32At(this.#words, place * WORDS + ISS)), 1))
    if (into < 0 || into > REACH) return -1
    if (oldEnd !== undefined && Math.abs(distance(segment.seq, oldEnd)) < into) return -1
    return into + segment.payloadLength
  }

  /** Removes the pending SYN of a segment for which `bytesFor` has just found one. @returns it, in a reused object */
  take(segment: Segment): Segment {
    const flow = this.#flow.fromClient(segment)
    const place = this.#flows.find(flow)
    this.takenAt = this.#flows.setAt(place)
    this.#flows.free(place)
    return this.#read(place * WORDS, flow)
  }

  /** Forgets the pending SYN of a flow whose client has reset the connection. */
  forget(segment: Segment): void {
    const place = this.#flows.find(this.#flow.fromClient(segment))
    if (place >= 0) this.#flows.free(place)
  }

  #read(at: number, flow: Flow): Segment {
    const words = this.#words
    const syn = this.#syn
    const header = int32At(words, at + HEADER)
    syn.flags = SYN
    syn.fromAddress = flow.clientAddress
    syn.fromPort = flow.clientPort
    syn.toAddress = flow.serverAddress
    syn.toPort = flow.serverPort
    syn.seq = seq(int32At(words, at + ISS))
    syn.tsVal = seq(int32At(words, at + TS_VAL))
    syn.window = int32At(words, at + WINDOW_AND_MSS) >>> 16
    syn.mss = int32At(words, at + WINDOW_AND_MSS) & 0xffff
    syn.ttl = header & 0xff
    syn.trafficClass = (header >>> 8) & 0xff
    syn.windowScale = ((header >>> 16) & 0xff) - 1
    syn.sackPermitted = (header & IS_SACK_PERMITTED) !== 0
    syn.hasTimestamps = (header & HAS_TIMESTAMPS) !== 0
    syn.dontFragment = (header & DONT_FRAGMENT) !== 0
    syn.flowLabel = int32At(words, at + FLOW_LABEL)
    syn.ipId = int32At(words, at + IP_ID)
    return syn
  }

  /** Sweeps up to `most` places for SYNs that have expired. */
  expire(now: number, most: number): void {
    this.#flows.sweep(now - PENDING_MS, most)
  }
}
