/** Copying on byte streams: the sessions of one worker over `StreamHub`, and a target that they connect to. */
import assert from 'node:assert/strict'
import { Counter } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { assembleSessions, copyMemoryLength, type MakeHub } from '../../core/sessions/assembly.ts'
import type { Sessions } from '../../core/sessions/sessions.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { Segment, verifyChecksum } from '../../wire/segment.ts'
import { MemoryCapture, NotingWaiter, Runner } from '../network/memory-ports.ts'
import type { StreamConnection } from '../target/stream-connection.ts'
import { type StreamAnswer, StreamHub } from '../target/stream-target.ts'
import { type Copying, copySettingsOf, type Scene, TIMEOUT_MS } from './copying.ts'
import { StreamLines } from './stream-lines.ts'

const BATCH = 256
const HOUSEKEEPING_MS = 1000
/** Time after which a refused connection is tried again. */
const RETRY_MS = 1000

export class StreamCopying implements Copying {
  readonly #scene: Scene
  readonly #capture = new MemoryCapture()
  readonly #waiter = new NotingWaiter()
  readonly #runner: Runner
  readonly #lines: StreamLines
  readonly #hub: StreamHub
  readonly #sessions: Sessions<StreamAnswer>
  readonly #segment = new Segment()
  #now: number
  #housekeepingAt: number

  constructor(scene: Scene) {
    const { weather, scheduler, counters } = scene
    this.#scene = scene
    this.#now = scheduler.now()
    this.#housekeepingAt = this.#now
    const settings = copySettingsOf(weather)
    const means = {
      memory: new Uint8Array(copyMemoryLength(settings.limits)),
      counters,
      flush: () => assert.fail('a stream sends no frames'),
      canSegment: () => false,
      mtu: () => assert.fail('a stream has no packets')
    }
    const options = { unreadMax: weather.target.bufferBytes, retryMs: RETRY_MS }
    let hub: StreamHub | undefined
    const makeHub: MakeHub<StreamAnswer> = (_frames, _pool, ports) => {
      hub = new StreamHub(ports, options)
      return hub
    }
    this.#sessions = assembleSessions(settings, means, makeHub, this.#now).sessions
    assert.ok(hub !== undefined)
    this.#hub = hub
    this.#lines = new StreamLines(scene, () => this.#runner.poke())
    const hasInput = (): boolean => this.#capture.waiting.length > 0 || this.#lines.hasInput
    this.#runner = new Runner(scheduler, this.#waiter, () => this.#turn(), hasInput)
    for (const { at, forMs } of weather.copier.pauses) scheduler.after(at, () => this.#runner.pause(forMs))
  }

  get connections(): readonly StreamConnection[] {
    return this.#lines.host.connections
  }

  get sessionCount(): number {
    return this.#sessions.count
  }

  begin(): void {
    this.#runner.poke()
  }

  captured(packet: Uint8Array): void {
    this.#capture.waiting.push(packet)
    this.#runner.poke()
  }

  missed(): void {
    this.#capture.lostCount += 1
  }

  stop(): void {
    const now = this.#scene.scheduler.now()
    this.#sessions.shutdown(now)
    this.#lines.take(this.#hub.events)
    this.#lines.checkOver()
    this.#sessions.onTimer(now + TIMEOUT_MS + 1)
    assert.equal(this.#sessions.entryCount, 0, 'tables are not empty')
  }

  /** One turn of the loop, like the copier's. */
  #turn(): void {
    const sessions = this.#sessions
    const { scheduler, counters } = this.#scene
    const waitMs = Math.max(0, Math.min(sessions.deadline, this.#housekeepingAt) - scheduler.now())
    this.#waiter.wait(sessions.ready.isEmpty ? waitMs : 0)
    this.#now = scheduler.now()
    const taken = this.#capture.receive((bytes) => this.#onPacket(bytes), BATCH)
    if (taken > 0) counters.add(Counter.capturedPackets, taken)
    // Events are taken before the next answer, which may be for an earlier connection of the same slot.
    this.#lines.take(this.#hub.events)
    while (this.#lines.next((answer) => this.#onAnswer(answer))) this.#lines.take(this.#hub.events)
    sessions.settle(this.#now)
    sessions.onTimer(this.#now)
    this.#lines.take(this.#hub.events)
    if (this.#now < this.#housekeepingAt) return
    this.#housekeepingAt = this.#now + HOUSEKEEPING_MS
    counters.set(Counter.captureDropped, this.#capture.dropped())
  }

  #onAnswer(answer: StreamAnswer): void {
    const drop = this.#sessions.onTarget(answer, this.#now)
    assert.equal(drop, Drop.None, `${answer.kind} of a connection counts for nothing`)
  }

  #onPacket(bytes: Uint8Array): void {
    const { counters } = this.#scene
    const segment = this.#segment
    const flaw = parseIp(bytes, 0, bytes.length, bytes.length, false, segment)
    if (flaw !== Flaw.None) counters.drop(flaw, 1, 0)
    else if (verifyChecksum(segment) === Flaw.None) this.#sessions.onSource(segment, this.#now)
    else {
      counters.add(Counter.capturedPayloadBytes, segment.payloadLength)
      counters.drop(Drop.BadChecksum, 1, segment.payloadLength)
    }
  }
}
