/**
 * The rule by which a connection whose SYN was not captured is joined: only where a request certainly begins. Anywhere
 * else the rest of a request would run at the target as requests of its own, such as the lines of a stored value.
 *
 * A request seems to begin with a segment that follows the client's last bytes, if these ended with PSH and the client
 * has acknowledged more since. The rest of a request looks the same if an answer to an earlier one, or a push, arrives in
 * between; so it has to be so several times in a row, and the client must not go on by itself after a pause meanwhile
 * (`answered`). With `line`, a newline is enough. Where the server speaks first, neither is a sign (mail text follows an
 * answer to DATA), so such connections are never joined.
 *
 * What was seen of a flow is kept in a table of fixed size. A flow that loses its place is joined later.
 */
import { float64At, int32At, u8 } from '../../wire/bytes.ts'
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
/** How the last bytes ended: flags, then a count. */
const HOW = 2
const IS_PUSHED = 1
const IS_LINE = 2
/** The client's first bytes follow. */
const IS_START = 4
/** From this bit on: how many requests in a row have followed an answer. */
const COUNT_SHIFT = 3
/** With so many the client takes turns with its server. */
const IN_A_ROW = 3
/** A client that goes on so long after its last bytes, without an answer, has paused within a request. */
const PAUSE_MS = 10
const NEWLINE = 0x0a
/** Bytes from before the last ones are repeated if they are this close, else they are of another connection. */
const REPEATED_MAX = 1 << 24

export class JoinRule {
  readonly #at: JoinAt
  readonly #flows = new RecentFlows(PLACES)
  /** By place; allocated with the first flow. */
  #words = new Int32Array(0)
  /** By place: when its last bytes were captured. */
  #heardAt = new Float64Array(0)
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
    let count = 0
    if (place >= 0) {
      const before = seq(int32At(this.#words, place * WORDS + END))
      if (segment.seq === before) {
        const how = int32At(this.#words, place * WORDS + HOW)
        const hasRead = isAfter(segment.ack, seq(int32At(this.#words, place * WORDS + ACKNOWLEDGED)))
        const isTurn = (how & IS_PUSHED) !== 0 && hasRead
        const hasPaused = now - float64At(this.#heardAt, place) > PAUSE_MS
        if (isTurn) count = Math.min((how >> COUNT_SHIFT) + 1, IN_A_ROW)
        else if (!hasRead && !hasPaused) count = how >> COUNT_SHIFT
        const isLine = this.#at === 'line' && (how & IS_LINE) !== 0
        const isRequest = (isTurn && count === IN_A_ROW) || isLine
        if (how === IS_START || (isRequest && mayJoin())) {
          this.#flows.free(place)
          return true
        }
      }
      const behind = distance(before, end)
      if (behind >= 0 && behind < REPEATED_MAX) return false
    }
    this.#note(flow, end, segment.ack, howItEnds(segment) | (count << COUNT_SHIFT), now)
    return false
  }

  /** The connection begins with this segment, although its SYN was not captured. */
  allow(segment: Segment, now: number): void {
    this.#note(this.#flow.fromClient(segment), segment.seq, segment.ack, IS_START, now)
  }

  /**
   * Notes the client's last bytes.
   * @param end sequence number after them; @param ack acknowledged with them; @param how as in HOW
   */
  #note(flow: Flow, end: Seq, ack: Seq, how: number, now: number): void {
    if (this.#words.length === 0) {
      this.#words = new Int32Array(PLACES * WORDS)
      this.#heardAt = new Float64Array(PLACES)
    }
    const place = this.#flows.set(flow, now)
    this.#words[place * WORDS + END] = end
    this.#words[place * WORDS + ACKNOWLEDGED] = ack
    this.#words[place * WORDS + HOW] = how
    this.#heardAt[place] = now
  }

  /**
   * A copy has ended although its connection continues. It goes on at the next request that follows an answer.
   * @param end sequence number after its last bytes; @param ack acknowledged with them if they ended with PSH
   */
  leave(flow: Flow, end: Seq, ack: Seq | undefined, now: number): void {
    const how = ack === undefined ? 0 : IS_PUSHED | ((IN_A_ROW - 1) << COUNT_SHIFT)
    this.#note(flow, end, ack ?? seq(0), how, now)
  }
}

const always = (): boolean => true

function howItEnds({ flags, bytes, payloadAt, payloadLength }: Segment): number {
  const isLine = u8(bytes, payloadAt + payloadLength - 1) === NEWLINE
  return (flags & PSH ? IS_PUSHED : 0) | (isLine ? IS_LINE : 0)
}
