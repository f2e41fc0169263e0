/** With any input both ends of the channel keep working, and hold nothing at the end. FUZZ_SEED selects other cases. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Router, type Routing } from '../core/assistant/router.ts'
import { SingleGroup } from '../core/assistant/single-group.ts'
import { Counter, Counters } from '../core/books/counters.ts'
import { InterceptCounter, InterceptCounters } from '../core/books/intercept-counters.ts'
import type { Stream } from '../ports.ts'
import { countingCryptography } from '../sim/network/memory-ports.ts'
import {
  Framings,
  MESSAGE_LENGTH,
  putHello,
  putMessage,
  RECORD_LENGTH,
  RECORD_LENGTH_MAX
} from '../wire/channel/channel-v1.ts'
import { Flow } from '../wire/flow.ts'
import { ChannelClient } from './channel/channel-client.ts'
import { ChannelServer } from './channel/channel-server.ts'
import { CHANNEL_DEFAULT, type ChannelOptions } from './channel/negotiation.ts'
import { Notices } from './notices/notices.ts'

const RUNS = { numRuns: 300, seed: Number(process.env.FUZZ_SEED ?? 1), interruptAfterTimeLimit: 2000 }
const HOURS_MS = 3 * 3600_000
const SWEEPS = 200
/** A record of version 2. Its content does not matter to those who forward it. */
const RECORD2_LENGTH = 40
const SECRET = new TextEncoder().encode('sixteen bytes at least')
const CHANNELS: readonly ChannelOptions[] = [
  { ...CHANNEL_DEFAULT, version: 1 },
  { ...CHANNEL_DEFAULT, version: 1, framing: Framings.Bare },
  { ...CHANNEL_DEFAULT, version: 1, framing: Framings.WithPayload },
  { ...CHANNEL_DEFAULT, version: 1, isSingle: true },
  CHANNEL_DEFAULT,
  { ...CHANNEL_DEFAULT, secret: SECRET }
]

/** A stream that returns its input in parts, and accepts any amount of output. */
class FedStream implements Stream {
  readonly peer = 'fed'
  readonly failure = ''
  readonly open = true
  readonly input = new Uint8Array(200)
  inputLength = 0
  isClosed = false
  hasEnded = false
  fed: number[] = []
  takesMax = 1000

  read(): number {
    assert.ok(!this.isClosed, 'a closed stream is read')
    const taken = this.fed.splice(0, this.input.length - this.inputLength)
    this.input.set(taken, this.inputLength)
    this.inputLength += taken.length
    return taken.length === 0 && this.hasEnded ? -1 : taken.length
  }
  write(_bytes: Uint8Array, _at: number, length: number): number {
    assert.ok(!this.isClosed, 'a closed stream is written to')
    if (this.hasEnded) return -1
    const taken = Math.min(length, this.takesMax)
    this.takesMax -= taken
    return taken
  }
  awaitWritable(): void {}
  close(): void {
    assert.ok(!this.isClosed, 'a stream is closed twice')
    this.isClosed = true
  }
}

function flowOf(client: number, port: number): Flow {
  return new Flow().set(client, port, 7, 8080)
}

const small = fc.integer({ min: 0, max: 3 })
/** What a tcpcopy sends: mostly routes of a few clients, rarely anything else. */
const message = fc.tuple(small, small, fc.constantFrom(1, 1, 1, 2, 6, 9)).map(([client, port, type]) => {
  const bytes = new Uint8Array(MESSAGE_LENGTH)
  putMessage(bytes, 0, type, flowOf(client, port))
  return [...bytes]
})
const hello = fc.constant(0).map(() => {
  const bytes = new Uint8Array(MESSAGE_LENGTH)
  putHello(bytes, 0)
  return [...bytes]
})
const anyBytes = fc.array(fc.nat(255), { maxLength: 40 })
const serverStep = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('connect' as const), says: hello }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('connect' as const), says: anyBytes }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('says' as const), peer: small, says: message }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('says' as const), peer: small, says: anyBytes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ends' as const), peer: small }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('answer' as const), client: small, port: small }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(1, 20_000, 4_000_000) }) }
)

test("intercept's end of the channel, with its routes, survives any peers", () => {
  fc.assert(
    fc.property(
      fc.array(serverStep, { maxLength: 80 }),
      fc.constantFrom(...CHANNELS),
      fc.boolean(),
      (steps, options, keepsFirst) => {
        const counters = new InterceptCounters()
        const waiting: FedStream[] = []
        const streams: FedStream[] = []
        const listener = { accept: () => waiting.shift(), close: () => {} }
        const ports = { listener, cryptography: countingCryptography(), notices: new Notices() }
        const server = new ChannelServer(ports, { recordsMax: 16, channel: options }, counters)
        const header = new Uint8Array(RECORD_LENGTH_MAX)
        const router: Routing = options.isSingle
          ? new SingleGroup(keepsFirst)
          : new Router(4, counters, (peer) => server.deliver1(peer, header))
        let now = 1000
        for (const step of steps) {
          if (step.kind === 'connect') {
            const stream = new FedStream()
            stream.fed.push(...step.says)
            streams.push(stream)
            waiting.push(stream)
          } else if (step.kind === 'says') streams[step.peer]?.fed.push(...step.says)
          else if (step.kind === 'ends') {
            const stream = streams[step.peer]
            if (stream !== undefined) stream.hasEnded = true
          } else if (step.kind === 'answer') {
            const slot = router.find(flowOf(step.client, step.port))
            const version = slot < 0 ? 0 : server.versionOf(router.peerOf(slot))
            if (version === 1) server.deliver1(router.peerOf(slot), header)
            else if (version === 2) server.deliver2(router.peerOf(slot), header, RECORD2_LENGTH, 1)
            else router.delay(header, flowOf(step.client, step.port), now)
          } else now += step.ms
          server.receive(router, now)
          router.sweep(now)
          server.flush()
          const open = streams.filter((one) => !one.isClosed).length - waiting.length
          assert.equal(counters.get(InterceptCounter.peersOpen), open)
        }
        for (const stream of streams) stream.hasEnded = true
        server.receive(router, now)
        assert.ok(
          streams.every((one) => one.isClosed),
          'a stream stays open'
        )
        for (let sweep = 0; sweep < SWEEPS; sweep++) router.sweep(now + HOURS_MS)
        assert.equal(counters.get(InterceptCounter.routes), 0)
      }
    ),
    RUNS
  )
})

const records = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(255)).map(([count, byte]) => {
  return [0, count, ...new Array<number>(count * RECORD_LENGTH).fill(byte)]
})
const longRecords = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.nat(255)).map(([count, byte]) => {
  return [0, count, ...new Array<number>(count * RECORD_LENGTH_MAX).fill(byte)]
})
const bareRecord = fc.nat(255).map((byte) => [0x45, ...new Array<number>(RECORD_LENGTH - 1).fill(byte)])
const clientStep = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('says' as const), says: records }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('says' as const), says: longRecords }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('says' as const), says: bareRecord }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('says' as const), says: anyBytes }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ends' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('announce' as const), id: fc.nat(1000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(1, 100, 6000) }) }
)

test("tcpcopy's end of the channel survives any intercept", () => {
  fc.assert(
    fc.property(fc.array(clientStep, { maxLength: 80 }), fc.constantFrom(...CHANNELS), (steps, options) => {
      const counters = new Counters()
      const streams: FedStream[] = []
      const network = {
        connect: () => {
          const stream = new FedStream()
          streams.push(stream)
          return stream
        }
      }
      const route = (id: number) => ({ id, clientAddress: id, clientPort: 1, targetAddress: 2, targetPort: 3 })
      const routes = [route(1), route(2)]
      const where = { intercepts: [{ address: 4, port: 5 }], connectionsEach: 2 }
      const context = { options, counters, cryptography: countingCryptography(), instance: new Uint8Array(16) }
      const routeFrom = (id: number) => routes.find((one) => one.id >= id)
      const client = new ChannelClient(network, where, context, { routeFrom }, new Notices())
      let count = 0
      const events = {
        answered: () => {
          count += 1
        },
        taken: () => {}
      }
      let now = 0
      for (const step of steps) {
        const stream = streams.at(-1)
        if (step.kind === 'says') stream?.fed.push(...step.says)
        else if (step.kind === 'ends' && stream !== undefined) stream.hasEnded = true
        else if (step.kind === 'announce') client.announce(route(step.id))
        else if (step.kind === 'time') now += step.ms
        client.receive(events, now)
        client.onTimer(now)
        assert.ok(client.deadline > now, 'something is due that was just done')
        client.flush(now)
        assert.ok(streams.filter((one) => !one.isClosed).length <= 2, 'more connections than there should be')
      }
      assert.ok(count <= counters.get(Counter.answers), 'more segments than came')
      client.close()
      assert.ok(
        streams.every((one) => one.isClosed),
        'a stream stays open'
      )
    }),
    RUNS
  )
})
