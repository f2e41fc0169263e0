/**
 * Forged packets with the right addresses and ports and random numbers: of 100,000 on a live connection, hardly any may
 * change what is known of it. FORGED_SEED selects other numbers.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulatedWorker } from '../../sim/drill/simulated-worker.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { Random } from '../../sim/scenario/random.ts'
import { ACK, FIN, PSH, RST, Segment, SYN } from '../../wire/segment.ts'
import { Counter } from '../books/counters.ts'
import { Gate } from '../gate/gate.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'
import { ClientSide } from '../session/client-side.ts'

const SEED = Number(process.env.FORGED_SEED ?? 1)
const PACKETS = 100_000
const CHANGES_MAX = 10
/** So many forged packets come in a millisecond, and so many milliseconds pass between two of a transfer. */
const PACKETS_A_MS = 10
const REQUEST_EVERY_MS = 5
const MAP = { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 }
const CLIENT = { fromAddress: 0x0a000001, fromPort: 40_001, toAddress: 0x0a000002, toPort: 80 }
const TARGET = { fromAddress: 0x0a000003, fromPort: 8080, toAddress: 0x0a000001, toPort: 40_001 }
const ISS = 99
const SOURCE_ISS = 300
const TARGET_ISS = 500
const REQUEST_LENGTH = 1448

/** A source whose kernel has the connection. */
const LIVE: SourceSockets = { stateOf: () => SourceState.Connected, receivedBytes: 0 }

const Kind = { data: PSH | ACK, fin: FIN | ACK, rst: RST } as const
type Kind = keyof typeof Kind

/** Collects the numbers that a part of a session saves. */
class Collector {
  readonly numbers: unknown[] = []
  readonly #take = <T>(value: T): T => {
    this.numbers.push(value)
    return value
  }
  number = this.#take
  whole = this.#take
  short = this.#take
  seq = this.#take
  flag = this.#take
}

/** A live connection, and what its session knows. */
class Connection {
  readonly worker: SimulatedWorker
  readonly #client: ClientSide
  readonly #gate: Gate
  #next = ISS + 1
  #sentEnd = ISS + 1

  constructor(source: SourceSockets | undefined) {
    this.worker = new SimulatedWorker({ maps: [MAP], source })
    // The parts of the session are seen when the handshake completes.
    const { completesHandshake } = ClientSide.prototype
    const { begin } = Gate.prototype
    let client: ClientSide | undefined
    let gate: Gate | undefined
    ClientSide.prototype.completesHandshake = function (isLate, now) {
      client = this
      return completesHandshake.call(this, isLate, now)
    }
    Gate.prototype.begin = function (ack) {
      gate = this
      begin.call(this, ack)
    }
    this.capture({ flags: SYN, seq: ISS })
    this.#answer(SYN | ACK, TARGET_ISS)
    this.capture({ flags: ACK, seq: ISS + 1, ack: SOURCE_ISS + 1 })
    this.request()
    ClientSide.prototype.completesHandshake = completesHandshake
    Gate.prototype.begin = begin
    assert.ok(client !== undefined && gate !== undefined)
    this.#client = client
    this.#gate = gate
  }

  capture(fields: Pick<Parameters<typeof writePacket>[0], 'flags' | 'seq' | 'ack' | 'payload'>): void {
    this.worker.source(writePacket({ ...CLIENT, window: 64_240, ...fields }))
  }

  /** The client sends bytes, and the target acknowledges them. */
  request(): void {
    const payload = new Uint8Array(REQUEST_LENGTH).fill(0x61)
    this.capture({ flags: PSH | ACK, seq: this.#next, ack: SOURCE_ISS + 1, payload })
    this.#next += REQUEST_LENGTH
    this.#answer(ACK, TARGET_ISS + 1)
  }

  wait(ms: number): void {
    const { worker } = this
    const until = worker.now + ms
    while (worker.deadline <= until) worker.step(worker.deadline)
    worker.step(until)
  }

  /** Everything that later packets are judged by, or that the target has seen. */
  state(): string {
    const { worker } = this
    const client = this.#client
    const known = new Collector()
    this.#gate.save(known as unknown as Snapshot) // as: it has what `save` calls
    const { hasReset, isDone, lacksBytes, endSequence, finAck, rttMs } = client
    const sent = [worker.sent.length, worker.sessions.count, worker.counters.get(Counter.deliveredBytes)]
    return [...known.numbers, hasReset, isDone, lacksBytes, endSequence, finAck, rttMs, ...sent].join()
  }

  #answer(flags: number, seq: number): void {
    for (const sent of this.worker.sent.splice(0)) {
      const segment = new Segment()
      sent.parse(segment)
      const isSyn = (segment.flags & SYN) !== 0
      this.#sentEnd = Math.max(this.#sentEnd, segment.seq + segment.payloadLength + (isSyn ? 1 : 0))
    }
    this.worker.target(writePacket({ ...TARGET, flags, seq, ack: this.#sentEnd, window: 65_535 }))
    this.worker.sent.length = 0
  }
}

/** @returns how many forged packets changed anything */
function forge(kind: Kind, isBusy: boolean, connection: Connection): number {
  const random = new Random(SEED)
  const any = (): number => random.between(-(2 ** 31), 2 ** 31 - 1)
  const payload = kind === 'data' ? new Uint8Array(20).fill(0x58) : undefined
  let changes = 0
  let before = ''
  for (let count = 0; count < PACKETS; count++) {
    if (count % PACKETS_A_MS === 0) {
      connection.wait(1)
      if (isBusy && count % (PACKETS_A_MS * REQUEST_EVERY_MS) === 0) connection.request()
      before = connection.state()
    }
    connection.capture({ flags: Kind[kind], seq: any(), ack: any(), payload })
    const after = connection.state()
    if (after !== before) changes += 1
    before = after
  }
  return changes
}

for (const kind of ['data', 'fin', 'rst'] as const) {
  for (const isBusy of [false, true]) {
    for (const source of kind === 'rst' ? [undefined, LIVE] : [undefined]) {
      const when = `${isBusy ? 'during a transfer' : 'on an idle connection'}${source ? ', the kernel is asked' : ''}`
      test(`${PACKETS} forged packets (${kind}) change next to nothing ${when}`, () => {
        const connection = new Connection(source)
        const changes = forge(kind, isBusy, connection)
        assert.ok(changes <= CHANGES_MAX, `${changes} changed something`)
        // Silence after a reset near the stream is all that a mirror has.
        if (kind === 'rst' && !isBusy && source === undefined) return
        const delivered = connection.worker.counters.get(Counter.deliveredBytes)
        connection.wait(10_000)
        connection.request()
        assert.equal(connection.worker.counters.get(Counter.deliveredBytes) - delivered, REQUEST_LENGTH)
        assert.deepEqual(connection.worker.ended, [])
        connection.worker.close()
      })
    }
  }
}
