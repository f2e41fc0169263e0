/**
 * A second target side, in memory: an ordinary byte stream, without sequence numbers, windows or packets. It shows that
 * sessions need nothing else: what drills say of bytes, order, gating, ends and reconnects holds on it as well.
 */
import assert from 'node:assert/strict'
import { Drop } from '../../core/books/drop.ts'
import { NONE } from '../../core/memory/send-pool.ts'
import type { SendQueue } from '../../core/memory/send-queue.ts'
import type { Snapshot } from '../../core/memory/snapshot.ts'
import type { PortsPool } from '../../core/selection/ports-pool.ts'
import type { CopiedIdentity } from '../../core/target/copied-identity.ts'
import type { ConnectionStart, TargetHub } from '../../core/target/target-hub.ts'
import { TargetEnd, type TargetSide, TargetState } from '../../core/target/target-side.ts'
import { RoundTrip } from '../../core/tcp/round-trip.ts'
import { add, distance, isBefore, type Seq, seq } from '../../wire/seq.ts'

const NEVER = Number.POSITIVE_INFINITY
/** As long as our TCP waits for the client to complete its handshake, where nothing is known of its round trip. */
const CLIENT_PATIENCE_MS = 900
/** A connection that is reset so soon after it was opened is one that the target does not know. */
const UNKNOWN_WITHIN_MS = 3000

/** What comes from the target of a slot. */
export type StreamAnswer = { readonly slot: number } & (
  | { readonly kind: 'accepted' | 'refused' | 'closed' }
  | { readonly kind: 'reset'; readonly isUnknown: boolean }
  /** The target has read up to this offset; a half-close counts as one byte. */
  | { readonly kind: 'read'; readonly upTo: Seq }
  | { readonly kind: 'bytes'; readonly length: number; readonly isPushed: boolean }
)

interface Step<Kind extends string> {
  readonly kind: Kind
  readonly slot: number
  /** Where in the stream. */
  readonly offset: Seq
  /** When. */
  readonly at: number
}

/** What a session did to its connection. */
export type StreamEvent =
  | Step<'open'>
  | Step<'half-close'>
  | Step<'reset'>
  | (Step<'bytes'> & { readonly bytes: Uint8Array })

export class StreamTarget implements TargetSide {
  state: TargetState = TargetState.Waiting
  end: TargetEnd = TargetEnd.Silent
  start: Seq = seq(0)
  sentEnd: Seq = seq(0)
  acknowledgedEnd: Seq = seq(0)
  progressAt: number
  deadline = NEVER
  /** As `AnswerRhythm` has them. */
  readonly rhythm = {
    receivedBytes: 0,
    isPushed: false,
    isClosed: false,
    arrivedAt: Number.NaN,
    quietSince: 0,
    waitMs: 0,
    pauseMs: 0
  }
  readonly segmentMax = 1460
  readonly #slot: number
  readonly #events: StreamEvent[]
  readonly #roundTrip = new RoundTrip()
  #isHalfClosed = false
  /** When bytes may go although the client has not completed its handshake. */
  #readyAt: number
  #openedAt = NEVER
  #askedAt = 0

  /** @param isEager bytes go before the client has completed its handshake */
  constructor(slot: number, isEager: boolean, events: StreamEvent[], now: number) {
    this.#slot = slot
    this.#events = events
    this.progressAt = now
    this.#readyAt = isEager ? now : NEVER
  }

  get isFresh(): boolean {
    return this.sentEnd === this.start
  }

  get roundTripMs(): number {
    return this.#roundTrip.smoothedMs
  }

  get isQuiescent(): boolean {
    return this.state === TargetState.Open && this.#readyAt === 0 && !this.rhythm.isClosed
  }

  get isClosed(): boolean {
    return this.#isHalfClosed && this.acknowledgedEnd === this.sentEnd && this.rhythm.isClosed
  }

  get waitsFor(): string {
    return this.state === TargetState.Open ? 'the target to read' : 'the target to accept'
  }

  open(start: Seq, now: number): void {
    this.state = TargetState.Opening
    this.start = start
    this.sentEnd = start
    this.acknowledgedEnd = start
    this.progressAt = now
    this.#roundTrip.start(add(start, 1), now)
    this.#events.push({ kind: 'open', slot: this.#slot, offset: start, at: now })
  }

  clientConnected(_rttMs: number, now: number): void {
    if (this.#readyAt > 0) this.#readyAt = now
  }

  clientWindow(): void {}

  clientFlight(): void {}

  take(answer: StreamAnswer, now: number): Drop {
    if (this.state === TargetState.Opening) return this.#takeOpening(answer, now)
    if (this.state !== TargetState.Open) return Drop.AnswerUnacceptable
    const { rhythm } = this
    switch (answer.kind) {
      case 'read':
        if (!isBefore(this.acknowledgedEnd, answer.upTo)) return Drop.None
        this.acknowledgedEnd = answer.upTo
        this.#roundTrip.acknowledged(answer.upTo, now)
        break
      case 'bytes':
        this.#takeBytes(answer.length, now)
        rhythm.isPushed = answer.isPushed
        break
      case 'closed':
        rhythm.receivedBytes += 1
        rhythm.isClosed = true
        break
      case 'reset':
        this.state = TargetState.Ended
        this.end =
          answer.isUnknown && now - this.#openedAt <= UNKNOWN_WITHIN_MS ? TargetEnd.UnknownThere : TargetEnd.Reset
        return Drop.None
      default:
        return Drop.AnswerUnacceptable
    }
    this.progressAt = now
    return Drop.None
  }

  #takeOpening(answer: StreamAnswer, now: number): Drop {
    if (answer.kind === 'refused') this.end = TargetEnd.Refused
    if (answer.kind !== 'accepted') return answer.kind === 'refused' ? Drop.None : Drop.AnswerUnacceptable
    this.state = TargetState.Open
    this.end = TargetEnd.None
    this.progressAt = now
    this.#openedAt = now
    this.#askedAt = now
    this.#roundTrip.acknowledged(add(this.start, 1), now)
    if (this.#readyAt === NEVER) this.#readyAt = now + CLIENT_PATIENCE_MS
    return Drop.None
  }

  #takeBytes(length: number, now: number): void {
    const { rhythm } = this
    rhythm.receivedBytes += length
    rhythm.arrivedAt = now
    if (rhythm.quietSince <= this.#askedAt) {
      rhythm.waitMs = now - this.#askedAt
      rhythm.pauseMs = 0
    } else rhythm.pauseMs = Math.max(rhythm.pauseMs, now - rhythm.quietSince)
    rhythm.quietSince = now
  }

  prepare(now: number): boolean {
    if (now < this.#readyAt) return false
    this.#readyAt = 0
    return true
  }

  resend(): boolean {
    return true
  }

  send(queue: SendQueue, upTo: Seq, most: number, now: number): boolean {
    const { pool } = queue
    if (!isBefore(this.sentEnd, upTo)) return false
    let piece = queue.head
    while (piece !== NONE && !isBefore(this.sentEnd, pool.end(piece))) piece = pool.next(piece)
    assert.notEqual(piece, NONE, 'bytes that were not sent are not in the queue')
    const from = distance(this.sentEnd, pool.offset(piece))
    const length = Math.min(pool.length(piece) - from, distance(upTo, this.sentEnd), most)
    const at = pool.at(piece) + from
    const bytes = pool.memory.slice(at, at + length)
    this.#askedAt = now
    this.#events.push({ kind: 'bytes', slot: this.#slot, offset: this.sentEnd, bytes, at: now })
    this.sentEnd = add(this.sentEnd, length)
    this.#roundTrip.start(this.sentEnd, now)
    return true
  }

  halfClose(_ipId: number, now: number): void {
    this.#events.push({ kind: 'half-close', slot: this.#slot, offset: this.sentEnd, at: now })
    this.#isHalfClosed = true
    this.sentEnd = add(this.sentEnd, 1)
  }

  hasten(): void {}

  acknowledge(): void {}

  finish(): void {
    this.state = TargetState.Ended
  }

  reset(now: number): void {
    this.#events.push({ kind: 'reset', slot: this.#slot, offset: this.sentEnd, at: now })
    this.state = TargetState.Ended
  }

  abandon(now: number): void {
    if (this.state === TargetState.Opening || this.state === TargetState.Open) this.reset(now)
  }

  plan(): void {
    this.deadline = this.state === TargetState.Open && this.#readyAt > 0 ? this.#readyAt : NEVER
  }

  onTimer(): void {}

  save(snapshot: Snapshot): void {
    this.state = TargetState.Open
    this.end = TargetEnd.None
    this.#readyAt = 0
    this.start = snapshot.seq(this.start)
    this.sentEnd = snapshot.seq(this.sentEnd)
    this.acknowledgedEnd = this.sentEnd
    this.progressAt = snapshot.number(this.progressAt)
    this.#openedAt = snapshot.number(this.#openedAt)
    this.#askedAt = snapshot.number(this.#askedAt)
    this.#roundTrip.save(snapshot)
    const { rhythm } = this
    rhythm.receivedBytes = snapshot.number(rhythm.receivedBytes)
    rhythm.isPushed = snapshot.flag(rhythm.isPushed)
    rhythm.quietSince = snapshot.number(rhythm.quietSince)
    rhythm.waitMs = snapshot.number(rhythm.waitMs)
    rhythm.pauseMs = snapshot.number(rhythm.pauseMs)
  }
}

export class StreamHub implements TargetHub<StreamAnswer> {
  /** What sessions did, in order; whoever reads one takes it out. */
  readonly events: StreamEvent[] = []
  /** Which slot speaks as whom. */
  readonly ports: PortsPool
  readonly #isEager: boolean
  readonly #targets = new Map<number, StreamTarget>()

  /** @param isEager see `StreamTarget` */
  constructor(ports: PortsPool, isEager: boolean) {
    this.ports = ports
    this.#isEager = isEager
  }

  create(slot: number, identity: CopiedIdentity, { clientRttMs }: ConnectionStart, now: number): StreamTarget {
    const isEager = this.#isEager || identity.isJoined || clientRttMs > 0
    const target = new StreamTarget(slot, isEager, this.events, now)
    this.#targets.set(slot, target)
    return target
  }

  reconnect(slot: number, identity: CopiedIdentity, clientRttMs: number, now: number): StreamTarget {
    return this.create(slot, identity, { base: seq(0), tsVal: seq(0), windowBytes: 0, clientRttMs }, now)
  }

  slotOf({ slot }: StreamAnswer): number {
    return slot
  }

  take(slot: number, answer: StreamAnswer, _queue: SendQueue, now: number): Drop {
    return this.#targets.get(slot)?.take(answer, now) ?? Drop.AnswerNoSession
  }

  takeLate(): boolean {
    return false
  }

  release(): void {}

  leave(slot: number): void {
    this.#targets.delete(slot)
  }

  eachAddress(): void {}
}
