/**
 * The rule by which a connection whose SYN was not captured is joined: only where a request certainly begins. Anywhere
 * else the rest of a request would run at the target as requests of its own, such as the lines of a stored value.
 *
 * A request begins with a segment that follows the client's last bytes, if these ended with PSH and the client has
 * acknowledged more since (`answered`); with `line`, also if they ended with a newline. Where the server speaks first,
 * neither is a sign (mail text follows an answer to DATA), so such connections are never joined.
 *
 * What was seen of a flow is kept in a table of fixed size. A flow that loses its place is joined later.
 */
import { int32At, u8 } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'
import { PSH, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, type Seq, seq } from '../../wire/seq.ts'
import { RecentFlows } from '../memory/recent-flows.ts'
import type { JoinAt } from '../selection/join-at.ts'

const PLACES = 1 << 14
/** Words of a place. */
const WORDS = 3
/** Sequence number after the client's last bytes. */
const END = 0
const ACKNOWLEDGED = 1
/** Whether the last bytes ended with PSH, and with a newline. */
const HOW = 2
const IS_PUSHED = 1
const IS_LINE = 2
/** The client's first bytes follow. */
const IS_START = 4
const NEWLINE = 0x0a
/** Bytes from before the last ones are repeated if they are this close, else they are of another connection. */
const REPEATED_MAX = 1 << 24

export class JoinRule {
  readonly #at: JoinAt
  readonly #flows = new RecentFlows(PLACES)
  /** By place; allocated with the first flow. */
  #words = new Int32Array(0)
  readonly #flow = new Flow()

  constructor(at: JoinAt) {
    this.#at = at
  }

  /** Passes both addresses of every flow to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#flows.eachAddress(take)
  }

  /** Whether anything was seen of the flow of a segment. */
  knows(segment: Segment): boolean {
    return this.#flows.find(this.#flow.fromClient(segment)) >= 0
  }

  /**
   * Takes payload of a connection without a session.
   * @param mayJoin asked at a boundary: whether such connections are joined at all
   * @returns true if a request certainly begins with it
   */
  begins(segment: Segment, now: number, mayJoin: () => boolean = always): boolean {
    const flow = this.#flow.fromClient(segment)
    const place = this.#flows.find(flow)
    const end = add(segment.seq, segment.payloadLength)
    if (place >= 0) {
      const at = place * WORDS
      const before = seq(int32At(this.#words, at + END))
      const isNext = segment.seq === before
      const isStart = isNext && int32At(this.#words, at + HOW) === IS_START
      if (isStart || (isNext && this.#mayFollow(at, segment.ack) && mayJoin())) {
        this.#flows.free(place)
        return true
      }
      const behind = distance(before, end)
      if (behind >= 0 && behind < REPEATED_MAX) return false
    }
    this.#note(flow, end, segment.ack, howItEnds(segment), now)
    return false
  }

  /** The connection begins with this segment, although its SYN was not captured. */
  allow(segment: Segment, now: number): void {
    this.#note(this.#flow.fromClient(segment), segment.seq, segment.ack, IS_START, now)
  }

  /**
   * Notes the client's last bytes.
   * @param end sequence number after them; @param ack acknowledged with them; @param how IS_PUSHED, IS_LINE
   */
  #note(flow: Flow, end: Seq, ack: Seq, how: number, now: number): void {
    if (this.#words.length === 0) this.#words = new Int32Array(PLACES * WORDS)
    const at = this.#flows.set(flow, now) * WORDS
    this.#words[at + END] = end
    this.#words[at + ACKNOWLEDGED] = ack
    this.#words[at + HOW] = how
  }

  /**
   * A copy has ended although its connection continues.
   * @param end sequence number after its last bytes; @param ack acknowledged with them if they ended with PSH
   */
  leave(flow: Flow, end: Seq, ack: Seq | undefined, now: number): void {
    this.#note(flow, end, ack ?? seq(0), ack === undefined ? 0 : IS_PUSHED, now)
  }

  /** Whether a request begins behind the bytes of a place. */
  #mayFollow(at: number, ack: Seq): boolean {
    const how = int32At(this.#words, at + HOW)
    if (this.#at === 'line' && how & IS_LINE) return true
    return (how & IS_PUSHED) !== 0 && isAfter(ack, seq(int32At(this.#words, at + ACKNOWLEDGED)))
  }
}

const always = (): boolean => true

function howItEnds({ flags, bytes, payloadAt, payloadLength }: Segment): number {
  const isLine = u8(bytes, payloadAt + payloadLength - 1) === NEWLINE
  return (flags & PSH ? IS_PUSHED : 0) | (isLine ? IS_LINE : 0)
}
