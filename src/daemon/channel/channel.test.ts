/** Both ends of the channel, on streams in memory: what they agree on, what they refuse, and what they bear. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Counter } from '../../core/books/counters.ts'
import { InterceptCounter } from '../../core/books/intercept-counters.ts'
import { ChannelWorld, ROUND_TRIP_MS } from '../../sim/simulation/channel-world.ts'
import { parseAddress } from '../../wire/address.ts'
import { AnswerRecord, ageOctet, putAnswerRecord } from '../../wire/channel/answer-records.ts'
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
const SECRET = knowing('a secret of enough octets')
const OTHER = knowing('another one of enough octets')

/** What came of it: the versions in force on either side, and what was said. */
function meet(copier: ChannelOptions, intercept: ChannelOptions): string[] {
  const world = new ChannelWorld(intercept)
  const tcpcopy = world.tcpcopy(copier)
  tcpcopy.exchange()
  world.now += 1500
  tcpcopy.exchange()
  return world.logs
}

const AWAY = 'not connected to intercept; copying continues and tcpcopy keeps trying to connect'

test('two programs of ours speak version 2, with a secret too', () => {
  const expected = ['connected to intercept: 2', 'tcpcopy connected: 2']
  assert.deepEqual(meet(V2, V2).sort(), expected)
  assert.deepEqual(meet(SECRET, SECRET).sort(), expected)
})

test('with a peer of version 1 on either side it is version 1, and tcpcopy says what it knows', () => {
  const expected = ['connected to intercept (version 1, no reply yet)', 'tcpcopy connected: 1']
  assert.deepEqual(meet(V1, V2).sort(), expected)
  assert.deepEqual(meet(V2, V1).sort(), expected)
  assert.deepEqual(meet(V1, V1).sort(), expected)
})

test('where the secrets are not the same there is no channel, and both sides say why', () => {
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

test('a tcpcopy with a secret says nothing of its clients to an intercept of version 1, and goes', () => {
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

test('nobody who does not know the secret can put, read or take away anything', () => {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.turn()
  // A route of version 1 right behind the offer.
  tcpcopy.announce(1)
  tcpcopy.exchange()
  assert.equal(world.interceptCounters.get(InterceptCounter.routes), 0)
  assert.equal(world.interceptCounters.get(InterceptCounter.peersUnproven), 1)
  assert.equal(world.interceptCounters.get(InterceptCounter.peersOpen), 0)
})

/** All that went over a connection with proof, in order: hello, acceptance, introduction, proof. */
function recordProof(): { readonly toIntercept: number[]; readonly toTcpcopy: number[] } {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(SECRET)
  const toIntercept: number[] = []
  const toTcpcopy: number[] = []
  for (let turn = 0; turn < 6; turn++) {
    tcpcopy.turn()
    tcpcopy.move(true, (octets) => {
      toIntercept.push(...octets)
      return octets
    })
    world.turn()
    tcpcopy.move(false, (octets) => {
      toTcpcopy.push(...octets)
      return octets
    })
  }
  assert.deepEqual([toIntercept.length, toTcpcopy.length], [14 + 14 + 68, 20 + 36])
  return { toIntercept, toTcpcopy }
}

test('what was recorded of one connection proves nothing on another, to either side', () => {
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

test('a proof sent back to its maker is none', () => {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(SECRET)
  tcpcopy.turn()
  tcpcopy.turn()
  tcpcopy.move(true)
  world.turn()
  tcpcopy.move(false)
  tcpcopy.turn()
  const near = tcpcopy.ends[0]
  assert.ok(near)
  const own = near.written.slice(-32)
  near.arrived.push(4, 36, 0, 0, ...own)
  tcpcopy.turn()
  assert.ok(world.logs.includes(`${AWAY}: it failed to prove the secret: is it intercept?`))
})

test('an offer that is changed on the way ends in no proof', () => {
  const world = new ChannelWorld(SECRET)
  const tcpcopy = world.tcpcopy(SECRET)
  tcpcopy.turn()
  tcpcopy.turn()
  tcpcopy.move(true, (octets) => octets.map((octet, index) => (index === 12 ? 3 : octet)))
  world.turn()
  tcpcopy.move(false)
  tcpcopy.exchange()
  assert.equal(world.interceptCounters.get(InterceptCounter.peersUnproven), 1)
})

for (const workers of [1, 4]) {
  for (const [version, clientAddress, targetAddress] of [
    ['IPv4', 0x0a000001, 0x0a000003],
    ['IPv6', parseAddress('2001:db8::1') ?? 0, parseAddress('2001:db8::3') ?? 0]
  ] as const) {
    test(`a second tcpcopy is told of a client that another has, until that one lets it go (${workers} workers, ${version})`, () => {
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
      // What is not its own it cannot take away either.
      second.client.withdraw({ id: 9, ...flow })
      second.exchange()
      assert.equal(world.interceptCounters.get(InterceptCounter.routes), 1)
      // Another connection of the same tcpcopy may have it.
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
  test(`a route of a tcpcopy that has gone, or of version 1 and quiet, is anybody’s; one in version 1 moves as ever (${workers} workers)`, () => {
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

test('routes for which there is no room are counted, and told once intercept reads', () => {
  const world = new ChannelWorld(V2)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.exchange()
  const near = tcpcopy.ends[0]
  assert.ok(near)
  const routeCount = 300_000
  for (let id = 0; id < routeCount; id++) tcpcopy.announce(id, id & 0xffff, 0x0a000000 + (id >> 16))
  const delayed = tcpcopy.counters.get(Counter.routesDelayed)
  assert.equal(delayed, routeCount - (4 << 20) / 16)
  const told = new Set<number>()
  do {
    tcpcopy.turn()
    const octets = near.written.splice(0)
    for (let at = 0; at < octets.length; at += 16) {
      const [, , , , , , , address = 0, , , , , high = 0, low = 0] = octets.slice(at, at + 14)
      told.add((address << 16) | (high << 8) | low)
    }
  } while (tcpcopy.client.deadline <= world.now)
  assert.equal(told.size, routeCount)
})

test('one side cannot be held up by what the other sends without pause', () => {
  const world = new ChannelWorld(V2)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.exchange()
  const near = tcpcopy.ends[0]
  assert.ok(near)
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

test('of an answer it is known when it came to the assistant: its age there and half a round trip ago', () => {
  const world = new ChannelWorld(V2)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.exchange()
  const record = new Uint8Array(RECORD_MAX)
  const answers = someAnswers()
  for (const age of [ageOctet(0.5), ageOctet(Number.NaN)]) {
    answers.age = age
    world.server.deliver2(0, record, putAnswerRecord(answers, record, 0), 1)
  }
  tcpcopy.exchange(2)
  const [known = 0, unknown = 0] = tcpcopy.arrivals
  assert.ok(Math.abs(world.now - known - ROUND_TRIP_MS / 2 - 0.5) < 0.05)
  assert.ok(Number.isNaN(unknown))
})

test('types that nobody knows are skipped, and too many of them end the connection', () => {
  const world = new ChannelWorld(V2)
  const tcpcopy = world.tcpcopy(V2)
  tcpcopy.exchange()
  const near = tcpcopy.ends[0]
  assert.ok(near)
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

test('a first message of version 1 may come in pieces, and so may everything after it', () => {
  for (const options of [V1, V2, SECRET]) {
    const world = new ChannelWorld(options)
    const tcpcopy = world.tcpcopy(options)
    const piecemeal = (isToIntercept: boolean): void => {
      for (const near of tcpcopy.ends) {
        const from = isToIntercept ? near : near.other
        for (const octet of from?.written.splice(0) ?? []) {
          from?.other?.arrived.push(octet)
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

test('whatever octets come, both ends bear it: they take what is well-formed, or close with a reason', () => {
  const mutation = fc.record({
    at: fc.nat(400),
    octets: fc.uint8Array({ minLength: 1, maxLength: 8 }),
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
        (octets: number[]): number[] => {
          const base = positions[side] ?? 0
          positions[side] = base + octets.length
          for (const { at, octets: junk, isInserted } of changes) {
            if (at >= base && at < base + octets.length) octets.splice(at - base, isInserted ? 0 : junk.length, ...junk)
          }
          return octets
        }
      for (let turn = 0; turn < 12; turn++) {
        if (turn % 3 === 0) tcpcopy.announce(turn)
        tcpcopy.turn()
        tcpcopy.move(true, mutate(0, toIntercept))
        world.turn()
        for (let peer = 0; peer < 3; peer++) {
          const version = world.server.versionOf(peer)
          if (version === 1) world.server.deliver1(peer, new Uint8Array(RECORD_LENGTH_MAX), 0)
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
