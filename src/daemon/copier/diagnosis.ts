/** The diagnosis reports copies that do not work: no answers from the target, lost connections, refused sends. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import type { Reach } from '../../core/target/raw/raw-context.ts'
import type { PacketSender } from '../../ports.ts'
import { formatEndpoint } from '../../wire/address.ts'
import type { Notices } from '../notices/notices.ts'

/** Warning: a `-x` sends SYNs and gets no SYN-ACK. Its fields are those of `NoAnswers`. */
export const NO_ANSWERS = 'no answers from the target'
/** Warning: the target does not know connections that it accepted. Its fields are those of `LostConnections`. */
export const CONNECTIONS_LOST = 'the target lost connections that it had just accepted'
const REPORT_MS = 60_000
const FIRST_REPORT_MS = 10_000

/** A `-x` without answers. Counts are since the last check. */
export interface NoAnswers {
  readonly source: string
  readonly target: string
  readonly syns: number
  readonly synAcks: number
  /** Sessions that targets reset or refused, for all `-x`. */
  readonly resets: number
  /** Packets that the kernel refused to send, for all `-x`. */
  readonly sendRefused: number
  readonly channelsOpen: number
}

/** Connections that the target accepted since the last report, and how many of them it did not know soon after. */
export interface LostConnections {
  readonly synAcks: number
  readonly disowned: number
}

/** The growth of a total between reports. */
class Growth {
  #reported = 0

  /** @returns growth since the last call */
  since(total: number): number {
    const grown = total - this.#reported
    this.#reported = total
    return grown
  }
}

export class Diagnosis {
  readonly #maps: readonly CopyMap[]
  readonly #reach: Reach
  readonly #counters: Counters
  readonly #sender: PacketSender
  readonly #notices: Notices
  /** By `-x`. */
  readonly #syns: readonly Growth[]
  readonly #synAcksByMap: readonly Growth[]
  readonly #refused = new Growth()
  readonly #resets = new Growth()
  readonly #synAcks = new Growth()
  readonly #disowned = new Growth()
  #reportAt: number

  constructor(
    maps: readonly CopyMap[],
    reach: Reach,
    counters: Counters,
    sender: PacketSender,
    notices: Notices,
    now: number
  ) {
    this.#maps = maps
    this.#reach = reach
    this.#counters = counters
    this.#sender = sender
    this.#notices = notices
    this.#syns = maps.map(() => new Growth())
    this.#synAcksByMap = maps.map(() => new Growth())
    this.#reportAt = now + FIRST_REPORT_MS
  }

  /** Reports problems once a minute. Call it once a second. */
  onTimer(now: number): void {
    if (now < this.#reportAt) return
    this.#reportAt = now + REPORT_MS
    this.#reportNoAnswers(this.#reportRefused())
    this.#reportLostConnections()
  }

  /** Reports packets that the kernel refused to send. @returns their number since the last report */
  #reportRefused(): number {
    const total = this.#counters.get(Counter.sendRefused)
    const refused = this.#refused.since(total)
    if (refused > 0) {
      const errnos = Object.fromEntries(this.#sender.refused)
      this.#notices.add('warn', 'the kernel refused to send packets', { refused: total, errnos })
    }
    return refused
  }

  /** Reports each `-x` without answers. */
  #reportNoAnswers(sendRefused: number): void {
    const counters = this.#counters
    const resets = this.#resets.since(counters.get(Counter.sessionsReset) + counters.get(Counter.refusals))
    for (const [index, map] of this.#maps.entries()) {
      const syns = this.#syns[index]?.since(this.#reach.syns(index)) ?? 0
      const synAcks = this.#synAcksByMap[index]?.since(this.#reach.synAcks(index)) ?? 0
      if (syns === 0 || synAcks > 0) continue
      const noAnswers: NoAnswers = {
        source: map.sourceAddress === 0 ? `*:${map.sourcePort}` : formatEndpoint(map.sourceAddress, map.sourcePort),
        target: formatEndpoint(map.targetAddress, map.targetPort),
        syns,
        synAcks,
        resets,
        sendRefused,
        channelsOpen: counters.get(Counter.channelsOpen)
      }
      this.#notices.add('warn', NO_ANSWERS, { ...noAnswers })
    }
  }

  /** Reports if the target does not know most of the new connections. A single one may be a fault of its own. */
  #reportLostConnections(): void {
    const synAcks = this.#synAcks.since(this.#counters.get(Counter.synAcks))
    const disowned = this.#disowned.since(this.#counters.get(Counter.sessionsDisowned))
    const lost: LostConnections = { synAcks, disowned }
    if (disowned * 2 > synAcks) this.#notices.add('warn', CONNECTIONS_LOST, { ...lost })
  }
}
