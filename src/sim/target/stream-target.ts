/**
 * A second target side, in memory: an ordinary byte stream without sequence numbers, windows or packets. Drills and
 * simulation run on it, which shows that sessions need nothing else.
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

/** What a target reports on a connection. */
export type StreamNews =
  | { readonly kind: 'accepted' | 'refused' | 'closed' }
  | { readonly kind: 'reset' }
  /** The target has read up to this offset; a half-close counts as one byte. */
  | { readonly kind: 'read'; readonly upTo: Seq }
  | { readonly kind: 'bytes'; readonly length: number; readonly isPushed: boolean }

/** An answer to the session in a slot. */
export type StreamAnswer = { readonly slot: number } & StreamNews

interface Step<Kind extends string> {
  readonly kind: Kind
  readonly slot: number
  /** Position in the stream. */
  readonly offset: Seq
  /** Time of the event. */
  readonly at: number
}

/** The client that a connection is opened for. */
interface StreamClient {
  readonly identity: CopiedIdentity
  /** The client's sequence number at offset 0. It only identifies the client to the simulation. */
  readonly base: Seq
}

/** What a session does with its connection. */
export type StreamEvent =
  | (Step<'open'> & StreamClient)
  | Step<'half-close'>
  | Step<'reset'>
  | (Step<'bytes'> & { readonly bytes: Uint8Array })

export interface StreamOptions {
  /** Most bytes sent and not yet read. Further bytes wait. */
  readonly unreadMax: number
  /** Time after which a refused connection is tried again; Infinity: never, the target may still accept it. */
  readonly retryMs: number
}

/** Shared by all connections of a hub. */
interface StreamContext {
  readonly options: StreamOptions
  readonly events: StreamEvent[]
}

export class StreamTarget implements TargetSide {
  state: TargetState = TargetState.Waiting
  end: TargetEnd = TargetEnd.Silent
  start: Seq = seq(0)
  sentEnd: Seq = seq(0)
  acknowledgedEnd: Seq = seq(0)
  progressAt: number
  deadline = NEVER
  /** See `AnswerRhythm`. */
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
  /** See `StreamClient`. */
  base: Seq
  readonly #slot: number
  readonly #identity: CopiedIdentity
  readonly #context: StreamContext
  readonly #roundTrip = new RoundTrip()
  #isHalfClosed = false
  /** The client has completed its handshake with the source. No bytes are sent before. */
  #isClientConnected = false
  #askedAt = 0
  /** When a refused connection is tried again. */
  #retryAt = NEVER

  constructor(slot: number, { identity, base }: StreamClient, context: StreamContext, now: number) {
    this.#slot = slot
    this.#identity = identity
    this.base = base
    this.#context = context
    this.progressAt = now
  }

  get isFresh(): boolean {
    return this.sentEnd === this.start
  }

  get roundTripMs(): number {
    return this.#roundTrip.smoothedMs
  }

  get isQuiescent(): boolean {
    return this.state === TargetState.Open && this.#isClientConnected && !this.rhythm.isClosed
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
    this.#connect(now)
  }

  #connect(now: number): void {
    const { base } = this
    const [slot, identity] = [this.#slot, this.#identity]
    this.#context.events.push({ kind: 'open', slot, offset: this.start, at: now, identity, base })
  }

  clientConnected(): void {
    this.#isClientConnected = true
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
        this.end = TargetEnd.Reset
        return Drop.None
      default:
        return Drop.AnswerUnacceptable
    }
    this.progressAt = now
    return Drop.None
  }

  #takeOpening(answer: StreamAnswer, now: number): Drop {
    if (answer.kind === 'refused') {
      this.end = TargetEnd.Refused
      this.#retryAt = now + this.#context.options.retryMs
    }
    if (answer.kind !== 'accepted') return answer.kind === 'refused' ? Drop.None : Drop.AnswerUnacceptable
    this.state = TargetState.Open
    this.end = TargetEnd.None
    this.progressAt = now
    this.#askedAt = now
    this.#roundTrip.acknowledged(add(this.start, 1), now)
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

  prepare(): boolean {
    return this.#isClientConnected
  }

  resend(): boolean {
    return true
  }

  send(queue: SendQueue, upTo: Seq, most: number, now: number): boolean {
    const { pool } = queue
    const room = this.#context.options.unreadMax - distance(this.sentEnd, this.acknowledgedEnd)
    if (room <= 0 || !isBefore(this.sentEnd, upTo)) return false
    let piece = queue.head
    while (piece !== NONE && !isBefore(this.sentEnd, pool.end(piece))) piece = pool.next(piece)
    assert.notEqual(piece, NONE, 'bytes that were not sent are not in the queue')
    const from = distance(this.sentEnd, pool.offset(piece))
    const length = Math.min(pool.length(piece) - from, distance(upTo, this.sentEnd), most, room)
    const at = pool.at(piece) + from
    const bytes = pool.memory.slice(at, at + length)
    this.#askedAt = now
    this.#context.events.push({ kind: 'bytes', slot: this.#slot, offset: this.sentEnd, bytes, at: now })
    this.sentEnd = add(this.sentEnd, length)
    this.#roundTrip.start(this.sentEnd, now)
    return true
  }

  halfClose(_ipId: number, now: number): void {
    this.#context.events.push({ kind: 'half-close', slot: this.#slot, offset: this.sentEnd, at: now })
    this.#isHalfClosed = true
    this.sentEnd = add(this.sentEnd, 1)
  }

  hasten(): void {}

  acknowledge(): void {}

  finish(): void {
    this.state = TargetState.Ended
  }

  reset(now: number): void {
    this.#context.events.push({ kind: 'reset', slot: this.#slot, offset: this.sentEnd, at: now })
    this.state = TargetState.Ended
  }

  abandon(now: number): void {
    if (this.state === TargetState.Opening || this.state === TargetState.Open) this.reset(now)
  }

  plan(): void {
    this.deadline = this.state === TargetState.Opening ? this.#retryAt : NEVER
  }

  onTimer(_queue: SendQueue, now: number): void {
    if (this.state !== TargetState.Opening || now < this.#retryAt) return
    this.#retryAt = NEVER
    this.#connect(now)
  }

  save(snapshot: Snapshot): void {
    this.state = TargetState.Open
    this.end = TargetEnd.None
    this.#isClientConnected = true
    this.base = snapshot.seq(this.base)
    this.start = snapshot.seq(this.start)
    this.sentEnd = snapshot.seq(this.sentEnd)
    this.acknowledgedEnd = this.sentEnd
    this.progressAt = snapshot.number(this.progressAt)
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
  /** Events of sessions, in order. The reader removes them. */
  readonly events: StreamEvent[] = []
  /** Finds the slot of an address and port. */
  readonly ports: PortsPool
  readonly #context: StreamContext
  readonly #targets = new Map<number, StreamTarget>()

  constructor(ports: PortsPool, options: StreamOptions) {
    this.ports = ports
    this.#context = { options, events: this.events }
  }

  create(slot: number, identity: CopiedIdentity, { base }: ConnectionStart, now: number): StreamTarget {
    const target = new StreamTarget(slot, { identity, base }, this.#context, now)
    this.#targets.set(slot, target)
    return target
  }

  reconnect(slot: number, identity: CopiedIdentity, clientRttMs: number, now: number): StreamTarget {
    const base = this.#targets.get(slot)?.base
    assert.ok(base !== undefined, `slot ${slot} had no connection`)
    return this.create(slot, identity, { base, tsVal: seq(0), windowBytes: 0, clientRttMs }, now)
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
