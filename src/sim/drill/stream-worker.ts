/** All sessions of one worker over the in-memory streams of `stream-target.ts`, on a fake clock. */
import assert from 'node:assert/strict'
import { Counter, Counters } from '../../core/books/counters.ts'
import type { Drop } from '../../core/books/drop.ts'
import { RequestCount } from '../../core/books/request-books.ts'
import type { SendPool } from '../../core/memory/send-pool.ts'
import { assembleSessions, copyMemoryLength, type MakeHub } from '../../core/sessions/assembly.ts'
import type { Sessions } from '../../core/sessions/sessions.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { Segment, verifyChecksum } from '../../wire/segment.ts'
import { type StreamAnswer, StreamHub } from '../target/stream-target.ts'
import { LINGER_MAX_MS, SILENT, START, settingsOf, type WorkerChoice } from './simulated-worker.ts'

export class StreamWorker {
  now = START
  readonly counters = new Counters()
  readonly sessions: Sessions<StreamAnswer>
  readonly pool: SendPool
  readonly hub: StreamHub
  /** Why sessions ended, in order. */
  readonly ended: Drop[] = []
  readonly #segment = new Segment()

  constructor(choice: WorkerChoice) {
    const settings = settingsOf(choice)
    const means = {
      memory: new Uint8Array(copyMemoryLength(settings.limits)),
      counters: this.counters,
      source: choice.source,
      trace: { ...SILENT, ended: (_: unknown, reason: Drop) => this.ended.push(reason) },
      flush: () => assert.fail('a stream sends no frames'),
      canSegment: () => false,
      mtu: () => assert.fail('a stream has no packets')
    }
    let hub: StreamHub | undefined
    const makeHub: MakeHub<StreamAnswer> = (_frames, _pool, ports) => {
      hub = new StreamHub(ports, { unreadMax: Infinity, retryMs: Infinity })
      return hub
    }
    const { sessions, pool } = assembleSessions(settings, means, makeHub, this.now)
    assert.ok(hub !== undefined)
    this.hub = hub
    this.sessions = sessions
    this.pool = pool
  }

  get deadline(): number {
    return this.sessions.deadline
  }

  /** A packet of a client is captured. */
  source(bytes: Uint8Array): void {
    const segment = this.#segment
    let flaw = parseIp(bytes, 0, bytes.length, bytes.length, false, segment)
    if (flaw === Flaw.None) flaw = verifyChecksum(segment)
    if (flaw === Flaw.None) this.sessions.onSource(segment, this.now)
    else this.counters.drop(flaw, 1, 0)
    this.sessions.settle(this.now)
  }

  /** Something comes from a target. @param isMore further answers come in the same turn */
  answer(answer: StreamAnswer, isMore = false): void {
    this.sessions.onTarget(answer, this.now)
    if (!isMore) this.sessions.settle(this.now)
  }

  /** Moves the clock and does what is due. */
  step(now: number): void {
    this.now = Math.max(this.now, now)
    this.sessions.onTimer(this.now)
  }

  /** Ends everything; nothing may be left, nor remembered when its time is over. */
  close(): void {
    this.sessions.shutdown(this.now)
    assert.equal(this.sessions.count, 0, 'sessions live on after the shutdown')
    assert.equal(this.pool.usedCount, 0, 'the pool is not empty after the shutdown')
    assert.equal(this.counters.get(Counter.pendingBytes), 0, 'bytes are pending after the shutdown')
    assert.equal(this.counters.unaccountedBytes(), 0, 'bytes are in no place of the books after the shutdown')
    assert.equal(this.counters.requests.unaccounted(), 0, 'requests are in no place of the books after the shutdown')
    assert.equal(this.counters.requests.get(RequestCount.InFlight), 0, 'requests are in flight after the shutdown')
    assert.equal(this.counters.get(Counter.sessionsEnded), this.counters.get(Counter.sessionsStarted))
    this.sessions.onTimer(this.now + LINGER_MAX_MS)
    assert.equal(this.sessions.entryCount, 0, 'tables are not empty')
  }
}
