/**
 * Keeps the first packets of unknown flows for a moment, in case the SYN was only overtaken: packets of one connection
 * are captured on several cores. What is kept is a copy, up to a limit in number and bytes.
 */
import { copyBytes } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'
import { Segment } from '../../wire/segment.ts'
import { add, isAfter } from '../../wire/seq.ts'
import { FlowTable } from '../memory/flow-table.ts'

/** How long a SYN may come after other packets of its connection. */
const WAIT_MS = 200
const PACKETS_MAX = 1024
const BYTES_MAX = 1 << 20

interface Early {
  readonly segments: Segment[]
  readonly expiresAt: number
}

export class EarlyPackets {
  /** Captured flow → key of `#flows`. */
  readonly #keys = new FlowTable(16)
  /** In the order of their first packets. */
  readonly #flows = new Map<number, Early>()
  readonly #flow = new Flow()
  #serial = 0
  #packets = 0
  #bytes = 0

  get isEmpty(): boolean {
    return this.#packets === 0
  }

  /** When `expired` must be asked; Infinity: nothing is kept. */
  get deadline(): number {
    if (this.isEmpty) return Number.POSITIVE_INFINITY
    for (const { expiresAt } of this.#flows.values()) return expiresAt
    return Number.POSITIVE_INFINITY
  }

  /** Passes both addresses of every flow to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#keys.eachAddress(take)
  }

  /** Whether packets of the flow of a segment are kept. */
  has(segment: Segment): boolean {
    return this.#packets > 0 && this.#keys.get(this.#flow.fromClient(segment)) >= 0
  }

  /**
   * Keeps a copy of a segment.
   * @returns false if there is no room, or the client had read an answer in between: then the SYN is not late but missing
   */
  keep(segment: Segment, now: number): boolean {
    if (this.#packets >= PACKETS_MAX || this.#bytes + segment.payloadLength > BYTES_MAX) return false
    const flow = this.#flow.fromClient(segment)
    const early = this.#flows.get(this.#keys.get(flow))
    if (early !== undefined && follows(early.segments.at(-1), segment)) return false
    const bytes = new Uint8Array(segment.payloadLength)
    copyBytes(segment.bytes, segment.payloadAt, bytes, 0, segment.payloadLength)
    const copy = Object.assign(new Segment(), segment, { bytes, payloadAt: 0 })
    if (early === undefined) {
      this.#serial = (this.#serial + 1) & 0x3fffffff
      this.#flows.set(this.#serial, { segments: [copy], expiresAt: now + WAIT_MS })
      this.#keys.set(flow, this.#serial)
    } else early.segments.push(copy)
    this.#packets += 1
    this.#bytes += segment.payloadLength
    return true
  }

  /** Removes the packets of the flow of a segment, in the order of their capture. */
  take(segment: Segment): Segment[] {
    const flow = this.#flow.fromClient(segment)
    const key = this.#keys.get(flow)
    const early = this.#flows.get(key)
    if (early === undefined) return []
    this.#keys.delete(flow)
    this.#flows.delete(key)
    this.#packets -= early.segments.length
    for (const { payloadLength } of early.segments) this.#bytes -= payloadLength
    return early.segments
  }

  /** A packet of a flow that has waited long enough, for `take`; undefined: there is none. */
  expired(now: number): Segment | undefined {
    for (const { segments, expiresAt } of this.#flows.values()) return expiresAt <= now ? segments[0] : undefined
    return undefined
  }
}

/** Whether a segment continues another one after an answer. */
function follows(before: Segment | undefined, { seq, ack }: Segment): boolean {
  if (before === undefined || before.payloadLength === 0) return false
  return seq === add(before.seq, before.payloadLength) && isAfter(ack, before.ack)
}
