/** intercept as a whole, in memory: what each build of tcpcopy 1.x receives, byte for byte. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Translation } from '../../core/assistant/address-translation.ts'
import { InterceptCounter, InterceptCounters } from '../../core/books/intercept-counters.ts'
import type { Capture, Stream } from '../../ports.ts'
import { countingCryptography, MemoryCapture } from '../../sim/network/memory-ports.ts'
import { ACKNOWLEDGMENT, ANSWER, HELLO, ROUTE, SYN_ACK } from '../../sim/network/recorded-exchange.ts'
import { Framings } from '../../wire/channel/channel-v1.ts'
import { TranslatingCapture } from '../capture/translating-capture.ts'
import { CHANNEL_DEFAULT, type ChannelOptions } from '../channel/negotiation.ts'
import { Notices } from '../notices/notices.ts'
import { Interceptor } from './interceptor.ts'

const OK = '2b4f4b0d0a'
/** Follows the headers of an answer with 12 bytes of options, and those of a SYN-ACK with 20. */
const NO_MORE = '00'.repeat(128)
const ANSWER_WITH_PAYLOAD = `${ANSWER.slice(0, 104)}${OK}${'00'.repeat(135)}`

const V1: ChannelOptions = { ...CHANNEL_DEFAULT, version: 1 }

/** An offer of version 2 by one instance; a switch and an introduction. */
const OFFER = '0000000000000006544356320200'
const SWITCH = `0000000000000007${'00'.repeat(6)}10140000${'11'.repeat(16)}`
const ROUTE_2 = '111000000a4d00520a4d008fce3418eb'

class Peer implements Stream {
  readonly peer = 'peer'
  readonly failure = ''
  readonly open = true
  readonly input = new Uint8Array(200)
  inputLength = 0
  written = ''
  isClosed = false

  say(hex: string): void {
    const data = Buffer.from(hex, 'hex')
    this.input.set(data, this.inputLength)
    this.inputLength += data.length
    this.#isNew = data.length
  }
  #isNew = 0

  read(): number {
    const count = this.#isNew
    this.#isNew = 0
    return count
  }
  write(bytes: Uint8Array, at: number, length: number): number {
    this.written += Buffer.from(bytes.subarray(at, at + length)).toString('hex')
    return length
  }
  awaitWritable(): void {}
  close(): void {
    this.isClosed = true
  }
}

/** When the clock of a world showed 0, in ms since 1970. */
const EPOCH = 1_700_000_000_000

class World {
  now = 1000
  readonly counters = new InterceptCounters()
  readonly capture = new MemoryCapture()
  readonly logged: string[] = []
  readonly #waiting: Peer[] = []
  readonly #interceptor: Interceptor

  /** Called when intercept waits for more answers. */
  onPause = (): void => {}
  /** When the packets of the capture were captured, in ms since 1970. */
  capturedAtMs: number | undefined = undefined

  constructor(channel: ChannelOptions, translations: readonly Translation[] = [], keepsFirst = false) {
    const world = this
    const capture: Capture = {
      receive: (sink, packetsMax) => this.capture.receive(sink, packetsMax),
      dropped: () => 0,
      get capturedAtMs() {
        return world.capturedAtMs ?? Number.NaN
      },
      close: () => {}
    }
    const ports = {
      captures: [new TranslatingCapture(capture, translations)],
      listener: { accept: () => this.#waiting.shift(), close: () => {} },
      cryptography: countingCryptography(),
      clock: { now: () => this.now, epoch: () => EPOCH },
      waiter: { wait: () => {}, pause: () => this.onPause() },
      notices: new Notices(),
      log: (_: string, message: string) => this.logged.push(message)
    }
    const options = { delayMax: 16, recordsMax: 16, channel, keepsFirst }
    this.#interceptor = new Interceptor(ports, options, this.counters)
  }

  connect(hello = HELLO): Peer {
    const peer = new Peer()
    peer.say(hello)
    this.#waiting.push(peer)
    this.turn()
    return peer
  }

  /** @param packets of the target in one turn, in hex */
  turn(...packets: readonly string[]): void {
    this.capture.waiting.push(...packets.map((packet) => new Uint8Array(Buffer.from(packet, 'hex'))))
    this.#interceptor.turn()
  }

  /** The whole exchange, after a tcpcopy has announced its route if it must. */
  answer(): void {
    this.turn(SYN_ACK)
    this.turn(ACKNOWLEDGMENT.slice(0, 104), ANSWER.slice(0, 104) + OK)
  }
}

const FRAMINGS = [
  { name: 'combined', framing: Framings.Combined, expected: `0001${SYN_ACK}0002${ACKNOWLEDGMENT}${ANSWER}` },
  { name: 'not combined', framing: Framings.Bare, expected: `${SYN_ACK}${ACKNOWLEDGMENT}${ANSWER}` },
  {
    name: 'with payload',
    framing: Framings.WithPayload,
    expected: `0001${SYN_ACK}${NO_MORE}0002${ACKNOWLEDGMENT}${NO_MORE}${ANSWER_WITH_PAYLOAD}`
  }
] as const

for (const { name, framing, expected } of FRAMINGS) {
  test(`${name}: a recorded exchange gives the same output as intercept 1.x`, () => {
    const world = new World({ ...V1, framing })
    const peer = world.connect()
    peer.say(ROUTE)
    world.answer()
    assert.equal(peer.written, expected)
  })

  test(`${name}: a SYN-ACK captured before its route is sent unchanged afterwards`, () => {
    const world = new World({ ...V1, framing })
    const peer = world.connect()
    world.turn(SYN_ACK)
    // A record holds nothing of the previous one.
    world.turn(`45000098${ANSWER.slice(8, 104)}${'78'.repeat(100)}`)
    peer.say(ROUTE)
    world.turn()
    assert.equal(peer.written, expected.slice(0, 2 * (framing.countLength + framing.recordLength)))
  })

  test(`${name}, single: the output is the same without a route, even if an address was translated`, () => {
    const original = { newAddress: 0x0a4d008f, newPort: 6379, originalAddress: 0x0a4d0090, originalPort: 80 }
    const world = new World({ ...V1, framing, isSingle: true }, [original])
    const [first, second] = [world.connect(), world.connect()]
    world.answer()
    assert.equal(first.written, expected.replaceAll('0a4d008f', '0a4d0090').replaceAll('18ebce34', '0050ce34'))
    assert.equal(second.written, '')
    assert.equal(world.counters.get(InterceptCounter.forwardedHeaders), 3)
  })
}

test('a message has at most six records with payload', () => {
  const world = new World({ ...V1, framing: Framings.WithPayload })
  const peer = world.connect()
  peer.say(ROUTE)
  world.turn(...new Array<string>(8).fill(ACKNOWLEDGMENT.slice(0, 104)))
  const record = ACKNOWLEDGMENT + NO_MORE
  assert.equal(peer.written, `0006${record.repeat(6)}0002${record.repeat(2)}`)
})

test('single: a later tcpcopy replaces the first, or is refused with -c', () => {
  for (const keepsFirst of [false, true]) {
    const world = new World({ ...V1, isSingle: true }, [], keepsFirst)
    const first = [world.connect(), world.connect()]
    world.now += 3001
    const later = world.connect()
    assert.deepEqual(
      [...first, later].map((peer) => peer.isClosed),
      keepsFirst ? [false, false, true] : [true, true, false]
    )
    world.answer()
    assert.equal(later.written === '', keepsFirst)
    assert.equal(world.counters.get(InterceptCounter.peersOpen), keepsFirst ? 2 : 1)
  }
})

test('single: without a tcpcopy answers are counted as without a route', () => {
  const world = new World({ ...V1, isSingle: true })
  world.answer()
  assert.equal(world.counters.get(InterceptCounter.unroutedHeaders), 3)
})

test('version 2: an answer record has the age of its newest answer', () => {
  for (const [capturedAtMs, age] of [
    [undefined, '00'],
    [EPOCH + 1000 - 0.1 - 0.001, '24'],
    [EPOCH + 1000 + 5, '01'],
    [EPOCH + 999, '3f']
  ] as const) {
    const world = new World(CHANNEL_DEFAULT)
    const peer = world.connect(OFFER)
    peer.say(SWITCH + ROUTE_2)
    world.turn()
    peer.written = ''
    world.capturedAtMs = capturedAtMs
    world.turn(ANSWER.slice(0, 104) + OK)
    const flow = '0a4d00520a4d008fce3418eb'
    assert.equal(peer.written, `01284110${flow}4b4cffb0041c00${age}14dcd58ccbc6709abefce05580000005`)
  }
})

test('many connections: answers wait briefly, and routes that arrive meanwhile are handled first', () => {
  const world = new World(CHANNEL_DEFAULT)
  const peer = world.connect(OFFER)
  const ports = Array.from({ length: 64 }, (_, index) => (0xc000 + index).toString(16))
  const late = 'd000'
  const routeOf = (port: string) => ROUTE_2.replace('ce34', port)
  const answerTo = (port = '') => ANSWER.slice(0, 104).replace('ce34', port) + OK
  peer.say(SWITCH)
  world.turn()
  for (const port of ports) {
    peer.say(routeOf(port))
    world.turn()
  }
  let pauses = 0
  world.onPause = () => {
    pauses += 1
  }
  for (let turn = 0; turn < 40; turn++) {
    world.now += 0.5
    world.turn(answerTo(ports[turn % 2]))
  }
  assert.equal(pauses, 0, 'two connections')
  for (let turn = 0; turn < 200; turn++) {
    world.now += 0.05
    world.turn(answerTo(ports[turn % 64]))
  }
  assert.ok(pauses > 0)
  world.onPause = () => {
    peer.say(routeOf(late))
    world.capture.waiting.push(new Uint8Array(Buffer.from(answerTo(late), 'hex')))
  }
  peer.written = ''
  world.turn(answerTo(ports[0]))
  const flows = [...peer.written.matchAll(/0a4d00520a4d008f(....)18eb/g)].map(([, port]) => port)
  assert.deepEqual(flows, [ports[0], late])
})

test('what happened in a turn is in the log when the turn is over', () => {
  const world = new World({ ...CHANNEL_DEFAULT, version: 1 })
  world.connect()
  assert.deepEqual(world.logged, ['tcpcopy connected'])
  world.turn()
  assert.equal(world.logged.length, 1)
})
