/**
 * Admission starts sessions: it decides how many copies of a connection there are, which copied identity each gets, and
 * for which earlier session it waits.
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
  /** When the SYN or the first bytes of the connection that starts were captured. */
  #capturedAt = 0

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

  /**
   * Starts the copies of a connection.
   * @param capturedAt when its SYN was captured; @returns None if at least one was started, otherwise why not
   */
  begin(
    segment: Segment,
    maps: readonly number[],
    previous: Session | undefined,
    capturedAt: number,
    now: number
  ): Drop {
    this.#capturedAt = capturedAt
    const count = this.#sampling.copies()
    const group = maps.length * count > 1 ? new CopyGroup(maps, count) : undefined
    const copies = previous === undefined ? [] : this.#tables.copiesOf(previous)
    const waitedFor: Session[] = []
    const begun: number[] = []
    let refusal: Drop = Drop.None
    for (const mapIndex of maps) {
      // Only the first copy to a target waits, for the earlier first copy there. Others have ports of their own.
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

  /** Starts the second and further copies to a target. */
  #addCopies(segment: Segment, mapIndex: number, count: number, group: CopyGroup | undefined, now: number): void {
    for (let copy = 1; copy < count; copy++) {
      const drop = this.#add(segment, mapIndex, copy, undefined, group, now)
      // If there is no slot or port for this copy, there is none for the next.
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

  /** Starts a session. @param before an earlier session with the same address and port, whose end it waits for */
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
    const session = new Session(
      slot,
      identity,
      sessionStartOf(segment, identity.isJoined, this.#capturedAt),
      this.#context,
      now
    )
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

  /** Ends a further copy that holds the port of the arriving client. It starts again on another port. */
  #displace({ fromAddress, fromPort }: Segment, mapIndex: number, now: number): void {
    const map = this.#mapping.maps[mapIndex]
    if (map === undefined) return
    const address = this.#mapping.clientAddress(fromAddress, map.targetAddress)
    const flow = this.#flow.set(address, fromPort, map.targetAddress, map.targetPort)
    const holder = this.#tables.slots.at(this.#tables.ports.holder(flow), now)
    if (holder === undefined) return
    // `at` may have woken it, so its deadline must be armed.
    if (holder.identity.copy === 0) {
      this.#lifecycle.settle(holder, now)
      return
    }
    this.#context.counters.add(Counter.copiesMoved, 1)
    this.#lifecycle.abort(holder, Drop.Displaced, now)
  }

  /** Starts copies again that ended before their connection did, at the connection's next payload. */
  restartCopies(group: CopyGroup, segment: Segment, now: number): void {
    const { counters } = this.#context
    this.#capturedAt = now
    for (let place = group.absent.pop(); place !== undefined; place = group.absent.pop()) {
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      const drop = this.#add(segment, group.mapAt(place), group.copyAt(place), undefined, group, now)
      if (drop === Drop.None) continue
      counters.add(Counter.copiesRefused, 1)
      counters.drop(drop, 1, segment.payloadLength)
    }
  }

  /**
   * A new connection with the same address and port has started: ends all copies of the old one that none waits for.
   */
  supersede(copies: (Session | undefined)[], waitedFor: readonly Session[], now: number): void {
    for (const session of copies) {
      if (session === undefined || waitedFor.includes(session) || session.hasEnded) continue
      session.supersede(undefined, now)
      this.#lifecycle.settle(session, now)
    }
  }
}
