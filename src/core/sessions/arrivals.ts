/**
 * Decides what becomes of a captured segment that belongs to no session: whether a connection begins with it, waits for
 * its client's acknowledgment or for its SYN, is joined, or is left alone.
 */
import { ACK, FIN, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add, distance, seq } from '../../wire/seq.ts'
import { EarlyPackets } from '../admission/early-packets.ts'
import type { JoinRule } from '../admission/join-rule.ts'
import { PendingSyns, REACH } from '../admission/pending-syns.ts'
import type { UncopiedRequests } from '../admission/uncopied-requests.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { MapCount } from '../books/map-counts.ts'
import type { Mapping } from '../selection/mapping.ts'
import type { Sampling } from '../selection/sampling.ts'
import { SourceState } from '../selection/source-sockets.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { isTls } from '../session/tls-start.ts'
import type { Admission } from './admission.ts'
import { ignoredIdOf } from './flow-entries.ts'
import type { IgnoredFlows } from './ignored-flows.ts'
import type { SessionTables } from './session-tables.ts'

const NEVER = Number.POSITIVE_INFINITY

/** The parts of `Sessions` that it needs. */
export interface ArrivalParts {
  readonly tables: SessionTables
  readonly mapping: Mapping
  readonly sampling: Sampling
  readonly admission: Admission
  readonly ignoredFlows: IgnoredFlows
  readonly joins: JoinRule
  readonly uncopied: UncopiedRequests
}

export class Arrivals {
  readonly early = new EarlyPackets()
  readonly #pendingSyns = new PendingSyns()
  readonly #context: SessionContext<never>
  readonly #parts: ArrivalParts

  constructor(context: SessionContext<never>, parts: ArrivalParts) {
    this.#context = context
    this.#parts = parts
  }

  get hasPending(): boolean {
    return this.#pendingSyns.size > 0
  }

  /** Passes every address that is in use to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.early.eachAddress(take)
    this.#pendingSyns.eachAddress(take)
    this.#parts.joins.eachAddress(take)
  }

  /** Forgets up to `most` of what has expired. */
  expire(now: number, most: number): void {
    this.#pendingSyns.expire(now, most)
  }

  /** Holds a SYN until its client's next packet shows that the source accepted it. */
  hold(segment: Segment, now: number): Drop {
    this.#pendingSyns.hold(segment, now)
    return Drop.SynHeld
  }

  /**
   * Starts the connection of a pending SYN if this segment shows that the source accepted it.
   * @param found the entry of its flow; @param previous the session of its flow
   */
  beginPending(segment: Segment, found: number, previous: Session | undefined, now: number): void {
    const pending = this.#pendingSyns
    if (segment.flags & RST && previous === undefined) pending.forget(segment)
    const bytes = pending.bytesFor(segment, previous?.client.endSequence, now)
    if (bytes < 0) return
    if (previous === undefined ? !this.#isAccepted(segment, now) : this.#goesOn(segment, bytes, previous, now)) return
    const syn = pending.take(segment)
    const maps = this.#parts.mapping.find(syn.toAddress, syn.toPort)
    let refusal = maps.length === 0 ? Drop.NotMapped : this.#known(syn, found, now)
    if (refusal === Drop.None) refusal = this.#begin(syn, maps, previous, pending.takenAt, now)
    if (refusal !== Drop.None) this.#context.counters.drop(refusal, 1, 0)
  }

  /**
   * Whether the source has accepted a pending connection. While few are half-open, its session finds out. While many are,
   * the kernel must say so, or the acknowledgments of a flood would open connections to the target.
   */
  #isAccepted(segment: Segment, now: number): boolean {
    const { halfOpen } = this.#context
    if (halfOpen.hasRoomFor(1)) return true
    const state = halfOpen.source.handshakeFor(segment, segment.payloadLength > 0, now)
    return state === SourceState.Connected || state === SourceState.Unknown
  }

  /**
   * Whether a connection goes on although a SYN is pending on its flow: then a stranger has sent both. The source has
   * received about as much as the client has sent on it, and not the `bytes` of the pending connection.
   */
  #goesOn(segment: Segment, bytes: number, { client, identity, isClientDone }: Session, now: number): boolean {
    if (isClientDone || identity.isJoined) return false
    const { source } = this.#context.halfOpen
    const state = source.stateFor(segment, now)
    if (state !== SourceState.Connected) return state === SourceState.Later
    const received = seq(source.receivedBytes)
    return Math.abs(distance(received, client.stream.end)) < Math.abs(distance(received, seq(bytes)))
  }

  /**
   * Takes a segment without a session, or a SYN that starts a new connection after `previous`.
   * @param found the entry of its flow, or −1
   */
  take(segment: Segment, found: number, previous: Session | undefined, now: number): Drop {
    const isSyn = (segment.flags & SYN) !== 0
    const known = this.#known(segment, found, now)
    if (known !== Drop.None) return known
    if (!isSyn && (segment.payloadLength === 0 || segment.flags & RST)) return Drop.NoSession
    const maps = this.#parts.mapping.find(segment.toAddress, segment.toPort)
    if (maps.length === 0) return Drop.NotMapped
    const loop = this.#context.loops?.refusal(segment, now)
    if (loop !== undefined) return this.#refuse(segment, loop, previous, now)
    if (isSyn && this.#mustWait(segment, maps.length)) return this.hold(segment, now)
    const isJoined = !isSyn && !isTls(segment) && !this.#parts.sampling.isOnlyNew
    const mayJoin = (): boolean => this.#mayJoin(segment, maps[0] ?? 0, now)
    if (isJoined && !this.#parts.joins.begins(segment, now, mayJoin)) return Drop.NotJoined
    return this.#begin(segment, maps, previous, now, now)
  }

  /** Keeps a packet whose SYN may still come. @returns false if that is not to be expected */
  keep(segment: Segment, found: number, now: number): boolean {
    const { early } = this
    if (segment.flags & (SYN | RST | FIN) || (segment.flags & ACK) === 0 || found >= 0) return false
    if (!early.has(segment)) {
      if (this.#parts.joins.knows(segment)) return false
      if (this.#parts.mapping.find(segment.toAddress, segment.toPort).length === 0) return false
    }
    if (!early.keep(segment, now)) return false
    this.#context.counters.add(Counter.pendingBytes, segment.payloadLength)
    return true
  }

  /** Removes the early packets of the connection that a SYN begins, in the order of their capture. */
  takeOvertaken(syn: Segment): readonly Segment[] {
    const all = this.#takeEarly(syn)
    const own = all.filter((one) => isWithin(one, syn))
    // The others are of an earlier connection.
    for (const one of all) if (!own.includes(one)) this.#dropEarly(one)
    return own
  }

  /**
   * Removes the early packets of a flow that has waited long enough for its SYN, in the order of the client's stream.
   * The connection begins with them if the source has received nothing else.
   */
  takeExpired(now: number): readonly Segment[] {
    const first = this.early.expired(now)
    return first === undefined ? [] : this.takeKept(first, now)
  }

  /** The same for the flow of a segment, which need not wait longer. */
  takeKept(first: Segment, now: number): readonly Segment[] {
    const segments = this.#takeEarly(first).sort((a, b) => distance(a.seq, first.seq) - distance(b.seq, first.seq))
    const [least, last] = [segments[0] ?? first, segments.at(-1) ?? first]
    const span = distance(last.seq, least.seq) + last.payloadLength
    const { source } = this.#context.halfOpen
    const isConnected = span > 0 && source.stateFor(least, now) === SourceState.Connected
    if (isConnected && source.receivedBytes <= span) this.#parts.joins.allow(least, now)
    return segments
  }

  #takeEarly(segment: Segment): Segment[] {
    const segments = this.early.take(segment)
    for (const { payloadLength } of segments) this.#context.counters.add(Counter.pendingBytes, -payloadLength)
    return segments
  }

  /** Counts a connection that is left out because it uses TLS. */
  refuseTls({ toAddress, toPort }: Segment): Drop {
    const { counters, mapCounts } = this.#context
    counters.add(Counter.tlsLeftOut, 1)
    for (const map of this.#parts.mapping.find(toAddress, toPort)) mapCounts.add(map, MapCount.TlsLeftOut)
    return Drop.Tls
  }

  /** Drops all early packets. */
  dropEarly(): void {
    const { early } = this
    for (let first = early.expired(NEVER); first !== undefined; first = early.expired(NEVER)) {
      for (const one of this.#takeEarly(first)) this.#dropEarly(one)
    }
  }

  #dropEarly(segment: Segment): void {
    const { counters, pool } = this.#context
    counters.drop(Drop.NotJoined, 1, segment.payloadLength)
    if (segment.payloadLength > 0) this.#parts.uncopied.take(segment, Drop.NotJoined, pool.now)
  }

  /** What is known of the flow of a segment. @returns why the segment is dropped, or None */
  #known(segment: Segment, found: number, now: number): Drop {
    const ignored = ignoredIdOf(found)
    if (ignored >= 0) return this.#parts.ignoredFlows.take(ignored, segment, now)
    return (segment.flags & SYN) === 0 && found >= 0 ? Drop.AfterEnd : Drop.None
  }

  /** A SYN waits for its client while many are half-open, or if no acknowledgment of it will be captured. */
  #mustWait(segment: Segment, maps: number): boolean {
    const { settings, halfOpen } = this.#context
    if (settings.isWithoutAcks && segment.payloadLength === 0) return true
    return !halfOpen.hasRoomFor(maps * this.#parts.sampling.copiesMax)
  }

  /** Whether connections such as this segment's are joined: the client speaks first, and the source has it. */
  #mayJoin(segment: Segment, map: number, now: number): boolean {
    const { firstSpeaker, halfOpen } = this.#context
    if (firstSpeaker.isServer(map, segment.toPort)) return false
    const state = halfOpen.source.stateFor(segment, now)
    return state === SourceState.Connected || state === SourceState.Unknown
  }

  /** @param capturedAt when its first packet was captured */
  #begin(
    segment: Segment,
    maps: readonly number[],
    previous: Session | undefined,
    capturedAt: number,
    now: number
  ): Drop {
    const { sampling, admission } = this.#parts
    let refusal = sampling.refusal((segment.flags & SYN) !== 0, now)
    if (refusal !== Drop.None) this.#context.counters.add(Counter.flowsLeftOut, 1)
    else if (isTls(segment)) refusal = this.refuseTls(segment)
    else refusal = admission.begin(segment, maps, previous, capturedAt, now)
    return refusal === Drop.None ? refusal : this.#refuse(segment, refusal, previous, now)
  }

  /** Leaves a connection out, and ends the copies of the one before it. @returns why */
  #refuse(segment: Segment, reason: Drop, previous: Session | undefined, now: number): Drop {
    const { admission, tables, ignoredFlows } = this.#parts
    ignoredFlows.add(segment, segment.seq, reason, now)
    if (previous !== undefined) admission.supersede(tables.copiesOf(previous), [], now)
    return reason
  }
}

/** Whether a segment may be of the connection that a SYN begins. */
function isWithin(segment: Segment, syn: Segment): boolean {
  const into = distance(segment.seq, add(syn.seq, 1))
  return into >= 0 && into <= REACH
}
