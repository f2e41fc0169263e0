/**
 * Remembers ignored flows: those that could be copied but are not, because they were sampled out or refused. Their
 * later packets must not start a copy in mid-stream. A flow is forgotten 60 s after the client's FIN or RST, or after
 * `-t` without a packet. Two linked lists in typed arrays keep them in the order of their last packet.
 */
import { float64At, int32At } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'
import { FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { isAfter, type Seq, seq } from '../../wire/seq.ts'
import type { UncopiedRequests } from '../admission/uncopied-requests.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { FlowTable } from '../memory/flow-table.ts'
import { entryOfIgnored } from './flow-entries.ts'

const CLOSED_LINGER_MS = 60_000

/** Words of an entry. */
const WORDS = 7
const ADDRESS = 0
const SOURCE_ADDRESS = 1
const PORTS = 2
const ISS = 3
const NEXT = 4
const PREVIOUS = 5
/** Acknowledgment number of the last request. */
const ACK = 6

/** The heads of the two lists are the first two entries. */
const OPEN = 0
const CLOSED = 1
const HEADS = 2

export class IgnoredFlows {
  readonly #flows: FlowTable
  readonly #flow = new Flow()
  readonly #timeoutMs: number
  readonly #most: number
  readonly #counters: Counters
  #words = new Int32Array(256 * WORDS)
  #seenAt = new Float64Array(256)
  /** Why a flow is not copied: a `Drop`. */
  #reason = new Uint8Array(256)
  #isClosed = new Uint8Array(256)
  /** A request was seen. */
  #hasAsked = new Uint8Array(256)
  readonly #requests: UncopiedRequests
  readonly #free: number[] = []
  #end = HEADS

  /**
   * @param flows the table of captured flows. Others must not change entries that `add` sets there
   * @param most beyond, the oldest closed flow is forgotten, or the one silent for longest if none is closed
   */
  constructor(flows: FlowTable, requests: UncopiedRequests, timeoutMs: number, most: number, counters: Counters) {
    this.#flows = flows
    this.#requests = requests
    this.#timeoutMs = timeoutMs
    this.#most = most
    this.#counters = counters
    for (const head of [OPEN, CLOSED]) {
      this.#words[head * WORDS + NEXT] = head
      this.#words[head * WORDS + PREVIOUS] = head
    }
  }

  get size(): number {
    return this.#end - HEADS - this.#free.length
  }

  /** Adds the flow of a segment. @param iss sequence number of its SYN, or of its first packet */
  add(segment: Segment, iss: Seq, reason: Drop, now: number): void {
    if (this.size >= this.#most) {
      this.#forget(this.#oldest())
      this.#counters.add(Counter.flowsForgotten, 1)
    }
    const id = this.#free.pop() ?? this.#end++
    if (id === this.#seenAt.length) this.#grow()
    const at = id * WORDS
    this.#words[at + ADDRESS] = segment.fromAddress
    this.#words[at + SOURCE_ADDRESS] = segment.toAddress
    this.#words[at + PORTS] = (segment.fromPort << 16) | segment.toPort
    this.#words[at + ISS] = iss
    this.#reason[id] = reason
    this.#isClosed[id] = 0
    this.#hasAsked[id] = 0
    if (segment.payloadLength > 0) this.#countRequest(id, segment)
    this.#append(OPEN, id, now)
    this.#flows.set(this.#flow.fromClient(segment), entryOfIgnored(id))
  }

  /**
   * Takes a later packet of an ignored flow.
   * @param id number of the flow; @returns why it is not copied; None: it starts a new connection
   */
  take(id: number, segment: Segment, now: number): Drop {
    if (segment.flags & SYN && segment.seq !== int32At(this.#words, id * WORDS + ISS)) {
      this.#forget(id)
      return Drop.None
    }
    if (segment.payloadLength > 0) this.#countRequest(id, segment)
    const isEnd = (segment.flags & (FIN | RST)) !== 0
    // Payload after a FIN or RST shows that the source did not believe it.
    if (this.#isClosed[id] === 0 || (!isEnd && segment.payloadLength > 0)) {
      this.#unlink(id)
      this.#isClosed[id] = isEnd ? 1 : 0
      this.#append(isEnd ? CLOSED : OPEN, id, now)
    }
    return this.#reason[id] as Drop // as: `add` stored it
  }

  #countRequest(id: number, segment: Segment): void {
    const at = id * WORDS + ACK
    if (this.#hasAsked[id] === 1 && !isAfter(segment.ack, seq(int32At(this.#words, at)))) return
    this.#hasAsked[id] = 1
    this.#words[at] = segment.ack
    this.#requests.refuse(segment, this.#reason[id] as Drop) // as: `add` stored it
  }

  /** Forgets up to `most` expired flows of either list. */
  expire(now: number, most: number): void {
    this.#expire(OPEN, now - this.#timeoutMs, most)
    this.#expire(CLOSED, now - CLOSED_LINGER_MS, most)
  }

  #expire(list: number, seenBefore: number, most: number): void {
    for (let count = 0; count < most; count++) {
      const id = this.#next(list)
      if (id === list || float64At(this.#seenAt, id) > seenBefore) return
      this.#forget(id)
    }
  }

  #oldest(): number {
    const closed = this.#next(CLOSED)
    return closed === CLOSED ? this.#next(OPEN) : closed
  }

  #next(id: number): number {
    return int32At(this.#words, id * WORDS + NEXT)
  }

  #forget(id: number): void {
    this.#unlink(id)
    this.#free.push(id)
    const at = id * WORDS
    const ports = int32At(this.#words, at + PORTS)
    const address = int32At(this.#words, at + ADDRESS)
    this.#flows.delete(this.#flow.unpack(address, int32At(this.#words, at + SOURCE_ADDRESS), ports))
  }

  #unlink(id: number): void {
    const next = this.#next(id)
    const previous = int32At(this.#words, id * WORDS + PREVIOUS)
    this.#words[previous * WORDS + NEXT] = next
    this.#words[next * WORDS + PREVIOUS] = previous
  }

  #append(list: number, id: number, now: number): void {
    const last = int32At(this.#words, list * WORDS + PREVIOUS)
    this.#words[last * WORDS + NEXT] = id
    this.#words[id * WORDS + PREVIOUS] = last
    this.#words[id * WORDS + NEXT] = list
    this.#words[list * WORDS + PREVIOUS] = id
    this.#seenAt[id] = now
  }

  #grow(): void {
    const length = this.#seenAt.length * 2
    const words = new Int32Array(length * WORDS)
    const seenAt = new Float64Array(length)
    const reason = new Uint8Array(length)
    const isClosed = new Uint8Array(length)
    const hasAsked = new Uint8Array(length)
    words.set(this.#words)
    seenAt.set(this.#seenAt)
    reason.set(this.#reason)
    isClosed.set(this.#isClosed)
    hasAsked.set(this.#hasAsked)
    this.#words = words
    this.#seenAt = seenAt
    this.#reason = reason
    this.#isClosed = isClosed
    this.#hasAsked = hasAsked
  }
}
