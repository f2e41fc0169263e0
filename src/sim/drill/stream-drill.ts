/**
 * Runs a drill on the in-memory streams of `stream-target.ts`. What the script says of the target's packets is taken for
 * what it means to a stream: a SYN-ACK accepts, an acknowledgment reads, payload answers, FIN closes, RST resets. Of the
 * packets that the session must send, SYN opens, payload is bytes of the stream, FIN half-closes, RST resets; what only
 * TCP has (acknowledgments, retransmissions, how payload is cut) is passed over.
 */
import assert from 'node:assert/strict'
import { Counter, type Counters } from '../../core/books/counters.ts'
import { u8 } from '../../wire/bytes.ts'
import { Flow } from '../../wire/flow.ts'
import { ACK, FIN, PSH, RST, SYN } from '../../wire/segment.ts'
import { add, distance, isBefore, later, type Seq, seq } from '../../wire/seq.ts'
import type { StreamEvent } from '../target/stream-target.ts'
import { byteAt, client, packetOf, perform, source, TOLERANCE_MS, target } from './drill-lines.ts'
import type { Endpoint, Line, SegmentLine } from './drill-script.ts'
import type { WorkerChoice } from './simulated-worker.ts'
import { StreamWorker } from './stream-worker.ts'

/** Counts that only TCP moves. */
const OF_TCP: ReadonlySet<Counter> = new Set([
  Counter.synsSent,
  Counter.synAcks,
  Counter.refusals,
  Counter.retransmissions,
  Counter.segmentsHalved,
  Counter.sessionsReset,
  Counter.sessionsDisowned,
  Counter.resetsChallenged,
  Counter.objectionsWithheld,
  Counter.lateAnswers
])

/** What a script and its run know of the connection of a slot. */
interface Connection {
  /** The client's sequence number at offset 0. */
  readonly base: Seq
  isAccepted: boolean
  /** The target's next sequence number. */
  next: Seq
  /** One beyond the last byte that the session has written. */
  writtenEnd: Seq
  /** One beyond the last byte that the script has named so far. */
  namedEnd: Seq
}

export class StreamDrill {
  readonly #worker: StreamWorker
  readonly #isHibernating: boolean
  readonly #connections = new Map<number, Connection>()
  #nominal: number
  #line: Line | undefined

  constructor(choice: WorkerChoice) {
    this.#worker = new StreamWorker(choice)
    this.#isHibernating = choice.hibernateAfterMs === 0
    this.#nominal = this.#worker.now
  }

  run(lines: readonly Line[]): Counters {
    const worker = this.#worker
    const isPatterned = lines.every((line) => !('segment' in line) || line.segment.text === undefined)
    for (const line of lines) {
      this.#line = line
      this.#nominal += line.afterMs
      if (line.kind === 'sent') this.#expect(line.segment, isPatterned)
      else {
        if (line.kind !== 'stall') this.#advance(this.#nominal)
        this.#allNamed()
        this.#perform(line)
      }
    }
    this.#line = undefined
    this.#allNamed()
    worker.close()
    return worker.counters
  }

  #perform(line: Line): void {
    if (line.kind === 'source') {
      this.#worker.source(packetOf(line.segment, line.segment.from ?? client, line.segment.to ?? source))
    } else if ('segment' in line) this.#answer(line.segment, line.kind === 'target+')
    else {
      perform(
        {
          worker: this.#worker,
          nominal: this.#nominal,
          as: (endpoint) => endpoint,
          isHibernating: this.#isHibernating,
          counts: (counter) => !OF_TCP.has(counter),
          fail: (message) => this.#fail(message)
        },
        line
      )
    }
  }

  /** The slot whose connection speaks as this client to this target; −1: none. */
  #slotOf(from: Endpoint, to: Endpoint): number {
    return this.#worker.hub.ports.holder(new Flow().set(from.address, from.port, to.address, to.port))
  }

  /** What a packet of the target means to a stream. */
  #answer(line: SegmentLine, isMore: boolean): void {
    const slot = this.#slotOf(line.to ?? client, line.from ?? target)
    const connection = this.#connections.get(slot)
    const worker = this.#worker
    if (connection === undefined) return
    const { flags, length } = line
    const at = seq(line.seq)
    if (!connection.isAccepted) {
      if (flags & RST) worker.answer({ slot, kind: 'refused' }, isMore)
      if ((flags & (SYN | ACK)) !== (SYN | ACK) || flags & RST) return
      connection.isAccepted = true
      connection.next = add(at, 1)
      worker.answer({ slot, kind: 'accepted' }, isMore)
      return
    }
    if (flags & RST) {
      if (at === connection.next) worker.answer({ slot, kind: 'reset' }, isMore)
      return
    }
    const read = line.ack === undefined ? undefined : seq(distance(seq(line.ack), connection.base))
    const fresh = distance(add(at, length), connection.next)
    if (isBefore(connection.next, at)) this.#fail('a stream has no gaps: is the script about TCP itself?')
    const isClosed = (flags & FIN) !== 0
    if (fresh > 0) connection.next = add(connection.next, fresh)
    if (isClosed) connection.next = add(connection.next, 1)
    if (read !== undefined) worker.answer({ slot, kind: 'read', upTo: read }, isMore || fresh > 0 || isClosed)
    if (fresh > 0) {
      worker.answer({ slot, kind: 'bytes', length: fresh, isPushed: (flags & PSH) !== 0 }, isMore || isClosed)
    }
    if (isClosed) worker.answer({ slot, kind: 'closed' }, isMore)
  }

  /** Runs the timers that are due up to an instant, or until the session does something. */
  #advance(until: number, isOver: () => boolean = () => false): void {
    const worker = this.#worker
    while (!isOver() && worker.deadline <= until) worker.step(worker.deadline)
    if (!isOver()) worker.step(until)
  }

  #expect(line: SegmentLine, isPatterned: boolean): void {
    const { flags, length } = line
    const slot = this.#slotOf(line.from ?? client, line.to ?? target)
    const known = this.#connections.get(slot)
    if (flags & SYN) {
      // A repeated SYN says nothing new.
      if (known !== undefined && !known.isAccepted && this.#worker.hub.events.length === 0) return
      const event = this.#next('open')
      const base = add(seq(line.seq), 1 - event.offset)
      const start = event.offset
      const next = seq(0)
      this.#connections.set(event.slot, { base, isAccepted: false, next, writtenEnd: start, namedEnd: start })
      return
    }
    if (flags & RST) {
      this.#next('reset')
      return
    }
    if (known === undefined) return
    const from = seq(distance(seq(line.seq), known.base))
    const end = add(from, length)
    if (length > 0) known.namedEnd = later(known.namedEnd, end)
    while (length > 0 && isBefore(known.writtenEnd, end)) {
      const event = this.#next('bytes')
      this.#equal(event.offset, known.writtenEnd, 'offset of what is written')
      this.#check(event, known, isPatterned)
      known.writtenEnd = add(event.offset, event.bytes.length)
    }
    if (flags & FIN && known.writtenEnd === end) {
      this.#next('half-close')
      known.writtenEnd = add(end, 1)
      known.namedEnd = known.writtenEnd
    }
  }

  /** What the session does next, which has to be of this kind and in time. */
  #next<Kind extends StreamEvent['kind']>(kind: Kind): Extract<StreamEvent, { kind: Kind }> {
    const { events } = this.#worker.hub
    this.#advance(this.#nominal + TOLERANCE_MS, () => events.length > 0)
    const event = events.shift()
    if (event === undefined) this.#fail(`nothing was done, where ${kind} is expected`)
    const early = this.#nominal - event.at
    if (early > TOLERANCE_MS) this.#fail(`${event.kind} ${early} ms too early`)
    if (event.kind !== kind) this.#fail(`expected ${kind}, actual ${event.kind} at ${event.offset}`)
    return event as Extract<StreamEvent, { kind: Kind }> // as: its kind says so
  }

  #check({ offset, bytes }: Extract<StreamEvent, { kind: 'bytes' }>, { base }: Connection, isPatterned: boolean): void {
    for (let index = 0; index < bytes.length && isPatterned; index++) {
      if (u8(bytes, index) !== byteAt(add(base, offset + index) >>> 0)) this.#fail(`wrong byte at ${offset + index}`)
    }
  }

  #allNamed(): void {
    const [event] = this.#worker.hub.events
    if (event !== undefined) this.#fail(`not expected: ${event.kind} at ${event.offset}`)
    for (const { writtenEnd, namedEnd } of this.#connections.values()) {
      if (isBefore(namedEnd, writtenEnd)) this.#fail(`bytes up to ${writtenEnd} were written, not ${namedEnd}`)
    }
  }

  #equal(actual: number | string, expected: number | string, what: string): void {
    if (actual !== expected) this.#fail(`${what}: expected ${expected}, actual ${actual}`)
  }

  #fail(message: string): never {
    const where = this.#line === undefined ? 'at the end' : `line ${this.#line.number}: ${this.#line.text}`
    assert.fail(`drill on a stream, ${where}\n  ${message}`)
  }
}
