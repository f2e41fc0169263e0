/**
 * How sessions begin: how many copies of a connection there are, as whom each speaks, and for whose end it waits.
 */
import { Flow } from '../../wire/flow.ts'
import type { Segment } from '../../wire/segment.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { Mapping } from '../selection/mapping.ts'
import type { Sampling } from '../selection/sampling.ts'
import { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { sessionStartOf } from '../session/session-start.ts'
import { chooseIdentity } from '../target/copied-identity.ts'
import { CopyGroup } from './copy-group.ts'
import type { Lifecycle } from './lifecycle.ts'
import type { SessionTables } from './session-tables.ts'

export class Admission {
  readonly #context: SessionContext<never>
  readonly #tables: SessionTables
  readonly #mapping: Mapping
  readonly #sampling: Sampling
  readonly #sessionsMax: number
  readonly #lifecycle: Lifecycle
  readonly #flow = new Flow()

  constructor(
    context: SessionContext<never>,
    tables: SessionTables,
    mapping: Mapping,
    sampling: Sampling,
    sessionsMax: number,
    lifecycle: Lifecycle
  ) {
    this.#context = context
    this.#tables = tables
    this.#mapping = mapping
    this.#sampling = sampling
    this.#sessionsMax = sessionsMax
    this.#lifecycle = lifecycle
  }

  /** Begins the copies of a connection. @returns why there are none */
  begin(segment: Segment, maps: readonly number[], previous: Session | undefined, now: number): Drop {
    const count = this.#sampling.copies()
    const group = maps.length * count > 1 ? new CopyGroup(maps, count) : undefined
    const copies = previous === undefined ? [] : this.#tables.copiesOf(previous)
    const waitedFor: Session[] = []
    const begun: number[] = []
    let refusal: Drop = Drop.None
    for (const mapIndex of maps) {
      // Only the first copy to a target waits, for the first there: others speak with ports of their own.
      const before = copies.find((one) => one?.identity.copy === 0 && one.identity.mapIndex === mapIndex)
      const drop = this.#add(segment, mapIndex, 0, before, group, now)
      if (drop !== Drop.None) refusal = drop
      else begun.push(mapIndex)
      if (drop === Drop.None && before !== undefined) waitedFor.push(before)
    }
    if (begun.length === 0) return refusal
    this.#context.counters.add(Counter.capturedPayloadBytes, segment.payloadLength * (begun.length - 1))
    this.#refuseCopies((maps.length - begun.length) * count, refusal)
    this.supersede(copies, waitedFor, now)
    for (const mapIndex of begun) this.#addCopies(segment, mapIndex, count, group, now)
    return Drop.None
  }

  /** Begins the second, third … copy to a target. */
  #addCopies(segment: Segment, mapIndex: number, count: number, group: CopyGroup | undefined, now: number): void {
    for (let copy = 1; copy < count; copy++) {
      const drop = this.#add(segment, mapIndex, copy, undefined, group, now)
      // What this one did not find the next will not find either.
      if (drop !== Drop.None) {
        this.#refuseCopies(count - copy, drop)
        return
      }
      this.#context.counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
    }
  }

  #refuseCopies(count: number, drop: Drop): void {
    this.#context.counters.add(Counter.copiesRefused, count)
    this.#context.counters.drop(drop, count, 0)
  }

  /** Begins a session. @param before a session with its address and port, for whose end it waits */
  #add(
    segment: Segment,
    mapIndex: number,
    copy: number,
    before: Session | undefined,
    group: CopyGroup | undefined,
    now: number
  ): Drop {
    const { counters } = this.#context
    if (this.#tables.slots.count >= this.#sessionsMax) return Drop.TableFull
    const mapping = this.#mapping
    if (copy === 0 && before === undefined) this.#displace(segment, mapIndex, now)
    const identity = chooseIdentity(segment, mapIndex, copy, before?.identity.clientPort, mapping, this.#tables.ports)
    if (identity === undefined) return Drop.NoFreePort
    const slot = this.#tables.slots.take()
    const session = new Session(slot, identity, sessionStartOf(segment, identity.isJoined), this.#context, now)
    this.#tables.slots.set(session)
    this.#tables.groups[slot] = group
    if (group?.first === undefined) {
      this.#tables.setFlow(segment, slot)
    }
    group?.add(session)
    counters.add(Counter.sessionsStarted, 1)
    if (identity.isJoined) counters.add(Counter.sessionsJoined, 1)
    if (copy > 0) counters.add(Counter.copiesStarted, 1)
    if (before === undefined) {
      this.#tables.ports.take(identity, slot)
      session.allowStart(now, now)
    } else {
      counters.add(Counter.sessionsWaited, 1)
      before.supersede(session, now)
      this.#lifecycle.settle(before, now)
    }
    if (segment.payloadLength > 0) session.onSource(segment, now)
    this.#lifecycle.settle(session, now)
    return Drop.None
  }

  /** A copy beyond the first that has the port of a client who comes now: it ends, and begins again elsewhere. */
  #displace({ fromAddress, fromPort }: Segment, mapIndex: number, now: number): void {
    const map = this.#mapping.maps[mapIndex]
    if (map === undefined) return
    const address = this.#mapping.clientAddress(fromAddress, map.targetAddress)
    const flow = this.#flow.set(address, fromPort, map.targetAddress, map.targetPort)
    const holder = this.#tables.slots.at(this.#tables.ports.holder(flow), now)
    if (holder === undefined) return
    // It may have been woken for this.
    if (holder.identity.copy === 0) {
      this.#lifecycle.settle(holder, now)
      return
    }
    this.#context.counters.add(Counter.copiesMoved, 1)
    this.#lifecycle.abort(holder, Drop.Displaced, now)
  }

  /** Copies that ended before their connection did begin again at its next payload. */
  beginAgain(group: CopyGroup, segment: Segment, now: number): void {
    const { counters } = this.#context
    for (let place = group.absent.pop(); place !== undefined; place = group.absent.pop()) {
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = this.#add(segment, group.mapAt(place), group.copyAt(place), undefined, group, now)
      if (drop === Drop.None) continue
      counters.add(Counter.copiesRefused, 1)
      counters.drop(drop, 1, segment.payloadLength)
    }
  }

  /** Another connection has begun with the same address and port: all copies but those waited for are to end. */
  supersede(copies: (Session | undefined)[], waitedFor: readonly Session[], now: number): void {
    for (const session of copies) {
      if (session === undefined || waitedFor.includes(session) || session.hasEnded) continue
      session.supersede(undefined, now)
      this.#lifecycle.settle(session, now)
    }
  }
}
