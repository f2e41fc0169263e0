/** A flood of SYNs whose clients do not exist. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SimulatedWorker } from '../../sim/drill/simulated-worker.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { put32 } from '../../wire/bytes.ts'
import type { Flow } from '../../wire/flow.ts'
import { ACK, PSH, parseIpv4, Segment, SYN } from '../../wire/segment.ts'
import { HALF_OPEN_DEFAULT } from '../admission/half-open.ts'
import { Counter } from '../books/counters.ts'
import { QUESTIONS_MAX } from '../selection/source.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'

const SOURCE = { toAddress: 0x0a000002, toPort: 80 }
const MAP = { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 }
const FLOOD = 1_000_000
const WARM_UP = 2000
/** Address of the first real client. */
const CLIENT = 0x0c000000
/** Real connections, spread over the flood. */
const CLIENTS = 20
const MEGABYTE = 2 ** 20

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void // as: V8's function

/** Bytes of heap and arrays after a collection. */
function memoryInUse(): number {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** The source's kernel during the flood: it knows the real clients once they have acknowledged. */
class FloodedSource implements SourceSockets {
  readonly receivedBytes = Number.NaN
  questions = 0
  readonly #ofFlood: SourceState
  #acknowledged = 0

  /** @param ofFlood what it says of everybody else */
  constructor(ofFlood: SourceState) {
    this.#ofFlood = ofFlood
  }

  stateOf({ clientAddress }: Flow): SourceState {
    this.questions += 1
    const isReal = clientAddress >= CLIENT && clientAddress < CLIENT + this.#acknowledged
    return isReal ? SourceState.Connected : this.#ofFlood
  }

  /** The next real client has acknowledged. */
  acknowledged(): void {
    this.#acknowledged += 1
  }
}

/** @param isForging every second SYN is followed by an acknowledgment with invented numbers */
function flood(source: FloodedSource | undefined, isForging: boolean, size = FLOOD): void {
  const worker = new SimulatedWorker({ maps: [MAP], halfOpenMax: HALF_OPEN_DEFAULT, sessionsMax: 1 << 20, source })
  const { counters, sessions } = worker
  const packets = [SYN, ACK].map((flags) => writePacket({ fromAddress: 1, fromPort: 1, ...SOURCE, flags, seq: 1 }))
  const segment = new Segment()
  const beganAt = worker.now
  const before = memoryInUse()
  let joined = 0
  for (let index = 0; index < size; index++) {
    // Ten per millisecond, from addresses of their own.
    if (index % 10 === 0) worker.step(worker.now + 1)
    for (const [isAck, packet] of packets.entries()) {
      if (isAck && !(isForging && index % 2 === 0)) continue
      put32(packet, 12, 0x0b000000 + index)
      put32(packet, 24, Math.imul(index, 0x9e3779b1) + isAck)
      parseIpv4(packet, 0, packet.length, packet.length, false, segment)
      sessions.onSource(segment, worker.now)
      sessions.settle(worker.now)
    }
    if (index % (size / CLIENTS) !== 0) continue
    const client = { fromAddress: CLIENT + joined, fromPort: 40_000, ...SOURCE }
    worker.source(writePacket({ ...client, flags: SYN, seq: 7 + joined * 1000 }))
    worker.step(worker.now + 30)
    source?.acknowledged()
    worker.source(
      writePacket({ ...client, flags: ACK | PSH, seq: 8 + joined * 1000, ack: 1, payload: new Uint8Array(10) })
    )
    joined += 1
    for (const kept of [worker.sent, worker.ended, worker.announced]) kept.length = 0
  }
  assert.equal(counters.get(Counter.sessionsJoined), 0)
  // Half-open copies that were given up have made room for others of the flood.
  assert.ok(sessions.count <= CLIENTS + HALF_OPEN_DEFAULT, `${sessions.count} sessions`)
  assert.ok(counters.get(Counter.sessionsStarted) >= CLIENTS)
  assert.equal(counters.get(Counter.pendingBytes), 10 * CLIENTS, 'all real clients are copied')
  for (const kept of [worker.sent, worker.ended, worker.announced]) kept.length = 0
  const grown = (memoryInUse() - before) / MEGABYTE
  assert.ok(grown < 5, `${grown.toFixed(1)} MB more`)
  if (source !== undefined) {
    const most = ((worker.now - beganAt) / 1000 + 1) * QUESTIONS_MAX
    assert.ok(source.questions <= most, `${source.questions} questions, not ${most}`)
  }
  worker.close()
}

test('a flood of a million SYNs costs little memory, and the connections of real clients are copied', () => {
  // Compiled code is no memory of the flood.
  flood(undefined, false, WARM_UP)
  flood(undefined, false)
})

test('so does a flood half of which is acknowledged by invented numbers, if the kernel can be asked', () => {
  flood(new FloodedSource(SourceState.HalfOpen), true)
})

test('and one that the source answers with SYN cookies, so that its kernel has no half-open connections', () => {
  flood(new FloodedSource(SourceState.None), true)
})
