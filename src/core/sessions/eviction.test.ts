import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulatedWorker, type SimulatedWorkerOptions } from '../../sim/drill/simulated-worker.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { ACK, PSH, Segment, SYN } from '../../wire/segment.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'

const SOURCE = 0x0a000001
const TARGET = 0x0a000002
const PORT = 80
/** The most that a piece holds with an MSS of 1460. Four of them fill a page. */
const REQUEST = 14_600

class Client {
  readonly port: number
  readonly #worker: SimulatedWorker
  #seq = 100
  #ack = 300

  constructor(worker: SimulatedWorker, port: number) {
    this.#worker = worker
    this.port = port
    this.#say(SYN, 99, 0)
    this.#say(ACK, 100, 0)
  }

  /** Sends a request, and reads an answer. The turn continues. */
  ask(): void {
    this.#say(ACK | PSH, this.#seq, REQUEST)
    this.#seq += REQUEST
    this.#ack += 10
  }

  #say(flags: number, seq: number, length: number): void {
    const { port } = this
    const ends = { fromAddress: 0x0b000001, fromPort: port, toAddress: SOURCE, toPort: PORT }
    this.#worker.source(writePacket({ ...ends, flags, seq, ack: this.#ack, payload: new Uint8Array(length) }))
  }
}

function setUp(options: Partial<SimulatedWorkerOptions>, ports: readonly number[]) {
  const map = { sourceAddress: 0, sourcePort: PORT, targetAddress: TARGET, targetPort: PORT }
  const worker = new SimulatedWorker({ maps: [map], ...options })
  return { worker, counters: worker.counters, clients: ports.map((port) => new Client(worker, port)) }
}

/** Client ports of the SYNs and resets sent since the last call. */
function sentBy(worker: SimulatedWorker, flags: number): number[] {
  const segment = new Segment()
  return worker.sent
    .splice(0)
    .filter((packet) => {
      packet.parse(segment)
      return (segment.flags & flags) !== 0
    })
    .map((packet) => {
      packet.parse(segment)
      return segment.fromPort
    })
}

test('when the pool runs short, sessions with the oldest bytes drop what they hold and reconnect later', () => {
  const { worker, counters, clients } = setUp({ poolPages: 16 }, [1001, 1002, 1003, 1004])
  assert.deepEqual(sentBy(worker, SYN), [1001, 1002, 1003, 1004])
  // The target does not answer: 15 requests each are 60 of the 64 that the pool holds.
  const [second, oldest, ...others] = clients
  for (const client of [oldest, second, ...others]) {
    for (let count = 0; count < 15; count++) client?.ask()
    worker.step(worker.now + 1)
  }
  assert.equal(counters.get(Counter.sessionsEvicted), 1)
  assert.equal(counters.droppedBytes(Drop.Evicted), 15 * REQUEST)
  assert.equal(counters.droppedBytes(Drop.PoolFull), 0)
  assert.equal(counters.get(Counter.sessionsContinued), 1)
  assert.deepEqual(sentBy(worker, SYN), [], 'it has nothing to send yet')
  oldest?.ask()
  assert.deepEqual(sentBy(worker, SYN), [1002], 'the next request opens a new connection')
  assert.equal(counters.get(Counter.pendingBytes), 46 * REQUEST)
  worker.close()
})

test('if one session shares its pages with others, no more sessions are evicted than necessary', () => {
  const { worker, counters, clients } = setUp({ poolPages: 16 }, [1001, 1002, 1003, 1004])
  for (let count = 0; count < 15; count++) for (const client of clients) client.ask()
  worker.step(worker.now + 1)
  worker.step(worker.now + 1)
  assert.equal(counters.get(Counter.sessionsEvicted), 1)
  assert.equal(counters.get(Counter.pendingBytes), 45 * REQUEST)
  worker.close()
})

test('payload that does not fit within one turn is dropped as poolFull, and the books balance', () => {
  const { worker, counters, clients } = setUp({ poolPages: 1 }, [1001])
  for (let count = 0; count < 7; count++) clients[0]?.ask()
  assert.equal(counters.droppedBytes(Drop.PoolFull), 3 * REQUEST)
  assert.equal(counters.droppedPackets(Drop.PoolFull), 3)
  assert.equal(counters.get(Counter.pendingBytes), 4 * REQUEST)
  worker.close()
})

/** Lets the target acknowledge what the client at `port` has sent so far. */
function acknowledge(worker: SimulatedWorker, port: number, ack: number): void {
  const ends = { fromAddress: TARGET, fromPort: PORT, toAddress: 0x0b000001, toPort: port }
  const flags = ack === 100 ? SYN | ACK : ACK
  worker.target(
    writePacket({ ...ends, flags, seq: ack === 100 ? 500 : 501, ack, window: 0xffff, payload: new Uint8Array() })
  )
  worker.step(worker.now + 1)
}

test('a hole made by a full pool is given up as soon as everything before it is delivered', () => {
  const { worker, counters, clients } = setUp({ poolPages: 16, isWaiting: false }, [1001, 1002])
  const [large, small] = clients
  for (let count = 0; count < 63; count++) large?.ask()
  for (let count = 0; count < 3; count++) small?.ask()
  worker.step(worker.now + 1)
  assert.equal(counters.droppedBytes(Drop.PoolFull), 2 * REQUEST)
  assert.equal(counters.get(Counter.sessionsEvicted), 1, 'the session with the oldest bytes is evicted')
  small?.ask()
  worker.step(worker.now + 1)
  for (let bytes = 0; bytes < REQUEST; bytes += 1460) acknowledge(worker, 1002, 100 + bytes)
  assert.equal(counters.get(Counter.holesOfPool), 0)
  const before = worker.now
  acknowledge(worker, 1002, 100 + REQUEST)
  worker.step(before + 3)
  assert.equal(counters.get(Counter.holesOfPool), 1)
  assert.equal(counters.get(Counter.sessionsContinued), 2)
  worker.close()
})

test('a session that holds most of the pool delivers it, and gives up only what comes meanwhile', () => {
  const { worker, counters, clients } = setUp({ poolPages: 16, isWaiting: false }, [1001])
  const [large] = clients
  acknowledge(worker, 1001, 100)
  for (let count = 0; count < 61; count++) large?.ask()
  let acknowledged = 100
  const deliver = (bytes: number): void => {
    for (const end = acknowledged + bytes; acknowledged < end; ) {
      acknowledged += 1460
      acknowledge(worker, 1001, acknowledged)
    }
  }
  deliver(1460)
  for (let count = 0; count < 5; count++) large?.ask()
  deliver(61 * REQUEST - 1460)
  assert.equal(counters.get(Counter.sessionsEvicted), 0)
  assert.equal(counters.get(Counter.deliveredBytes), 61 * REQUEST)
  assert.equal(counters.droppedBytes(Drop.PoolFull), 5 * REQUEST)
  large?.ask()
  worker.step(worker.now + 3)
  assert.equal(counters.get(Counter.sessionsContinued), 1, 'it goes on with a request that is certainly whole')
  worker.close()
})
