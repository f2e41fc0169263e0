/** Warns of what goes wrong with the connections of one `-x`: once while the cause lasts. */
import { MapCount, type MapCounts } from '../../core/books/map-counts.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import { formatEndpoint } from '../../wire/address.ts'
import type { Notices } from '../notices/notices.ts'

/** Warning: sessions pause before they reconnect. */
export const CONNECTIONS_OF_NO_USE = 'the target ends connections without a useful answer; copying pauses'
/** Warning: connections use TLS and are not copied. */
export const TLS_LEFT_OUT = 'connections that use TLS are not copied'
/** Warning: requests were sent although the target had not answered. */
export const UNANSWERED = 'the target does not answer within --epoch-timeout'
/** Information: the last warning no longer applies. */
const ANSWERED_AGAIN = 'the target answers within --epoch-timeout again'
/** All messages about one `-x`. */
export const MAP_MESSAGES = [CONNECTIONS_OF_NO_USE, TLS_LEFT_OUT, UNANSWERED, ANSWERED_AGAIN]

/** The fields of these warnings. */
export interface MapWarning {
  readonly source: string
  readonly target: string
  /** How often, since the cause began. */
  readonly count: number
  /** Requests sent in the same time; only with `UNANSWERED`. */
  readonly requests?: number
}

/** Unanswered requests are counted for so long before the warning, which says how many there were. */
const COUNTED_MS = 10_000

interface Cause {
  readonly kind: MapCount
  readonly message: string
  readonly overMessage?: string
  /** How long after its first occurrence the warning follows. */
  readonly delayMs: number
  /** The cause is over after this time without another occurrence. */
  readonly overAfterMs: number
}

const CAUSES: readonly Cause[] = [
  // Pauses last up to 10 minutes.
  { kind: MapCount.Pauses, message: CONNECTIONS_OF_NO_USE, delayMs: 0, overAfterMs: 1_200_000 },
  { kind: MapCount.TlsLeftOut, message: TLS_LEFT_OUT, delayMs: 0, overAfterMs: Number.POSITIVE_INFINITY },
  {
    kind: MapCount.Unanswered,
    message: UNANSWERED,
    overMessage: ANSWERED_AGAIN,
    delayMs: COUNTED_MS,
    overAfterMs: 60_000
  }
]

/** One cause at one `-x`. */
class Watched {
  readonly #map: CopyMap
  readonly #index: number
  readonly #cause: Cause
  readonly #counts: MapCounts
  #seen = 0
  #seenAt = 0
  /** When the cause began; NaN: there is none. */
  #since = Number.NaN
  #isWarned = false
  /** Counts before the cause began. */
  #before = 0
  #requestsBefore = 0
  #requestsSeen = 0

  constructor(map: CopyMap, index: number, cause: Cause, counts: MapCounts) {
    this.#map = map
    this.#index = index
    this.#cause = cause
    this.#counts = counts
  }

  check(notices: Notices, now: number): void {
    const { delayMs, overAfterMs, message, overMessage } = this.#cause
    const total = this.#counts.get(this.#index, this.#cause.kind)
    const requests = this.#counts.get(this.#index, MapCount.Requests)
    if (total > this.#seen) {
      if (Number.isNaN(this.#since)) {
        this.#since = now
        this.#before = this.#seen
        this.#requestsBefore = this.#requestsSeen
      }
      this.#seen = total
      this.#seenAt = now
    }
    this.#requestsSeen = requests
    if (Number.isNaN(this.#since)) return
    if (!this.#isWarned && now - this.#since >= delayMs) {
      this.#isWarned = true
      notices.add('warn', message, { ...this.#fields() })
    } else if (this.#isWarned && now - this.#seenAt >= overAfterMs) {
      this.#isWarned = false
      this.#since = Number.NaN
      if (overMessage !== undefined) notices.add('info', overMessage, this.#places())
    }
  }

  #places(): { readonly source: string; readonly target: string } {
    const { sourceAddress, sourcePort, targetAddress, targetPort } = this.#map
    const source = sourceAddress === 0 ? `*:${sourcePort}` : formatEndpoint(sourceAddress, sourcePort)
    return { source, target: formatEndpoint(targetAddress, targetPort) }
  }

  #fields(): MapWarning {
    const fields = { ...this.#places(), count: this.#seen - this.#before }
    if (this.#cause.kind !== MapCount.Unanswered) return fields
    return { ...fields, requests: this.#requestsSeen - this.#requestsBefore }
  }
}

export class MapWarnings {
  readonly #watched: readonly Watched[]
  readonly #notices: Notices

  constructor(maps: readonly CopyMap[], counts: MapCounts, notices: Notices) {
    this.#watched = maps.flatMap((map, index) => CAUSES.map((cause) => new Watched(map, index, cause, counts)))
    this.#notices = notices
  }

  /** To be called once a second. */
  onTimer(now: number): void {
    for (const watched of this.#watched) watched.check(this.#notices, now)
  }
}
