import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Frame, pcapFile } from '../../../test/capture-file.ts'
import { Counter, Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { parseAddress } from '../../wire/address.ts'
import { put16 } from '../../wire/bytes.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { ACK, Segment, SYN } from '../../wire/segment.ts'
import type { Chunk, ChunkSource } from './chunks.ts'
import { FileCapture, type FileCaptureOptions } from './file-capture.ts'

const CLIENT = 0x0a000001
const SERVER = 0x0a000002

function request(timeMs: number, name: string, clientPort = 40_000): Frame {
  const fields = { fromAddress: CLIENT, fromPort: clientPort, toAddress: SERVER, toPort: 80, seq: 1, ack: 1 }
  return { timeMs, bytes: writePacket({ ...fields, flags: ACK, payload: Buffer.from(name) }) }
}

function answer(timeMs: number): Frame {
  const fields = { fromAddress: SERVER, fromPort: 80, toAddress: CLIENT, toPort: 40_000, seq: 1, ack: 1 }
  return { timeMs, bytes: writePacket({ ...fields, flags: ACK, payload: Buffer.from('answer') }) }
}

/** A file that is complete from the beginning, and can be read repeatedly. */
class Rounds implements ChunkSource {
  readonly #file: Uint8Array
  readonly #failure: string
  #at = 0

  constructor(file: Uint8Array, failure = '') {
    this.#file = file
    this.#failure = failure
  }

  take(): Chunk {
    const bytes = Uint8Array.from(this.#file.subarray(this.#at, this.#at + 100))
    this.#at = bytes.length === 0 ? 0 : this.#at + 100
    return bytes.length === 0 ? { failure: this.#failure } : { buffer: bytes.buffer, length: bytes.length }
  }

  giveBack(): void {}
}

interface Given {
  readonly at: number
  readonly payload: string
  readonly port: number
}

class Bench {
  now = 0
  hasRoom = true
  isSettled = true
  roundCount = 1
  readonly given: Given[] = []
  readonly counters = new Counters()
  readonly capture: FileCapture

  constructor(frames: readonly Frame[], options: Partial<FileCaptureOptions> = {}, failure = '') {
    const file = pcapFile(frames, { isLittle: true, isNano: false, linkType: 101 })
    const taker = {
      hasRoom: () => this.hasRoom,
      isSettled: () => this.isSettled,
      endRound: () => {
        this.roundCount += 1
      }
    }
    this.capture = new FileCapture(
      {
        pace: { speed: 1, gapMaxMs: Number.POSITIVE_INFINITY },
        from: undefined,
        to: undefined,
        rounds: 1,
        isChecking: true,
        filterFor: undefined,
        isWanted: (_, port) => port === 80,
        ...options
      },
      new Rounds(file, failure),
      taker,
      { now: () => this.now },
      this.counters
    )
  }

  /** Polls at each time that the capture names, until it is done. */
  run(until = 100_000): void {
    while (!this.capture.isDone && this.now <= until) {
      this.receive()
      if (this.capture.deadline === Number.POSITIVE_INFINITY) return
      this.now = Math.max(this.now, this.capture.deadline)
    }
  }

  receive(packetsMax = 256): number {
    return this.capture.receive((bytes, at, captured, wire) => {
      const segment = new Segment()
      parseIp(bytes, at, captured, wire, false, segment)
      const payload = Buffer.from(bytes.subarray(segment.payloadAt, segment.payloadAt + segment.payloadLength))
      this.given.push({ at: this.now, payload: payload.toString(), port: segment.fromPort })
    }, packetsMax)
  }
}

function times(bench: Bench): (string | number)[][] {
  return bench.given.map(({ at, payload }) => [at, payload])
}

test('packets come when they are due; answers and other traffic do not', () => {
  const other = { ...request(1_001, 'other'), bytes: request(0, 'x').bytes.slice() }
  put16(other.bytes, 22, 81)
  const bench = new Bench([request(1000, 'a'), answer(1000.5), other, request(1010.5, 'b'), request(1010.5, 'c')])
  bench.run()
  assert.deepEqual(times(bench), [
    [0, 'a'],
    [10.5, 'b'],
    [10.5, 'c']
  ])
  assert.equal(bench.capture.isDone, true)
  assert.equal(bench.counters.get(Counter.filePackets), 5)
  assert.equal(bench.counters.get(Counter.fileLeftOut), 2)
  assert.deepEqual(bench.capture.servers.list(9), [{ address: SERVER, port: 81, packets: 1, connections: 0 }])
})

test('where the copy has no room the file waits, and its pauses stay', () => {
  const bench = new Bench([request(0, 'a'), request(10, 'b'), request(30, 'c')])
  bench.receive()
  bench.now = 10
  bench.hasRoom = false
  assert.equal(bench.receive(), 0)
  assert.equal(bench.capture.isWaitingForCopy, true)
  bench.now = 500
  assert.equal(bench.receive(), 0)
  bench.hasRoom = true
  bench.run()
  assert.deepEqual(times(bench), [
    [0, 'a'],
    [500, 'b'],
    [520, 'c']
  ])
})

test('--from and --to choose by time, of the clock or of the file', () => {
  const frames = [request(5000, 'a'), request(6000, 'b'), request(7000, 'c')]
  const at = (ms: number, isRelative: boolean) => ({ ms, isRelative })
  for (const [from, to, expected] of [
    [at(6000, false), undefined, ['b', 'c']],
    [undefined, at(6000, false), ['a']],
    [at(1000, true), at(2000, true), ['b']]
  ] as const) {
    const bench = new Bench(frames, { from, to })
    bench.run()
    assert.deepEqual(
      bench.given.map(({ payload }) => payload),
      expected
    )
    assert.equal(bench.given[0]?.at, 0)
  }
})

test('each round waits for the end of the one before, and gives clients other ports', () => {
  const bench = new Bench([request(0, 'a'), request(5, 'b', 1023), request(5, 'c', 65_535)], { rounds: 3 })
  bench.isSettled = false
  bench.run(50)
  assert.equal(bench.given.length, 3)
  assert.equal(bench.capture.isWaitingForCopy, true)
  bench.isSettled = true
  bench.run()
  assert.equal(bench.capture.isDone, true)
  assert.equal(bench.roundCount, 3)
  assert.deepEqual(
    bench.given.map(({ payload }) => payload),
    ['a', 'b', 'c', 'a', 'b', 'c', 'a', 'b', 'c']
  )
  const ports = bench.given.map(({ port }) => port)
  assert.deepEqual(ports.slice(0, 3), [40_000, 1023, 65_535])
  assert.equal(new Set(ports).size, 7)
  assert.ok(ports.every((port) => port === 1023 || port >= 1024))
})

test('a file of which nothing is wanted ends after the first round', () => {
  const bench = new Bench([answer(0)], { rounds: 0 })
  bench.run()
  assert.equal(bench.capture.isDone, true)
})

test('what was readable is given, and the rest named', () => {
  const cut = { ...request(1, 'cut'), wireLength: 9999 }
  const bench = new Bench([request(0, 'a'), cut], {}, 'the disk is broken')
  bench.run()
  assert.deepEqual(
    bench.given.map(({ payload }) => payload),
    ['a', 'cut']
  )
  assert.equal(bench.capture.failure, 'the disk is broken')
})

test('fragments are put together; those that lack others are counted', () => {
  const whole = request(0, 'a request in two fragments').bytes
  const first = whole.slice(0, 44)
  put16(first, 2, 44)
  put16(first, 6, 0x2000)
  const second = new Uint8Array([...whole.subarray(0, 20), ...whole.subarray(44)])
  put16(second, 2, second.length)
  put16(second, 6, 3)
  const lone = first.slice()
  put16(lone, 4, 99)
  const bench = new Bench([second, first, lone].map((bytes) => ({ timeMs: 0, bytes })))
  bench.run()
  assert.deepEqual(times(bench), [[0, 'a request in two fragments']])
  assert.equal(bench.counters.report()['dropped.fragment'], 1)
})

test('a filter chooses packets', () => {
  const odd = [
    { code: 0x80, jt: 0, jf: 0, k: 0 },
    { code: 0x54, jt: 0, jf: 0, k: 1 },
    { code: 0x16, jt: 0, jf: 0, k: 0 }
  ]
  const bench = new Bench([request(0, 'odd'), request(0, 'even')], { filterFor: () => odd })
  bench.run()
  assert.deepEqual(times(bench), [[0, 'odd']])
})

test('one call gives no more than was asked for, and goes on at once', () => {
  const bench = new Bench([request(0, 'a'), request(0, 'b'), request(0, 'c')])
  assert.equal(bench.receive(2), 2)
  assert.equal(bench.capture.deadline, 0)
  assert.equal(bench.receive(2), 1)
})

test('an opening packet of a server that is not wanted counts as a connection', () => {
  const fields = { fromAddress: CLIENT, fromPort: 40_000, toAddress: SERVER, toPort: 8080, seq: 1 }
  const bench = new Bench([{ timeMs: 0, bytes: writePacket({ ...fields, flags: SYN }) }])
  bench.run()
  assert.deepEqual(bench.capture.servers.list(9), [{ address: SERVER, port: 8080, packets: 1, connections: 1 }])
})

const CLIENT_6 = parseAddress('2001:db8::10') ?? 0
const SERVER_6 = parseAddress('2001:db8::2') ?? 0

function request6(timeMs: number, name: string, toPort = 80): Frame {
  const fields = { fromAddress: CLIENT_6, fromPort: 40_000, toAddress: SERVER_6, toPort, seq: 1, ack: 1 }
  return { timeMs, bytes: writePacket({ ...fields, flags: ACK, payload: Buffer.from(name) }) }
}

/** Two fragments of an IPv6 packet without other extension headers, split 4 bytes after the TCP header. */
function fragmentsOf({ timeMs, bytes }: Frame): Frame[] {
  const carried = bytes.subarray(40)
  return [carried.subarray(0, 24), carried.subarray(24)].map((part, index) => {
    const header = Uint8Array.from(bytes.subarray(0, 40))
    header[6] = 44
    put16(header, 4, 8 + part.length)
    const field = index === 0 ? 1 : 24
    return { timeMs: timeMs + index, bytes: Buffer.concat([header, Buffer.from([6, 0, 0, field, 0, 0, 0, 9]), part]) }
  })
}

test('packets over IPv6 come like others, put together from fragments where they are cut', () => {
  const lost = fragmentsOf(request6(50, 'of which the rest is not there')).slice(0, 1)
  const frames = [request6(0, 'one'), request(10, 'two'), ...fragmentsOf(request6(20, 'three')), ...lost]
  const bench = new Bench(frames)
  bench.run()
  assert.deepEqual(times(bench), [
    [0, 'one'],
    [10, 'two'],
    [21, 'three']
  ])
  assert.equal(bench.counters.droppedPackets(Drop.Fragment), 1)
})

test('servers over IPv6 that nobody wants are told', () => {
  const bench = new Bench([request6(0, 'one', 8080), request6(1, 'two', 8080)])
  bench.run()
  assert.deepEqual(
    bench.capture.servers.list(2).map(({ address, port, packets }) => [address, port, packets]),
    [[SERVER_6, 8080, 2]]
  )
  const kept: number[] = []
  bench.capture.eachAddress((address) => kept.push(address))
  assert.deepEqual(kept, [SERVER_6])
})
