/** Both ends of the channel on streams in memory: what they agree on, reject and survive. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Counter } from '../../core/books/counters.ts'
import { InterceptCounter } from '../../core/books/intercept-counters.ts'
import { ChannelWorld, ROUND_TRIP_MS } from '../../sim/simulation/channel-world.ts'
import { parseAddress } from '../../wire/address.ts'
import { AnswerRecord, ageByte, putAnswerRecord } from '../../wire/channel/answer-records.ts'
import { Framings, RECORD_LENGTH_MAX } from '../../wire/channel/channel-v1.ts'
import { RECORD_MAX } from '../../wire/channel/channel-v2.ts'
import { ACK } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { CHANNEL_DEFAULT, type ChannelOptions } from './negotiation.ts'

const V2 = CHANNEL_DEFAULT
const V1: ChannelOptions = { ...V2, version: 1 }
const BARE: ChannelOptions = { ...V1, framing: Framings.Bare }
const SINGLE: ChannelOptions = { ...V1, framing: Framings.WithPayload, isSingle: true }
const knowing = (secret: string): ChannelOptions => ({ ...V2, secret: new TextEncoder().encode(secret) })
const SECRET = knowing('a secret of enough bytes')
const OTHER = knowing('another one of enough bytes')

/** Connects the two. @returns what they logged, with the version that each uses */
function meet(copier: ChannelOptions, intercept: ChannelOptions): string[] {
  const world = new ChannelWorld(intercept)
  const tcpcopy = world.tcpcopy(copier)
  tcpcopy.exchange()
  world.now += 1500
  tcpcopy.exchange()
  return world.logs
}

/** Connects a tcpcopy to an intercept. `near` is its end of the connection. */
function connect() {
  const world = new ChannelWorld(V2)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.exchange()
  const near = tcpcopy.ends[0]
  assert.ok(near)
  return { world, tcpcopy, near }
}

/** Negotiates up to intercept's acceptance. @param change alters what tcpcopy sends in transit */
function offerSecret(change?: (bytes: number[]) => number[]) {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(SECRET)
  tcpcopy.turn()
  tcpcopy.turn()
  tcpcopy.move(true, change)
  world.turn()
  tcpcopy.move(false)
  return { world, tcpcopy }
}

const AWAY = 'not connected to intercept; copying continues and tcpcopy keeps trying to connect'

test('by default both programs speak version 2, with or without a secret', () => {
  const expected = ['connected to intercept: 2', 'tcpcopy connected: 2']
  assert.deepEqual(meet(V2, V2).sort(), expected)
  assert.deepEqual(meet(SECRET, SECRET).sort(), expected)
})

test('with a peer of version 1 on either side both speak version 1, and tcpcopy logs that it has no reply yet', () => {
  const expected = ['connected to intercept (version 1, no reply yet)', 'tcpcopy connected: 1']
  assert.deepEqual(meet(V1, V2).sort(), expected)
  assert.deepEqual(meet(V2, V1).sort(), expected)
  assert.deepEqual(meet(V1, V1).sort(), expected)
})

test('different secrets keep the channel closed, and both sides say why', () => {
  const refused = (copier: ChannelOptions, intercept: ChannelOptions): readonly string[] =>
    meet(copier, intercept).slice(0, 2)
  assert.deepEqual(refused(OTHER, SECRET), [
    'tcpcopy refused: it has a different secret: give both programs the same --secret-file',
    `${AWAY}: it has a different secret: give both programs the same --secret-file`
  ])
  assert.deepEqual(refused(SECRET, V2), [
    'tcpcopy refused: it has a secret and intercept has none: give intercept the same --secret-file',
    `${AWAY}: it has no secret: give intercept the same --secret-file`
  ])
  assert.ok(refused(V2, SECRET).includes(`${AWAY}: it requires a secret: give tcpcopy the same --secret-file`))
  assert.ok(
    refused(V1, SECRET).includes('tcpcopy refused: it speaks version 1 of the channel, which does not support secrets')
  )
})

test('a tcpcopy with a secret tells an intercept of version 1 nothing about its clients, and disconnects', () => {
  const world = new ChannelWorld(V1)
  const tcpcopy = world.tcpcopy(SECRET)
  tcpcopy.exchange()
  tcpcopy.announce(1)
  tcpcopy.exchange()
  assert.equal(world.interceptCounters.get(InterceptCounter.routes), 0)
  world.now += 5000
  tcpcopy.exchange()
  assert.ok(world.logs.includes(`${AWAY}: it speaks version 1 of the channel, which does not support --secret-file`))
  assert.equal(tcpcopy.counters.get(Counter.channelsOpen), 0)
})

test('without the secret nobody can add, read or remove routes', () => {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.turn()
  // A route of version 1 right after the offer.
  tcpcopy.announce(1)
  tcpcopy.exchange()
  assert.equal(world.interceptCounters.get(InterceptCounter.routes), 0)
  assert.equal(world.interceptCounters.get(InterceptCounter.peersUnproven), 1)
  assert.equal(world.interceptCounters.get(InterceptCounter.peersOpen), 0)
})

/** Everything sent over a connection with proof, in order: hello, acceptance, introduction, proof. */
function recordProof(): { readonly toIntercept: number[]; readonly toTcpcopy: number[] } {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(SECRET)
  const toIntercept: number[] = []
  const toTcpcopy: number[] = []
  for (let turn = 0; turn < 6; turn++) {
    tcpcopy.turn()
    tcpcopy.move(true, (bytes) => {
      toIntercept.push(...bytes)
      return bytes
    })
    world.turn()
    tcpcopy.move(false, (bytes) => {
      toTcpcopy.push(...bytes)
      return bytes
    })
  }
  assert.deepEqual([toIntercept.length, toTcpcopy.length], [14 + 14 + 68, 20 + 36])
  return { toIntercept, toTcpcopy }
}

test('a recorded proof is not accepted on another connection, by either side', () => {
  const { toIntercept, toTcpcopy } = recordProof()
  const world = new ChannelWorld(SECRET)
  const replayer = world.tcpcopy(SECRET, 5)
  replayer.turn()
  replayer.ends[0]?.other?.arrived.push(...toIntercept)
  world.turn()
  assert.ok(
    world.logs.includes('tcpcopy refused: it has a different secret: give both programs the same --secret-file')
  )

  const victims = new ChannelWorld(SECRET)
  const victim = victims.tcpcopy(SECRET)
  victim.turn()
  victim.ends[0]?.arrived.push(...toTcpcopy)
  victim.turn()
  assert.ok(victims.logs.includes(`${AWAY}: it failed to prove the secret: is it intercept?`))
})

test('a proof sent back to its sender is not accepted', () => {
  const { world, tcpcopy } = offerSecret()
  tcpcopy.turn()
  const near = tcpcopy.ends[0]
  assert.ok(near)
  const own = near.written.slice(-32)
  near.arrived.push(4, 36, 0, 0, ...own)
  tcpcopy.turn()
  assert.ok(world.logs.includes(`${AWAY}: it failed to prove the secret: is it intercept?`))
})

test('an offer modified in transit makes the proof fail', () => {
  const { world, tcpcopy } = offerSecret((bytes) => bytes.map((byte, index) => (index === 12 ? 3 : byte)))
  tcpcopy.exchange()
  assert.equal(world.interceptCounters.get(InterceptCounter.peersUnproven), 1)
})

for (const workers of [1, 4]) {
  for (const [version, clientAddress, targetAddress] of [
    ['IPv4', 0x0a000001, 0x0a000003],
    ['IPv6', parseAddress('2001:db8::1') ?? 0, parseAddress('2001:db8::3') ?? 0]
  ] as const) {
    test(`a second tcpcopy is told that another has its client, until that one withdraws the route (${workers} workers, ${version})`, () => {
      const flow = { clientAddress, clientPort: 1004, targetAddress, targetPort: 80 }
      const world = new ChannelWorld(V2, workers)
      const [first, second] = [world.tcpcopy(V2, 1, 2), world.tcpcopy(V2, 2)]
      first.exchange()
      second.exchange()
      first.announce(4, 1004, clientAddress, targetAddress)
      first.exchange()
      second.announce(9, 1004, clientAddress, targetAddress)
      second.exchange()
      assert.deepEqual([first.taken, second.taken], [[], [1004]])
      assert.equal(world.interceptCounters.get(InterceptCounter.routesTaken), 1)
      // Nor can it withdraw a route that is not its own.
      second.client.withdraw({ id: 9, ...flow })
      second.exchange()
      assert.equal(world.interceptCounters.get(InterceptCounter.routes), 1)
      // Another connection of the same tcpcopy can take it.
      first.announce(5, 1004, clientAddress, targetAddress)
      first.exchange()
      assert.deepEqual(first.taken, [])
      first.client.withdraw({ id: 5, ...flow })
      first.exchange()
      assert.equal(world.interceptCounters.get(InterceptCounter.routes), 0)
      second.announce(10, 1004, clientAddress, targetAddress)
      second.exchange()
      assert.deepEqual(second.taken, [1004])
    })
  }
}

for (const workers of [1, 4]) {
  test(`a route is free if its tcpcopy has disconnected, or is of version 1 and quiet; version 1 can always take routes (${workers} workers)`, () => {
    const world = new ChannelWorld(V2, workers)
    const [old, second] = [world.tcpcopy(V1, 1), world.tcpcopy(V2, 2)]
    old.exchange()
    second.exchange()
    old.announce(4)
    old.exchange()
    second.announce(9, 1004)
    second.exchange()
    assert.deepEqual(second.taken, [1004])
    world.now += 60_001
    second.announce(10, 1004)
    second.exchange()
    assert.deepEqual(second.taken, [1004])
    old.announce(5, 1004)
    old.exchange()
    const third = world.tcpcopy(V2, 3)
    third.exchange()
    old.client.close()
    world.turn()
    third.announce(1, 1004)
    third.exchange()
    assert.deepEqual(third.taken, [])
  })
}

test('routes that do not fit are counted, and announced once intercept reads', () => {
  const { world, tcpcopy, near } = connect()
  const routeCount = 300_000
  for (let id = 0; id < routeCount; id++) tcpcopy.announce(id, id & 0xffff, 0x0a000000 + (id >> 16))
  const delayed = tcpcopy.counters.get(Counter.routesDelayed)
  assert.equal(delayed, routeCount - (4 << 20) / 16)
  const told = new Set<number>()
  do {
    tcpcopy.turn()
    const bytes = near.written.splice(0)
    for (let at = 0; at < bytes.length; at += 16) {
      const [, , , , , , , address = 0, , , , , high = 0, low = 0] = bytes.slice(at, at + 14)
      told.add((address << 16) | (high << 8) | low)
    }
  } while (tcpcopy.client.deadline <= world.now)
  assert.equal(told.size, routeCount)
})

test('a side that sends without pause cannot block the other', () => {
  const { tcpcopy, near } = connect()
  const record = new Uint8Array(RECORD_MAX)
  const length = putAnswerRecord(someAnswers(), record, 0)
  for (let count = 0; count < 10_000; count++) near.arrived.push(...record.subarray(0, length))
  const before = near.arrived.length
  tcpcopy.turn()
  assert.equal(before - near.arrived.length, 4 * near.input.length)
  for (let turn = 0; turn < 20; turn++) tcpcopy.turn()
  assert.equal(tcpcopy.answers.length, 10_000)
})

function someAnswers(): AnswerRecord {
  const answers = new AnswerRecord()
  answers.flags = ACK
  answers.setRange(0, seq(77), 10, 0)
  answers.rangeCount = 1
  return answers
}

test('the arrival time of an answer follows from its age and half the round trip', () => {
  const { world, tcpcopy } = connect()
  const record = new Uint8Array(RECORD_MAX)
  const answers = someAnswers()
  for (const age of [ageByte(0.5), ageByte(Number.NaN)]) {
    answers.age = age
    world.server.deliver2(0, record, putAnswerRecord(answers, record, 0), 1)
  }
  tcpcopy.exchange(2)
  const [known = 0, unknown = 0] = tcpcopy.arrivals
  assert.ok(Math.abs(world.now - known - ROUND_TRIP_MS / 2 - 0.5) < 0.05)
  assert.ok(Number.isNaN(unknown))
})

test('unknown types are skipped, and too many of them end the connection', () => {
  const { world, tcpcopy, near } = connect()
  const record = new Uint8Array(RECORD_MAX)
  const answers = record.subarray(0, putAnswerRecord(someAnswers(), record, 0))
  for (let count = 0; count < 100; count++) near.arrived.push(99, 5, 0, 0, 1, ...answers)
  tcpcopy.exchange()
  assert.equal(tcpcopy.answers.length, 100)
  near.arrived.push(99, 4, 0, 0)
  tcpcopy.exchange(1)
  assert.ok(world.logs.includes(`${AWAY}: it sends too many unknown messages`))

  const other = world.tcpcopy(V2, 3)
  other.exchange()
  for (let count = 0; count < 101; count++) other.ends[0]?.other?.arrived.push(98, 4, 0, 0)
  world.turn()
  assert.ok(world.logs.includes('closed a connection that is not from tcpcopy: it sends too many unknown messages'))
})

test('the first message of version 1 can arrive in pieces, and so can everything after it', () => {
  for (const options of [V1, V2, SECRET]) {
    const world = new ChannelWorld(options)
    const tcpcopy = world.tcpcopy(options)
    const piecemeal = (isToIntercept: boolean): void => {
      for (const near of tcpcopy.ends) {
        const from = isToIntercept ? near : near.other
        for (const byte of from?.written.splice(0) ?? []) {
          from?.other?.arrived.push(byte)
          if (isToIntercept) world.turn()
          else tcpcopy.turn()
        }
      }
    }
    for (let turn = 0; turn < 6; turn++) {
      tcpcopy.turn()
      piecemeal(true)
      world.turn()
      piecemeal(false)
    }
    tcpcopy.announce(1)
    tcpcopy.turn()
    piecemeal(true)
    assert.equal(world.interceptCounters.get(InterceptCounter.routes), 1)
  }
})

test('with any input both ends accept what is valid, or close with a reason', () => {
  const mutation = fc.record({
    at: fc.nat(400),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    isInserted: fc.boolean()
  })
  const anyChanges = fc.array(mutation, { maxLength: 4 })
  const options = fc.constantFrom(V1, V2, SECRET, BARE, SINGLE)
  fc.assert(
    fc.property(options, options, anyChanges, anyChanges, (copier, intercept, toIntercept, toTcpcopy) => {
      const world = new ChannelWorld(intercept)
      const tcpcopy = world.tcpcopy(copier)
      const positions = [0, 0]
      const mutate =
        (side: number, changes: typeof toIntercept) =>
        (bytes: number[]): number[] => {
          const base = positions[side] ?? 0
          positions[side] = base + bytes.length
          for (const { at, bytes: junk, isInserted } of changes) {
            if (at >= base && at < base + bytes.length) bytes.splice(at - base, isInserted ? 0 : junk.length, ...junk)
          }
          return bytes
        }
      for (let turn = 0; turn < 12; turn++) {
        if (turn % 3 === 0) tcpcopy.announce(turn)
        tcpcopy.turn()
        tcpcopy.move(true, mutate(0, toIntercept))
        world.turn()
        for (let peer = 0; peer < 3; peer++) {
          const version = world.server.versionOf(peer)
          if (version === 1) world.server.deliver1(peer, new Uint8Array(RECORD_LENGTH_MAX))
          if (version !== 2) continue
          const record = new Uint8Array(RECORD_MAX)
          world.server.deliver2(peer, record, putAnswerRecord(someAnswers(), record, 0), 1)
        }
        world.server.flush()
        tcpcopy.move(false, mutate(1, toTcpcopy))
        world.now += 50
      }
      const open = world.interceptCounters.get(InterceptCounter.peersOpen)
      assert.ok(open >= 0 && open <= tcpcopy.ends.length)
      if (toIntercept.length === 0 && toTcpcopy.length === 0 && copier === intercept) assert.equal(open, 1)
    }),
    { seed: 1, numRuns: 3000 }
  )
})
