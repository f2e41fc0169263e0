/** Warns of what goes wrong with the connections of one `-x`. */
import { MapCount, type MapCounts } from '../../core/books/map-counts.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import {
  ANSWERED_AGAIN,
  CONNECTIONS_OF_NO_USE,
  type MapWarning,
  PAUSES_OVER,
  TLS_LEFT_OUT,
  TLS_OVER,
  UNANSWERED
} from '../../doctor/symptoms.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { Condition, type ConditionTexts } from '../notices/condition.ts'
import { Growth } from '../notices/growth.ts'
import type { Notices } from '../notices/notices.ts'

interface Cause extends ConditionTexts {
  readonly kind: MapCount
}

const CAUSES: readonly Cause[] = [
  {
    kind: MapCount.Pauses,
    message: CONNECTIONS_OF_NO_USE,
    overMessage: PAUSES_OVER,
    // Pauses last up to 10 minutes.
    overAfterMs: 1_200_000
  },
  {
    kind: MapCount.TlsLeftOut,
    message: TLS_LEFT_OUT,
    overMessage: TLS_OVER,
    overAfterMs: 3_600_000
  },
  {
    kind: MapCount.Unanswered,
    message: UNANSWERED,
    overMessage: ANSWERED_AGAIN,
    // They are counted for so long before the warning, which says how many there were.
    afterMs: 10_000,
    overAfterMs: 60_000
  }
]

/** The source and the target of a `-x`, for messages. */
export function placesOf(map: CopyMap): { readonly source: string; readonly target: string } {
  const { sourceAddress, sourcePort, targetAddress, targetPort } = map
  const source = sourceAddress === 0 ? `*:${sourcePort}` : formatEndpoint(sourceAddress, sourcePort)
  return { source, target: formatEndpoint(targetAddress, targetPort) }
}

/** One cause at one `-x`. */
class Watched {
  readonly #map: CopyMap
  readonly #index: number
  readonly #kind: MapCount
  readonly #counts: MapCounts
  readonly #condition: Condition
  readonly #count = new Growth()
  readonly #requests = new Growth()

  constructor(map: CopyMap, index: number, cause: Cause, counts: MapCounts, notices: Notices) {
    this.#map = map
    this.#index = index
    this.#kind = cause.kind
    this.#counts = counts
    this.#condition = new Condition(notices, cause)
  }

  check(now: number): void {
    const { holds } = this.#condition
    this.#count.see(this.#counts.get(this.#index, this.#kind), holds)
    this.#requests.see(this.#counts.get(this.#index, MapCount.Requests), holds)
    this.#condition.update(this.#count.isGrowing ? true : undefined, now, () => ({ ...this.#fields() }))
  }

  #fields(): MapWarning {
    const fields = { ...placesOf(this.#map), count: this.#count.total }
    return this.#kind === MapCount.Unanswered ? { ...fields, requests: this.#requests.total } : fields
  }
}

export class MapWarnings {
  readonly #watched: readonly Watched[]

  constructor(maps: readonly CopyMap[], counts: MapCounts, notices: Notices) {
    this.#watched = maps.flatMap((map, index) => CAUSES.map((cause) => new Watched(map, index, cause, counts, notices)))
  }

  /** To be called once a second. */
  onTimer(now: number): void {
    for (const watched of this.#watched) watched.check(now)
  }
}
