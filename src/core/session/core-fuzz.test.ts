/**
 * Whatever clients and targets send, sessions neither throw nor spin, send only valid packets, and hold nothing at the
 * end. The worker checks the last two. FUZZ_SEED selects other cases.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type SentPacket, SimulatedWorker, type SimulatedWorkerOptions } from '../../sim/drill/simulated-worker.ts'
import { guarded } from '../../sim/network/guarded.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { ACK, FIN, RST, Segment, SYN } from '../../wire/segment.ts'
import { Counter } from '../books/counters.ts'
import { WHOLE } from '../selection/sampling.ts'

const RUNS = { numRuns: 120, seed: Number(process.env.FUZZ_SEED ?? 1), interruptAfterTimeLimit: 3000 }
/** Limit of clock steps for a period of time. More means that something spins. */
const STEPS_MAX = 20_000

const CLIENT = { fromAddress: 0x0a000001, toAddress: 0x0a000002, toPort: 80 }
const MAP = { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 }

/** Mostly the expected value, sometimes slightly off, rarely any value. */
const shift = fc.oneof(
  { weight: 8, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.integer({ min: -3000, max: 3000 }) },
  { weight: 1, arbitrary: fc.integer() }
)
const flags = fc.oneof(
  { weight: 6, arbitrary: fc.constant(ACK) },
  { weight: 1, arbitrary: fc.constantFrom(SYN, RST, RST | ACK, FIN | ACK, SYN | ACK) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 255 }) }
)
const length = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 60_000 }))
const window = fc.constantFrom(0, 1, 500, 65_535)
const options = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Uint8Array(0)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constant(Uint8Array.of(2, 4, 5, 180, 4, 2, 1, 3, 3, 7)) },
  { weight: 1, arbitrary: fc.constant(Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2)) }
)
const packet = { flags, seqShift: shift, ackShift: shift, length, window, options }
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('source' as const), client: fc.nat(2), ...packet }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('target' as const), which: fc.nat(9), ...packet }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(1, 50, 3000, 120_000) })
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('opening' as const), client: fc.nat(2), iss: fc.integer() }) }
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never
type Fields = Extract<Step, { kind: 'source' | 'target' }>

class Fuzz {
  readonly #worker: SimulatedWorker
  /** By client: the next bytes of its stream, and of the source's. */
  readonly #seq = [100, 2 ** 31 - 50, -20]
  readonly #ack = [7000, 8000, 9000]
  /** Packets of sessions that the target may still answer. */
  #seen: SentPacket[] = []

  constructor(given: Partial<SimulatedWorkerOptions>) {
    this.#worker = new SimulatedWorker({ maps: [MAP], ...given })
  }

  run(steps: readonly Step[]): void {
    for (const one of steps) {
      this.#take(one)
      for (const sent of this.#worker.sent.splice(0)) {
        sent.parse(new Segment())
        this.#seen.push(sent)
      }
      this.#seen = this.#seen.slice(-10)
      assert.equal(this.#worker.counters.unaccountedBytes(), 0)
      assert.ok(this.#worker.counters.get(Counter.pendingBytes) >= 0)
    }
    this.#worker.close()
  }

  #take(one: Step): void {
    switch (one.kind) {
      case 'opening':
        this.#seq[one.client] = (one.iss + 1) | 0
        this.#source(one.client, { flags: SYN, seq: one.iss })
        this.#source(one.client, { flags: ACK, seq: one.iss + 1, ack: this.#ack[one.client] })
        break
      case 'source':
        this.#onSource(one)
        break
      case 'target':
        this.#onTarget(one)
        break
      case 'time':
        this.#wait(one.ms)
        break
      default:
        one satisfies never
    }
  }

  #onSource({ kind, ...fields }: Extract<Step, { kind: 'source' }>): void {
    const { client, length, seqShift, ackShift } = fields
    const seq = ((this.#seq[client] ?? 0) + seqShift) | 0
    this.#source(client, { ...bodyOf(fields), seq, ack: ((this.#ack[client] ?? 0) + ackShift) | 0 })
    if (seqShift === 0) this.#seq[client] = (seq + length) | 0
    // The client has read some answer.
    if (length % 3 === 0) this.#ack[client] = ((this.#ack[client] ?? 0) + (length % 700)) | 0
  }

  #source(client: number, fields: Pick<Parameters<typeof writePacket>[0], 'flags' | 'seq' | 'ack'>): void {
    const bytes = writePacket({ ...CLIENT, fromPort: 40_000 + client, ...fields })
    const guard = guarded(bytes)
    this.#worker.source(guard.bytes, guard.at, bytes.length)
  }

  /** Answers one of the packets that were sent last. */
  #onTarget(fields: Extract<Step, { kind: 'target' }>): void {
    const sent = this.#seen[fields.which % Math.max(1, this.#seen.length)]
    if (sent === undefined) return
    const segment = new Segment()
    sent.parse(segment)
    const isSyn = (segment.flags & SYN) !== 0
    const end = segment.seq + segment.payloadLength + (segment.flags & (SYN | FIN) ? 1 : 0)
    this.#worker.target(
      writePacket({
        ...bodyOf(fields),
        fromAddress: MAP.targetAddress,
        fromPort: MAP.targetPort,
        toAddress: segment.fromAddress,
        toPort: segment.fromPort,
        flags: isSyn ? fields.flags | SYN | ACK : fields.flags,
        seq: ((isSyn ? 5000 : segment.ack) + fields.seqShift) | 0,
        ack: (end + fields.ackShift) | 0
      })
    )
  }

  #wait(ms: number): void {
    const until = this.#worker.now + ms
    for (let count = 0; this.#worker.deadline <= until; count++) {
      assert.ok(count < STEPS_MAX, 'something spins')
      this.#worker.step(Math.max(this.#worker.deadline, this.#worker.now))
    }
    this.#worker.step(until)
  }
}

function bodyOf({ flags, length, window, options }: Omit<Fields, 'kind'>) {
  return { flags, window, options, payload: new Uint8Array(length).fill(0x61) }
}

function fuzz(name: string, given: Partial<SimulatedWorkerOptions>): void {
  test(name, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => new Fuzz(given).run(steps)),
      RUNS
    )
  })
}

fuzz('sessions survive clients and targets that send anything', {})
fuzz('sessions survive a small pool', { poolPages: 16, framesMax: 4 })
fuzz('sessions survive copies, sampling and a small table', {
  selection: { copies: 2.5 * WHOLE, share: WHOLE / 2 },
  sessionsMax: 5
})
