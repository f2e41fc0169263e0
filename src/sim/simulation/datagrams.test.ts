/** Datagrams through tcpcopy's loop in memory: every one is copied completely, or counted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Counter, Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { Fragments } from '../../core/capture/fragments.ts'
import { FLOW_IDLE_MS } from '../../core/datagrams/datagrams.ts'
import { ALL_FLOWS, Sampling, type Selection, WHOLE } from '../../core/selection/sampling.ts'
import { SELECTION_DEFAULTS } from '../../core/selection/settings.ts'
import { type WorkerShare, workerOf } from '../../core/selection/worker-share.ts'
import { DATAGRAM_MEMORY_LENGTH, DatagramCopier } from '../../daemon/copier/datagram-copier.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { parseAddress } from '../../wire/address.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { i32, put16, put32, u8, u16 } from '../../wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../wire/checksum.ts'
import { Datagram, parseDatagram, UDP } from '../../wire/datagram.ts'
import { Flaw } from '../../wire/flaw.ts'
import { isFragment } from '../../wire/ipv6.ts'
import { MemoryCapture, MemorySender, NotingWaiter } from '../network/memory-ports.ts'

const CLIENT = 0x0a000001
const SOURCE = 0x0a000002
const TARGET = 0x0a000003
const PORT = 53
const LABEL = 0x54321

const SOURCE_6 = parseAddress('2001:db8::2') ?? 0
const TARGET_6 = parseAddress('2001:db8::3') ?? 0
const CLIENT_6 = parseAddress('2001:db8::1') ?? 0

interface Sent {
  /** Of either version of IP. */
  readonly address?: number
  readonly port: number
  readonly payload: Uint8Array
  readonly hasChecksum?: boolean
}

function write({ address = CLIENT, port, payload, hasChecksum = true }: Sent): Uint8Array {
  const length = 8 + payload.length
  const header = isIpv6(address) ? header6(address, length) : header4(address, length)
  const packet = new Uint8Array(header.length + length)
  packet.set(header)
  const udpAt = header.length
  put16(packet, udpAt, port)
  put16(packet, udpAt + 2, PORT)
  put16(packet, udpAt + 4, length)
  packet.set(payload, udpAt + 8)
  const source = isIpv6(address) ? SOURCE_6 : SOURCE
  const total = pseudoHeaderSum(address, source, UDP, length) + sum(packet, udpAt, length)
  if (hasChecksum) put16(packet, udpAt + 6, ~fold(total) & 0xffff || 0xffff)
  return packet
}

function header4(address: number, length: number): Uint8Array {
  const header = new Uint8Array(20)
  header[0] = 0x45
  header[1] = 0xb9 // DSCP EF, and an ECN bit
  put16(header, 2, 20 + length)
  put16(header, 4, 0x1234)
  header[8] = 63
  header[9] = UDP
  put32(header, 12, address)
  put32(header, 16, SOURCE)
  return header
}

function header6(address: number, length: number): Uint8Array {
  const header = new Uint8Array(40)
  put32(header, 0, 0x6b900000 | LABEL)
  put16(header, 4, length)
  header[6] = UDP
  header[7] = 63
  addressBook.put(address, header, 8)
  addressBook.put(SOURCE_6, header, 24)
  return header
}

interface Arrived {
  readonly from: string
  readonly to: number
  readonly payload: string
}

/** A copier whose packets are reassembled and parsed. */
class Rig {
  readonly counters = new Counters()
  readonly capture = new MemoryCapture()
  readonly arrived: Arrived[] = []
  /** In the order sent. */
  readonly packets: Uint8Array[] = []
  readonly copier: DatagramCopier
  now = 1000
  mtu: number
  readonly #fragments = new Fragments()
  readonly #datagram = new Datagram()

  constructor(
    given: Partial<Selection> = {},
    targets = 1,
    mtu = 1500,
    flowsMax = 1024,
    isRefused = () => false,
    target = TARGET,
    share?: WorkerShare
  ) {
    this.mtu = mtu
    const maps = Array.from({ length: targets }, (_, index) => ({
      sourceAddress: 0,
      sourcePort: PORT,
      targetAddress: target + index,
      targetPort: PORT
    }))
    const options = {
      selection: { ...SELECTION_DEFAULTS, maps, sampling: { ...ALL_FLOWS, ...given } },
      flowsMax,
      mtuBytes: mtu,
      ...(share === undefined ? {} : { share })
    }
    const sender = new MemorySender((packet) => this.#take(packet), isRefused)
    const clock = { now: (): number => this.now }
    const ports = {
      capture: this.capture,
      sender,
      clock,
      waiter: new NotingWaiter(),
      notices: new Notices(),
      log: () => {}
    }
    this.copier = new DatagramCopier(ports, options, new Uint8Array(DATAGRAM_MEMORY_LENGTH), this.counters)
  }

  send(...datagrams: readonly Sent[]): void {
    this.capture.waiting.push(...datagrams.map(write))
    while (this.capture.waiting.length > 0) this.copier.turn()
  }

  /** Lets time pass. */
  wait(ms: number): void {
    this.now += ms
    this.copier.turn()
  }

  stop(): void {
    this.copier.stop()
    assert.equal(this.counters.unaccountedBytes(), 0)
    assert.equal(this.counters.get(Counter.pendingBytes), 0)
    assert.equal(this.counters.get(Counter.sessionsEnded), this.counters.get(Counter.sessionsStarted))
    assert.equal(this.copier.datagrams.count, 0)
  }

  #take(packet: Uint8Array): void {
    this.packets.push(packet.slice())
    assert.ok(packet.length <= this.mtu, `a packet of ${packet.length} bytes`)
    if (u8(packet, 0) >>> 4 === 6) {
      assert.equal(i32(packet, 0), 0x6b800000 | LABEL, 'DSCP and flow label')
      assert.equal(u8(packet, 7), 63)
    } else {
      assert.equal(fold(sum(packet, 0, 20)), 0xffff)
      assert.deepEqual([u8(packet, 1), u8(packet, 8)], [0xb8, 63], 'DSCP and time to live')
    }
    const isPart = isFragment(packet, 0, packet.length)
    if (!isPart && u8(packet, 0) === 0x45) assert.equal(u16(packet, 4), 0x1234)
    if (isPart && !this.#fragments.add(packet, 0, packet.length, this.now)) return
    const { bytes, at, length } = isPart ? this.#fragments : { bytes: packet, at: 0, length: packet.length }
    const { fromAddress, fromPort, toAddress, payloadAt, payloadLength } = this.#read(bytes, at, length)
    const payload = Buffer.from(bytes.subarray(payloadAt, payloadAt + payloadLength)).toString('hex')
    this.arrived.push({ from: `${fromAddress}:${fromPort}`, to: toAddress, payload })
  }

  #read(bytes: Uint8Array, at: number, length: number): Datagram {
    const datagram = this.#datagram
    assert.equal(parseDatagram(bytes, at, length, length, datagram), Flaw.None)
    const { fromAddress, toAddress, checksum } = datagram
    const udpAt = at + (isIpv6(toAddress) ? 40 : 20)
    const udpLength = at + length - udpAt
    const total = pseudoHeaderSum(fromAddress, toAddress, UDP, udpLength) + sum(bytes, udpAt, udpLength)
    if (checksum !== 0) assert.equal(fold(total), 0xffff, 'the checksum is wrong')
    return datagram
  }
}

const sizes = fc.oneof(fc.nat(40), fc.constantFrom(1471, 1472, 1473, 65_507), fc.nat(9000))
const datagrams = fc.array(
  fc.record({ port: fc.integer({ min: 40_000, max: 40_003 }), size: sizes, hasChecksum: fc.boolean() }),
  {
    minLength: 1,
    maxLength: 12
  }
)

test('every copy at every target gets all datagrams of its flow, in order, whatever their size and the MTU', () => {
  const shape = fc.record({ copies: fc.integer({ min: 1, max: 3 }), targets: fc.integer({ min: 1, max: 2 }) })
  fc.assert(
    fc.property(datagrams, shape, fc.integer({ min: 68, max: 9000 }), (list, { copies, targets }, mtu) => {
      const rig = new Rig({ copies: copies * WHOLE }, targets, mtu)
      const sent = list.map(({ port, size, hasChecksum }, index) => ({
        port,
        hasChecksum,
        payload: Uint8Array.from({ length: size }, (_, at) => (at * 7 + (at >> 8) + index) & 255)
      }))
      rig.send(...sent)
      for (const port of new Set(sent.map((one) => one.port))) {
        const expected = sent
          .filter((one) => one.port === port)
          .map(({ payload }) => Buffer.from(payload).toString('hex'))
        for (let target = TARGET; target < TARGET + targets; target++) {
          const own = rig.arrived.filter(({ from, to }) => to === target && from === `${CLIENT}:${port}`)
          assert.deepEqual(
            own.map(({ payload }) => payload),
            expected
          )
        }
      }
      assert.equal(rig.arrived.length, sent.length * copies * targets)
      const sentBytes = sent.reduce((total, { payload }) => total + payload.length, 0)
      assert.equal(rig.counters.get(Counter.deliveredBytes), sentBytes * copies * targets)
      rig.stop()
    }),
    { numRuns: 60 }
  )
})

test('IPv6 datagrams are copied too, with IPv6 fragments', () => {
  const arbitrarySizes = fc.array(fc.oneof(fc.nat(3000), fc.constantFrom(1232, 1233, 65_527)), { minLength: 1 })
  fc.assert(
    fc.property(arbitrarySizes, fc.integer({ min: 1280, max: 9000 }), (list, mtu) => {
      const rig = new Rig({}, 1, mtu, 1024, undefined, TARGET_6)
      const payloads = list.map((size, index) => Uint8Array.from({ length: size }, (_, at) => (at * 7 + index) & 255))
      rig.send(...payloads.map((payload) => ({ address: CLIENT_6, port: 40_000, payload })))
      assert.deepEqual(
        rig.arrived,
        payloads.map((payload) => ({
          from: `${CLIENT_6}:40000`,
          to: TARGET_6,
          payload: Buffer.from(payload).toString('hex')
        }))
      )
      rig.stop()
    }),
    { numRuns: 60 }
  )
})

test('fragments that two workers send for one client have different ids', () => {
  const payloads = [0, 1].map((worker) => new Uint8Array(3000).fill(worker))
  const cut = payloads.map((payload, worker) => {
    const share = { worker, workers: 2, sampling: new Int32Array(Sampling.length) }
    const rig = new Rig({}, 1, 1500, 1024, undefined, TARGET, share)
    const ports = Array.from({ length: 2000 }, (_, index) => 40_000 + index)
    rig.send({ port: ports.find((port) => workerOf(port, 2) === worker) ?? 0, payload })
    return rig.packets
  })
  const fragments = new Fragments()
  const arrived: Uint8Array[] = []
  for (const packet of cut[0]?.flatMap((one, index) => [one, cut[1]?.[index] ?? one]) ?? []) {
    if (!fragments.add(packet, 0, packet.length, 0)) continue
    arrived.push(fragments.bytes.slice(fragments.at + 28, fragments.at + fragments.length))
  }
  assert.deepEqual(arrived, payloads)
})

test('a damaged datagram is counted and not copied', () => {
  const rig = new Rig()
  const damaged = write({ port: 40_000, payload: new Uint8Array(10) })
  damaged[30] = 1
  rig.capture.waiting.push(damaged)
  rig.copier.turn()
  assert.equal(rig.arrived.length, 0)
  assert.equal(rig.counters.droppedBytes(Drop.BadChecksum), 10)
  rig.stop()
})

test('datagrams and fragments that the kernel refuses are lost and counted', () => {
  let count = 0
  const rig = new Rig({}, 1, 1500, 1024, () => ++count === 2)
  rig.send({ port: 40_000, payload: new Uint8Array(3000) }, { port: 40_000, payload: new Uint8Array(5) })
  assert.equal(rig.counters.droppedBytes(Drop.SendRefused), 1480)
  assert.equal(rig.counters.get(Counter.deliveredBytes), 3005 - 1480)
  assert.equal(rig.arrived.length, 1)
  rig.stop()
})

test('-r decides per flow, and again after a long silence', () => {
  const rig = new Rig({ share: WHOLE / 2 })
  const one = (port: number): Sent => ({ port, payload: new Uint8Array(10) })
  rig.send(one(1), one(2), one(1), one(2), one(2))
  assert.equal(rig.arrived.length, 2)
  assert.equal(rig.counters.droppedBytes(Drop.SampledOut), 30)
  rig.wait(FLOW_IDLE_MS - 1)
  rig.send(one(1))
  rig.wait(2)
  assert.equal(rig.copier.datagrams.count, 1)
  rig.send(one(2), one(2))
  assert.equal(rig.arrived.length, 5)
  rig.stop()
})

test('two flows that would collide at the target get different ports, and release them', () => {
  const rig = new Rig()
  // The same client and port, to another source address: the target could not distinguish them.
  const other = write({ port: 40_000, payload: Uint8Array.of(2) })
  put32(other, 16, SOURCE + 7)
  put16(other, 26, 0)
  rig.send({ port: 40_000, payload: Uint8Array.of(1) })
  rig.capture.waiting.push(other)
  rig.copier.turn()
  assert.deepEqual(
    rig.arrived.map(({ from }) => from),
    [`${CLIENT}:40000`, `${CLIENT}:40001`]
  )
  rig.stop()
})

test('when there are too many flows, others are forgotten, and nothing is lost', () => {
  const rig = new Rig({ copies: 2 * WHOLE }, 1, 1500, 8)
  for (let port = 40_000; port < 40_050; port++) rig.send({ port, payload: new Uint8Array(10) })
  assert.equal(rig.copier.datagrams.count, 8)
  assert.equal(rig.arrived.length, 100)
  rig.stop()
})

test('a burst that fills the arena and the outbox is sent in parts', () => {
  const rig = new Rig({ copies: 3 * WHOLE })
  const burst = Array.from({ length: 200 }, (_, index) => ({
    port: 40_000,
    payload: new Uint8Array(60_000).fill(index)
  }))
  rig.send(...burst)
  assert.equal(rig.arrived.length, 600)
  for (const { payload } of rig.arrived) assert.equal(payload, payload.slice(0, 2).repeat(60_000))
  rig.stop()
})

test('no input makes the parser throw, or read beyond the captured bytes', () => {
  const datagram = new Datagram()
  const wholes = [CLIENT, CLIENT_6].map((address) => write({ address, port: 40_000, payload: new Uint8Array(30) }))
  fc.assert(
    fc.property(
      fc.constantFrom(...wholes),
      fc.nat(57),
      fc.array(fc.tuple(fc.nat(57), fc.nat(255)), { maxLength: 6 }),
      (whole, length, changes) => {
        const bytes = whole.slice()
        for (const [at, value] of changes) bytes[at] = value
        const flaw = parseDatagram(bytes.subarray(0, length), 0, length, length, datagram)
        if (flaw === Flaw.None) assert.ok(datagram.payloadAt + datagram.payloadLength <= length)
      }
    )
  )
})

test('datagrams of a target are not copied, and those that it passes back are soon left out', () => {
  const rig = new Rig()
  const payload = Uint8Array.of(1, 2, 3)
  rig.send({ address: TARGET, port: 40_000, payload })
  assert.equal(rig.counters.droppedPackets(Drop.FromTarget), 1)
  rig.send({ port: 40_000, payload })
  // Whatever arrives at the target comes back from another address.
  for (let copied = 0; copied < rig.arrived.length && copied < 100; copied++) {
    rig.wait(5)
    rig.send({ address: 0x0a000004, port: 50_000 + copied, payload })
  }
  assert.equal(rig.arrived.length, 9 - 1)
  assert.equal(rig.counters.droppedPackets(Drop.Loop), 1)
  rig.wait(3000)
  rig.send({ address: 0x0a000004, port: 40_000, payload: Uint8Array.of(9) })
  assert.equal(rig.arrived.length, 9)
  rig.stop()
})
