/** Warns if a target answers some clients and others never, as when it has a route to some networks only. */
import type { CopyMap } from '../../core/selection/mapping.ts'
import { type ClientAnswers, unansweredNetworks } from '../../core/target/raw/client-networks.ts'
import type { MapReach } from '../../core/target/raw/reach.ts'
import { ALL_ANSWERED, SOME_UNANSWERED, type SomeUnanswered } from '../../doctor/symptoms.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import { Condition } from '../notices/condition.ts'
import type { Notices } from '../notices/notices.ts'
import { placesOf } from './map-warnings.ts'

/** Networks that a warning names. */
const NAMED_MAX = 4
/** Clients that are remembered since the last warning. */
const CLIENTS_MAX = 4096
/** Connections without an answer that a single client may have for another reason. */
const CONNECTIONS_LEAST = 3
/** Before a warning, clients are counted for so long. */
const PERIOD_MS = 60_000
/** Without another connection of an unanswered client for so long, it is over. */
const OVER_MS = 60_000

interface Client {
  connections: number
  isAnswered: boolean
}

export class ClientWarning {
  readonly #map: CopyMap
  readonly #reach: MapReach
  readonly #condition: Condition
  /** Those of which it is known whether they get answers, since the last warning. By address. */
  #clients = new Map<number, Client>()
  #since = 0

  constructor(map: CopyMap, reach: MapReach, notices: Notices) {
    this.#map = map
    this.#reach = reach
    this.#condition = new Condition(notices, {
      message: SOME_UNANSWERED,
      overMessage: ALL_ANSWERED,
      overAfterMs: OVER_MS
    })
  }

  /** Call it every few seconds. */
  check(now: number): void {
    let hasOverdue = false
    this.#reach.clients.drain((address, opened, isAnswered) => {
      hasOverdue ||= !isAnswered
      const client = this.#clients.get(address)
      if (client !== undefined) {
        client.connections += opened
        client.isAnswered ||= isAnswered
      } else if (this.#clients.size < CLIENTS_MAX) this.#clients.set(address, { connections: opened, isAnswered })
    })
    const summary = hasOverdue ? this.#sum() : undefined
    const isSeen = summary !== undefined && summary.unanswered >= CONNECTIONS_LEAST
    const isSaid = this.#condition.update(isSeen ? true : undefined, now, () => ({
      ...(summary ?? placesOf(this.#map))
    }))
    const isStale = !this.#condition.holds && now - this.#since >= PERIOD_MS
    if (!isSaid && !isStale && this.#clients.size < CLIENTS_MAX) return
    this.#clients = new Map()
    this.#since = now
  }

  /** Gives the IPv6 addresses. */
  eachAddress(take: (address: number) => void): void {
    for (const address of this.#clients.keys()) if (isIpv6(address)) take(address)
  }

  /** @returns undefined unless some are answered and others are not */
  #sum(): SomeUnanswered | undefined {
    const clients: ClientAnswers[] = [...this.#clients].map(([address, client]) => ({ address, ...client }))
    if (!clients.some(({ isAnswered }) => isAnswered)) return undefined
    const networks = unansweredNetworks(clients)
    const total = (of: readonly { readonly connections: number }[]): number =>
      of.reduce((sum, { connections }) => sum + connections, 0)
    const named = networks.slice(0, NAMED_MAX).map(({ network, connections }) => `${network} (${connections})`)
    const more = networks.length > NAMED_MAX ? [`${networks.length - NAMED_MAX} more`] : []
    return {
      ...placesOf(this.#map),
      connections: total(clients),
      unanswered: total(networks),
      networks: [...named, ...more]
    }
  }
}
