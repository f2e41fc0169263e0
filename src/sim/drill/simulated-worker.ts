/**
 * A simulated worker runs all sessions of one worker on a fake clock, with real bytes in and out, for drills and simple
 * simulations. Packets pass the same checks as in the copier.
 */
import assert from 'node:assert/strict'
import { AnswerBatch } from '../../core/assistant/answer-batch.ts'
import { Counter, Counters } from '../../core/books/counters.ts'
import type { Drop } from '../../core/books/drop.ts'
import { RequestCount } from '../../core/books/request-books.ts'
import { POOL_PAGE, type SendPool } from '../../core/memory/send-pool.ts'
import type { Outbox } from '../../core/packets/outbox.ts'
import type { AddressRange, CopyMap } from '../../core/selection/mapping.ts'
import { ALL_FLOWS, type Selection } from '../../core/selection/sampling.ts'
import { SELECTION_DEFAULTS } from '../../core/selection/settings.ts'
import type { SourceSockets } from '../../core/selection/source-sockets.ts'
import type { WorkerShare } from '../../core/selection/worker-share.ts'
import { SESSION_DEFAULTS, type SessionSettings } from '../../core/session/settings.ts'
import { assembleCopy, type Copy, type CopySettings, copyMemoryLength } from '../../core/sessions/assembly.ts'
import type { Sessions } from '../../core/sessions/sessions.ts'
import type { Route } from '../../core/target/raw/route-events.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import {
  AnswerRecord,
  ageMs,
  fillAnswer,
  fillFromRecord,
  isOrdinary,
  parseAnswerRecord,
  parseHeaderRecord
} from '../../wire/channel/answer-records.ts'
import { HEADER_LENGTH, parseRecord, putHeader, putHeader6 } from '../../wire/channel/channel-v1.ts'
import { RecordType, recordType } from '../../wire/channel/channel-v2.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { Segment, verifyChecksum } from '../../wire/segment.ts'
import { packetsOf } from '../network/segmentation.ts'

/** All settings of sessions by their own names, except those of the gate. `roundTripMs` is 0 unless a drill gives one. */
export interface SimulatedWorkerOptions extends Omit<SessionSettings, 'gate'> {
  readonly maps: readonly CopyMap[]
  readonly ranges: readonly AddressRange[]
  readonly selection: Partial<Selection>
  readonly portShift: number
  readonly poolPages: number
  readonly framesMax: number
  readonly sessionsMax: number
  readonly halfOpenMax: number
  readonly mtuBytes: number
  readonly isWaiting: boolean
  readonly epochTimeoutMs: number
  readonly bytesPerSecondMax: number
  /** Super-packets may be sent. */
  readonly canSegment: boolean
  /** Version of the channel over which answers arrive. */
  readonly channelVersion: number
  /** How long answers were at the assistant; NaN: unknown. */
  readonly answerAgeMs: number
  /** Undefined: all ports are its own. */
  readonly share: WorkerShare | undefined
  /** What the source's kernel knows; undefined: it cannot be asked. */
  readonly source: SourceSockets | undefined
}

/** The maps, and what differs from the defaults. */
export type WorkerChoice = Partial<SimulatedWorkerOptions> & Pick<SimulatedWorkerOptions, 'maps'>

const DEFAULTS = {
  ...SESSION_DEFAULTS,
  hibernateAfterMs: Number.POSITIVE_INFINITY,
  roundTripMs: 0,
  ranges: [],
  selection: {},
  portShift: 0,
  poolPages: 4096,
  framesMax: 64,
  sessionsMax: 1024,
  halfOpenMax: 1024,
  mtuBytes: 1500,
  isWaiting: true,
  epochTimeoutMs: 3000,
  bytesPerSecondMax: Number.POSITIVE_INFINITY,
  canSegment: false,
  channelVersion: 1,
  answerAgeMs: Number.NaN,
  share: undefined,
  source: undefined
}

/** A trace that sees nothing. */
export const SILENT = {
  captured: () => {},
  answered: () => {},
  refused: () => {},
  sent: () => {},
  waits: () => {},
  ended: () => {}
}

export const START = 1_000_000
/** Longer than anything is remembered: a day. */
export const LINGER_MAX_MS = 86_400_000

/** What the options mean for the sessions. */
export function settingsOf(given: WorkerChoice): CopySettings {
  const options = { ...DEFAULTS, ...given }
  const { maps, ranges, portShift, sessionsMax, halfOpenMax, bytesPerSecondMax, framesMax } = options
  return {
    selection: { ...SELECTION_DEFAULTS, maps, ranges, sampling: { ...ALL_FLOWS, ...options.selection }, portShift },
    // The options have all of its fields but the gate.
    session: { ...options, gate: { isWaiting: options.isWaiting, timeoutMs: options.epochTimeoutMs } },
    limits: { poolBytes: options.poolPages * POOL_PAGE, sessionsMax, halfOpenMax, bytesPerSecondMax, framesMax }
  }
}

/** A packet that a session sent, copied out of the outbox. */
export class SentPacket {
  readonly bytes: Uint8Array
  /** When it was sent. */
  readonly at: number
  /** The target address that the outbox has for its frame. */
  readonly targetAddress: number

  constructor(bytes: Uint8Array, at: number, targetAddress: number) {
    this.bytes = bytes
    this.at = at
    this.targetAddress = targetAddress
  }

  /** Parses and verifies the packet. */
  parse(segment: Segment): void {
    const flaw = parseIp(this.bytes, 0, this.bytes.length, this.bytes.length, false, segment)
    assert.equal(flaw, Flaw.None, 'a packet that was sent cannot be parsed')
    assert.equal(verifyChecksum(segment), Flaw.None, 'a packet that was sent has a wrong checksum')
    assert.equal(segment.toAddress, this.targetAddress, 'a frame goes elsewhere than its packet')
  }
}

export class SimulatedWorker {
  now = START
  readonly sessions: Sessions<Segment>
  readonly counters = new Counters()
  readonly pool: SendPool
  /** Packets in the order in which they were sent. Readers remove them. */
  readonly sent: SentPacket[] = []
  /** Why connections ended, in order. */
  readonly ended: Drop[] = []
  /** Routes that were announced to intercept. */
  readonly announced: Route[] = []
  readonly #routes = {
    announce: (route: Route) => this.announced.push({ ...route }),
    withdraw: () => {}
  }
  readonly #outbox: Outbox
  readonly #segment = new Segment()
  readonly #header = new Uint8Array(HEADER_LENGTH)
  readonly #answers = new AnswerRecord()
  readonly #batch = new AnswerBatch((_, record) => this.#onRecord(record))
  readonly #channelVersion: number
  readonly #answerAgeMs: number
  readonly #copy: Copy<Segment>
  /** Keys of flows, by slot of the answer batch. */
  readonly #slots: string[] = []

  constructor(given: WorkerChoice) {
    const options = { ...DEFAULTS, ...given }
    this.#channelVersion = options.channelVersion
    this.#answerAgeMs = options.answerAgeMs
    const settings = settingsOf(given)
    const means = {
      memory: new Uint8Array(copyMemoryLength(settings.limits)),
      counters: this.counters,
      share: options.share,
      source: options.source,
      trace: { ...SILENT, ended: (_: unknown, reason: Drop) => this.ended.push(reason) },
      flush: () => this.#flush(),
      canSegment: () => options.canSegment,
      mtu: () => options.mtuBytes
    }
    this.#copy = assembleCopy(settings, means, this.now)
    this.sessions = this.#copy.sessions
    this.pool = this.#copy.pool
    this.#outbox = this.#copy.outbox
  }

  get deadline(): number {
    return this.sessions.deadline
  }

  /** Takes a captured packet: `length` bytes from `at` on. */
  source(bytes: Uint8Array, at = 0, length = bytes.length): void {
    const segment = this.#segment
    let flaw = parseIp(bytes, at, length, length, false, segment)
    if (flaw === Flaw.None) flaw = verifyChecksum(segment)
    if (flaw === Flaw.None) this.sessions.onSource(segment, this.now)
    else this.counters.drop(flaw, 1, 0)
    this.sessions.settle(this.now)
    this.#flush()
  }

  /**
   * Takes a packet of the target as intercept captures it. Only what the channel carries of it arrives at the sessions.
   * @param isMore further packets follow in the same turn
   */
  target(bytes: Uint8Array, isMore = false): void {
    const segment = this.#segment
    assert.equal(parseIp(bytes, 0, bytes.length, bytes.length, true, segment), Flaw.None)
    if (isIpv6(segment.fromAddress)) putHeader6(segment, this.#header, 0)
    else putHeader(bytes, 0, this.#header, 0)
    if (this.#channelVersion === 1) {
      if (parseRecord(this.#header, 0, segment) === Flaw.None) this.sessions.onTarget(segment, this.now)
    } else {
      segment.arrivedAt = this.now - this.#answerAgeMs
      if (isOrdinary(segment.flags)) this.#batch.add(this.#slotOf(segment), 0, segment)
      else this.#batch.addHeader(this.#slotOf(segment), 0, this.#header, segment)
      if (!isMore) this.#batch.flush(this.now)
    }
    if (isMore) return
    this.sessions.settle(this.now)
    this.#flush()
  }

  /** Gives each flow a slot, as intercept's router does. */
  #slotOf({ toAddress, toPort, fromPort }: Segment): number {
    const key = `${toAddress} ${toPort} ${fromPort}`
    const found = this.#slots.indexOf(key)
    return found >= 0 ? found : this.#slots.push(key) - 1
  }

  /** Takes a record of version 2. */
  #onRecord(record: Uint8Array): void {
    const segment = this.#segment
    if (recordType(record, 0) === RecordType.Header) {
      assert.equal(parseHeaderRecord(record, 0, segment), Flaw.None)
      this.sessions.onTarget(segment, this.now)
      return
    }
    assert.ok(parseAnswerRecord(record, 0, this.#answers))
    fillFromRecord(this.#answers, segment)
    segment.arrivedAt = this.now - ageMs(this.#answers.age)
    for (let index = 0; index < this.#answers.segmentCount; index++) {
      fillAnswer(this.#answers, index, segment)
      this.sessions.onTarget(segment, this.now)
    }
  }

  /** Moves the clock forward and does what is due. */
  step(now: number): void {
    this.now = Math.max(this.now, now)
    this.sessions.onTimer(this.now)
    this.#flush()
  }

  /** Ends everything, and checks that nothing is left and everything that is remembered expires. */
  close(): void {
    this.sessions.shutdown(this.now)
    this.#flush()
    this.sent.length = 0
    assert.equal(this.sessions.count, 0, 'sessions live on after the shutdown')
    assert.equal(this.pool.usedCount, 0, 'the pool is not empty after the shutdown')
    assert.equal(this.counters.get(Counter.pendingBytes), 0, 'bytes are pending after the shutdown')
    assert.equal(this.counters.unaccountedBytes(), 0, 'bytes are unaccounted for after the shutdown')
    assert.equal(this.counters.requests.unaccounted(), 0, 'requests are unaccounted for after the shutdown')
    assert.equal(this.counters.requests.get(RequestCount.InFlight), 0, 'requests are in flight after the shutdown')
    assert.equal(this.counters.get(Counter.sessionsEnded), this.counters.get(Counter.sessionsStarted))
    this.sessions.onTimer(this.now + LINGER_MAX_MS)
    assert.equal(this.sessions.entryCount, 0, 'tables are not empty')
  }

  #flush(): void {
    const box = this.#outbox
    for (let frame = 0; frame < box.count; frame++) {
      const target = box.targetAddress[frame] ?? 0
      for (const bytes of packetsOf(box, frame)) this.sent.push(new SentPacket(bytes, this.now, target))
    }
    box.clear()
    this.#copy.routes.drain(this.#routes)
    this.#copy.latency.departed(this.now)
  }
}
