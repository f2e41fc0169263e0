/** Counts for each `-x` whether the target is reached: connections without an answer, accepted, and refused. */
import { addressBytes } from '../../../wire/address.ts'
import { isIpv6 } from '../../../wire/address-book.ts'
import type { OwnAddresses } from '../../selection/own-addresses.ts'
import { ClientBooks } from './client-books.ts'

/** Counts of one `-x` since the start. They count connections, not packets. */
export class MapReach {
  accepted = 0
  /** Not accepted a second after they were opened. */
  overdue = 0
  /** Of the overdue ones, with a client address of the loopback device. */
  overdueLoopback = 0
  /** Of the overdue ones, with another client address of this host. */
  overdueOwn = 0
  /** Whose SYN the target refused with a reset, however often. */
  refused = 0
  /** Client address of the last overdue one; 0: there was none. */
  overdueClient = 0
  readonly clients = new ClientBooks()
}

export class Reach {
  readonly maps: readonly MapReach[]
  readonly #own: OwnAddresses | undefined

  /** @param maps number of `-x`; @param own the addresses of this host; undefined: unknown */
  constructor(maps: number, own?: OwnAddresses) {
    this.maps = Array.from({ length: maps }, () => new MapReach())
    this.#own = own
  }

  /** A connection is opened. @param client its address as the target sees it */
  opened(map: number, client: number): void {
    this.maps[map]?.clients.opened(client)
  }

  /** It was opened a second ago, and has no answer. */
  overdue(map: number, client: number): void {
    const reach = this.maps[map]
    if (reach === undefined) return
    reach.overdue += 1
    reach.overdueClient = client
    reach.clients.overdue(client)
    if (isLoopback(client)) reach.overdueLoopback += 1
    else if (this.#own?.has(client) === true) reach.overdueOwn += 1
  }

  accepted(map: number, client: number): void {
    const reach = this.maps[map]
    if (reach === undefined) return
    reach.accepted += 1
    reach.clients.answered(client)
  }

  refused(map: number): void {
    const reach = this.maps[map]
    if (reach !== undefined) reach.refused += 1
  }

  eachAddress(take: (address: number) => void): void {
    for (const { overdueClient, clients } of this.maps) {
      if (isIpv6(overdueClient)) take(overdueClient)
      clients.eachAddress(take)
    }
  }
}

function isLoopback(address: number): boolean {
  if (!isIpv6(address)) return address >>> 24 === 127
  return addressBytes(address).every((byte, index) => byte === (index === 15 ? 1 : 0))
}
