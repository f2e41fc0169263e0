/** A flood of SYNs whose clients do not exist. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SimulatedWorker } from '../../sim/drill/simulated-worker.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { put32 } from '../../wire/bytes.ts'
import { ACK, PSH, parseIpv4, Segment, SYN } from '../../wire/segment.ts'
import { HALF_OPEN_DEFAULT } from '../admission/half-open.ts'
import { Counter } from '../books/counters.ts'

const SOURCE = { toAddress: 0x0a000002, toPort: 80 }
const MAP = { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 }
const FLOOD = 1_000_000
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

test('a flood of a million SYNs costs little memory, and the connections of real clients are copied', () => {
  const worker = new SimulatedWorker({ maps: [MAP], halfOpenMax: HALF_OPEN_DEFAULT, sessionsMax: 1 << 20 })
  const { counters, sessions } = worker
  const syn = writePacket({ fromAddress: 1, fromPort: 1, ...SOURCE, flags: SYN, seq: 1 })
  const segment = new Segment()
  const before = memoryInUse()
  let joined = 0
  for (let index = 0; index < FLOOD; index++) {
    // Ten per millisecond, from addresses of their own.
    if (index % 10 === 0) worker.step(worker.now + 1)
    put32(syn, 12, 0x0b000000 + index)
    put32(syn, 24, Math.imul(index, 0x9e3779b1))
    parseIpv4(syn, 0, syn.length, syn.length, false, segment)
    sessions.onSource(segment, worker.now)
    sessions.settle(worker.now)
    if (index % (FLOOD / CLIENTS) !== 0) continue
    const client = { fromAddress: 0x0c000000 + joined, fromPort: 40_000, ...SOURCE }
    worker.source(writePacket({ ...client, flags: SYN, seq: 7 + joined * 1000 }))
    worker.step(worker.now + 30)
    worker.source(
      writePacket({ ...client, flags: ACK | PSH, seq: 8 + joined * 1000, ack: 1, payload: new Uint8Array(10) })
    )
    joined += 1
    worker.sent.length = 0
  }
  assert.equal(counters.get(Counter.sessionsJoined), 0)
  // Half-open copies that were given up have made room for others of the flood.
  assert.ok(sessions.count <= CLIENTS + HALF_OPEN_DEFAULT, `${sessions.count} sessions`)
  assert.ok(counters.get(Counter.sessionsStarted) >= CLIENTS)
  assert.equal(counters.get(Counter.pendingBytes), 10 * CLIENTS, 'all real clients are copied')
  for (const kept of [worker.sent, worker.ended, worker.announced]) kept.length = 0
  const grown = (memoryInUse() - before) / MEGABYTE
  assert.ok(grown < 5, `${grown.toFixed(1)} MB more`)
  worker.close()
})
