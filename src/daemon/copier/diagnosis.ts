/** The diagnosis reports copies that do not work: no answers from the target, or not for all clients, lost connections. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { MapCount, type MapCounts } from '../../core/books/map-counts.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import type { MapReach, Reach } from '../../core/target/raw/reach.ts'
import type { InterceptView, LostConnections, NoAnswers } from '../../doctor/evidence.ts'
import { ACCEPTS_AGAIN, ALL_REFUSED, CONNECTIONS_LOST, KEEPS_AGAIN, NO_ANSWERS } from '../../doctor/symptoms.ts'
import type { PacketSender } from '../../ports.ts'
import { formatAddress } from '../../wire/address.ts'
import { Condition } from '../notices/condition.ts'
import { Growth } from '../notices/growth.ts'
import type { Notices } from '../notices/notices.ts'
import { ClientWarning } from './client-warning.ts'
import { placesOf } from './map-warnings.ts'

/** Time between checks: intercept has answered a question by the next one. */
const CHECK_MS = 5000
/** Without another lost connection for so long, it is over. */
const LOST_OVER_MS = 60_000

/** Asks intercepts what they have seen. */
interface Assistants {
  ask(target: { readonly address: number; readonly port: number }): void
  /** @returns undefined: none has answered lately */
  viewOf(target: { readonly address: number; readonly port: number }, now: number): InterceptView | undefined
}

/** What the diagnosis looks at. */
export interface DiagnosisSources {
  readonly maps: readonly CopyMap[]
  /** Addresses of `-s`. */
  readonly intercepts: readonly number[]
  readonly reach: Reach
  readonly mapCounts: MapCounts
  readonly counters: Counters
  readonly sender: PacketSender
  readonly assistants: Assistants
  /** Length of the longest packet that arrived truncated, in bytes. */
  readonly truncatedLength: () => number
}

export class Diagnosis {
  readonly #reach: Reach
  readonly #watches: readonly TargetWatch[]
  readonly #lost: LostWatch
  #checkAt: number

  constructor(sources: DiagnosisSources, notices: Notices, now: number) {
    const { maps, reach } = sources
    this.#watches = maps.flatMap((map, index) => {
      const ofMap = reach.maps[index]
      return ofMap === undefined ? [] : [new TargetWatch(map, index, ofMap, sources, notices)]
    })
    this.#reach = reach
    this.#lost = new LostWatch(sources, notices)
    this.#checkAt = now + CHECK_MS
  }

  /** Call it once a second. */
  onTimer(now: number): void {
    if (now < this.#checkAt) return
    this.#checkAt = now + CHECK_MS
    for (const watch of this.#watches) watch.check(now)
    this.#lost.check(now)
  }

  /** Gives the IPv6 addresses that it remembers. */
  eachAddress(take: (address: number) => void): void {
    this.#reach.eachAddress(take)
    for (const { clients } of this.#watches) clients.eachAddress(take)
  }
}

/** Totals when the target last accepted a connection. */
interface Baseline {
  readonly overdue: number
  readonly loopback: number
  readonly own: number
  readonly refused: number
  readonly requests: number
  readonly answers: number
  readonly truncated: number
  readonly sendRefused: ReadonlyMap<number, number>
}

/** Watches whether the target of one `-x` accepts connections. */
class TargetWatch {
  readonly #map: CopyMap
  readonly #index: number
  readonly #reach: MapReach
  readonly #sources: DiagnosisSources
  readonly #condition: Condition
  readonly clients: ClientWarning
  #accepted = 0
  #base: Baseline

  constructor(map: CopyMap, index: number, reach: MapReach, sources: DiagnosisSources, notices: Notices) {
    this.#map = map
    this.#index = index
    this.#reach = reach
    this.#sources = sources
    // Until the second check, intercept is asked.
    this.#condition = new Condition(notices, {
      message: NO_ANSWERS,
      overMessage: ACCEPTS_AGAIN,
      afterMs: CHECK_MS / 2
    })
    this.clients = new ClientWarning(map, reach, notices)
    this.#base = this.#totals()
  }

  check(now: number): void {
    const { accepted, overdue } = this.#reach
    const isAccepting = accepted > this.#accepted
    this.#accepted = accepted
    this.clients.check(now)
    const isSilent = !isAccepting && overdue > this.#base.overdue
    if (isSilent) this.#sources.assistants.ask(this.#target)
    const evidence = isSilent ? this.#evidence(now) : undefined
    const isRefused = evidence !== undefined && evidence.refused === evidence.connections
    this.#condition.update(
      isSilent || (isAccepting ? false : undefined),
      now,
      () => ({ ...(evidence ?? placesOf(this.#map)) }),
      isRefused ? ALL_REFUSED : NO_ANSWERS
    )
    if (isAccepting) this.#base = this.#totals()
  }

  get #target(): { readonly address: number; readonly port: number } {
    return { address: this.#map.targetAddress, port: this.#map.targetPort }
  }

  #totals(): Baseline {
    const { overdue, overdueLoopback, overdueOwn, refused } = this.#reach
    const { mapCounts, counters, sender } = this.#sources
    const requests = mapCounts.get(this.#index, MapCount.Requests) - mapCounts.get(this.#index, MapCount.Unanswered)
    return {
      overdue,
      loopback: overdueLoopback,
      own: overdueOwn,
      refused,
      requests,
      answers: counters.get(Counter.answers) - counters.get(Counter.refusals) - counters.get(Counter.sessionsReset),
      truncated: counters.droppedPackets(Drop.Truncated),
      sendRefused: new Map(sender.refused)
    }
  }

  #evidence(now: number): NoAnswers {
    const { intercepts, counters, sender, assistants, truncatedLength } = this.#sources
    const before = this.#base
    const totals = this.#totals()
    const connections = totals.overdue - before.overdue
    const { targetAddress } = this.#map
    const { overdueClient } = this.#reach
    return {
      ...placesOf(this.#map),
      connections,
      refused: Math.min(connections, totals.refused - before.refused),
      loopback: totals.loopback - before.loopback,
      ownAddress: totals.own - before.own,
      client: overdueClient === 0 ? undefined : formatAddress(overdueClient),
      answeredOthers: totals.answers > before.answers ? Math.max(0, totals.requests - before.requests) : 0,
      sendRefused: growthOf(before.sendRefused, totals.sendRefused),
      path: sender.pathTo?.(targetAddress) ?? { state: 'unknown', hop: '' },
      truncated: totals.truncated - before.truncated,
      truncatedLength: truncatedLength(),
      channelsOpen: counters.get(Counter.channelsOpen),
      isOnTarget: intercepts.includes(targetAddress),
      intercept: assistants.viewOf(this.#target, now)
    }
  }
}

function growthOf(before: ReadonlyMap<number, number>, now: ReadonlyMap<number, number>): Record<string, number> {
  const grown = [...now].map(([errno, count]) => [`${errno}`, count - (before.get(errno) ?? 0)] as const)
  return Object.fromEntries(grown.filter(([, count]) => count > 0))
}

/** Watches whether the target knows most of the new connections. A single one may be a fault of its own. */
class LostWatch {
  readonly #sources: DiagnosisSources
  readonly #condition: Condition
  readonly #accepted = new Growth()
  readonly #disowned = new Growth()

  constructor(sources: DiagnosisSources, notices: Notices) {
    this.#sources = sources
    this.#condition = new Condition(notices, {
      message: CONNECTIONS_LOST,
      overMessage: KEEPS_AGAIN,
      afterMs: CHECK_MS / 2,
      overAfterMs: LOST_OVER_MS
    })
  }

  check(now: number): void {
    const { counters, maps, assistants } = this.#sources
    const holds = this.#condition.holds
    this.#accepted.see(counters.get(Counter.synAcks), holds)
    this.#disowned.see(counters.get(Counter.sessionsDisowned), holds)
    const [synAcks, disowned] = [this.#accepted.total, this.#disowned.total]
    const isSeen = this.#disowned.isGrowing && disowned * 2 > synAcks
    const [map] = maps
    const target = { address: map?.targetAddress ?? 0, port: map?.targetPort ?? 0 }
    if (isSeen) assistants.ask(target)
    this.#condition.update(isSeen ? true : undefined, now, () => {
      const lost: LostConnections = { synAcks, disowned, intercept: assistants.viewOf(target, now) }
      return { ...lost }
    })
  }
}
