/**
 * Holds pending SYNs: SYNs for connections that may still be alive. A source answers such a SYN with a challenge and
 * keeps its connection (RFC 5961 §4), so a forged one must not end the copy. It is held until the client's next packet
 * shows that the source accepted it.
 */
import { Flow } from '../../wire/flow.ts'
import { ACK, RST, Segment, SYN } from '../../wire/segment.ts'
import { add, distance, type Seq } from '../../wire/seq.ts'
import { ExpiryQueue, type TakeExpired } from '../memory/expiry-queue.ts'
import { FlowTable } from '../memory/flow-table.ts'

/** How long a SYN is held. If the client's acknowledgment was not captured, its first request should be by then. */
const PENDING_MS = 60_000
const PENDING_MAX = 16_384
/** How far into the new connection's stream its first captured packet may be, in bytes, if earlier ones were missed. */
const REACH = 1 << 20

export class PendingSyns {
  /** Captured flow → key of `#syns`. */
  readonly #flows = new FlowTable()
  readonly #syns = new Map<number, Segment>()
  readonly #expiry = new ExpiryQueue(PENDING_MS)
  readonly #flow = new Flow()
  #serial = 0
  readonly #forget: TakeExpired = (flow, key) => {
    this.#syns.delete(key)
    if (this.#flows.get(flow) === key) this.#flows.delete(flow)
  }

  get size(): number {
    return this.#syns.size
  }

  /** Passes both addresses of every SYN to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#flows.eachAddress(take)
  }

  /** Keeps a copy of a SYN, without payload. @returns false if the table is full */
  hold(segment: Segment, now: number): boolean {
    const flow = this.#flow.fromClient(segment)
    const before = this.#flows.get(flow)
    const isHeld = this.#syns.get(before)?.seq === segment.seq
    if (isHeld) return true
    if (this.size >= PENDING_MAX) return false
    this.#syns.delete(before)
    this.#serial = (this.#serial + 1) & 0x3fffffff
    const syn = Object.assign(new Segment(), segment, { bytes: new Uint8Array(0), payloadLength: 0 })
    this.#syns.set(this.#serial, syn)
    this.#flows.set(flow, this.#serial)
    this.#expiry.add(flow, this.#serial, now)
    return true
  }

  /**
   * Removes the pending SYN of the connection that a segment belongs to.
   * @param oldEnd sequence number after the captured stream of the previous connection, if there is one
   * @returns the SYN; undefined if there is none, or the segment may belong to the previous connection
   */
  takeFor(segment: Segment, oldEnd: Seq | undefined): Segment | undefined {
    if ((segment.flags & (SYN | RST | ACK)) !== ACK) return undefined
    const flow = this.#flow.fromClient(segment)
    const key = this.#flows.get(flow)
    const syn = this.#syns.get(key)
    if (syn === undefined) return undefined
    const into = distance(segment.seq, add(syn.seq, 1))
    if (into < 0 || into > REACH) return undefined
    if (oldEnd !== undefined && Math.abs(distance(segment.seq, oldEnd)) < into) return undefined
    this.#forget(flow, key)
    return syn
  }

  /** Forgets up to `most` expired SYNs. */
  expire(now: number, most: number): void {
    this.#expiry.expire(now, most, this.#forget)
  }
}
