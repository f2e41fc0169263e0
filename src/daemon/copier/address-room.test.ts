/** IPv6 addresses in the copier: unused ones are forgotten, and a full book only drops packets. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import type { AddressRange } from '../../core/selection/mapping.ts'
import { ALL_FLOWS, WHOLE } from '../../core/selection/sampling.ts'
import { SELECTION_DEFAULTS } from '../../core/selection/settings.ts'
import { SESSION_DEFAULTS } from '../../core/session/settings.ts'
import { copyMemoryLength, LIMIT_DEFAULTS } from '../../core/sessions/assembly.ts'
import { countingCryptography, MemoryCapture, MemorySender, NotingWaiter } from '../../sim/network/memory-ports.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { formatAddress, parseAddress } from '../../wire/address.ts'
import { addressBook } from '../../wire/address-book.ts'
import { put32 } from '../../wire/bytes.ts'
import { ACK, SYN } from '../../wire/segment.ts'
import { CHANNEL_DEFAULT } from '../channel/negotiation.ts'
import { Notices } from '../notices/notices.ts'
import { Copier } from './copier.ts'

const SOURCE = parseAddress('2001:db8::1') ?? 0
const TARGET = parseAddress('2001:db8::2') ?? 0
const RANGE = parseAddress('2001:db8:2::1') ?? 0
const CLIENT = parseAddress('2001:db8:1::') ?? 0
// Like the addresses of a worker's plan, these are never forgotten.
addressBook.takeOver(addressBook.snapshot())
const POOL_BYTES = 1 << 20
const MINUTES = 60_000

class World {
  now = 1000
  readonly counters = new Counters()
  readonly capture = new MemoryCapture()
  readonly sent: Uint8Array[] = []
  readonly copier: Copier

  /** @param copies of each connection, as clients of `ranges` */
  constructor(copies = 1, ranges: readonly AddressRange[] = []) {
    const map = { sourceAddress: 0, sourcePort: 80, targetAddress: TARGET, targetPort: 80 }
    const ports = {
      capture: this.capture,
      sender: new MemorySender(
        (packet) => this.sent.push(packet),
        () => false
      ),
      network: { connect: () => assert.fail('there is no intercept') },
      cryptography: countingCryptography(),
      clock: { now: () => this.now },
      waiter: new NotingWaiter(),
      notices: new Notices(),
      log: () => {}
    }
    const limits = { ...LIMIT_DEFAULTS, poolBytes: POOL_BYTES, sessionsMax: 1 << 16 }
    const settings = {
      selection: { ...SELECTION_DEFAULTS, maps: [map], ranges, sampling: { ...ALL_FLOWS, copies: copies * WHOLE } },
      session: { ...SESSION_DEFAULTS, timeoutMs: 10_000, keepAliveMs: 100 * MINUTES, roundTripMs: 0 },
      limits,
      packets: { mtuBytes: undefined, mssBytes: undefined },
      channel: { intercepts: [], connectionsEach: 1, options: CHANNEL_DEFAULT }
    }
    const memory = new Uint8Array(copyMemoryLength(limits))
    this.copier = new Copier(ports, settings, { memory, counters: this.counters })
  }

  /** A packet of the client with this number. */
  send(number: number, flags: number): void {
    // Clients do not choose the same number: a second SYN with it would be a copy that came back.
    const flow = { fromAddress: CLIENT, fromPort: 40_000, toAddress: SOURCE, toPort: 80 }
    const packet = writePacket({ ...flow, flags, seq: number })
    // Replaces the address and keeps the checksum right, since the test shares the copier's book.
    put32(packet, 16, number)
    put32(packet, 20, ~number)
    this.capture.waiting.push(packet)
    if (this.capture.waiting.length === 256) this.turn()
  }

  turn(ms = 0): void {
    this.now += ms
    this.copier.turn()
  }
}

function fillBook(): void {
  const bytes = new Uint8Array(16).fill(9)
  for (let number = 0; addressBook.intern(bytes, 0) !== 0; number++) put32(bytes, 12, number)
}

test('addresses of departed clients are forgotten, except those of open sessions and closed flows', () => {
  const world = new World()
  world.send(1, SYN)
  for (let number = 2; number <= 20_000; number++) world.send(number, ACK)
  world.turn()
  // Some were kept in case their SYN was overtaken.
  world.turn(200)
  assert.equal(world.counters.get(Counter.sessionsStarted), 1)
  assert.equal(world.counters.droppedPackets(Drop.NoSession), 19_999)
  assert.ok(addressBook.size > 20_000)
  world.turn(1000)
  assert.ok(addressBook.size < 10, `${addressBook.size} addresses are left`)
  // Others now have those numbers, but the session's SYN still has its own client's address.
  for (let number = 30_000; number < 31_000; number++) world.send(number, ACK)
  world.sent.length = 0
  world.turn(2000)
  const clients = world.sent.map((packet) => formatAddress(addressBook.find(packet, 8)))
  assert.ok(clients.length > 0)
  for (const client of clients) assert.equal(client, '2001:db8:1::1:ffff:fffe')
  world.copier.stop()
  assert.equal(world.counters.unaccountedBytes(), 0)
})

test('when the book is full, new clients are dropped and counted, known ones continue, and later there is room again', () => {
  const world = new World()
  world.send(1, SYN)
  world.turn()
  fillBook()
  world.send(2, SYN)
  world.send(1, ACK)
  world.turn()
  assert.equal(world.counters.droppedPackets(Drop.AddressesFull), 1)
  assert.equal(world.counters.droppedPackets(Drop.NoSession), 0)
  assert.equal(world.counters.get(Counter.sessionsStarted), 1)
  world.turn(1000)
  world.send(2, SYN)
  world.turn()
  assert.equal(world.counters.get(Counter.sessionsStarted), 2)
  assert.equal(world.counters.droppedPackets(Drop.AddressesFull), 1)
  world.copier.stop()
})

test('with a full book there is no address of -c left, neither for a connection nor for its copies', () => {
  const ranges = [{ first: RANGE, count: 2 ** 32 - 1 }]
  const early = new World(1, ranges)
  early.send(1, SYN)
  early.turn()
  fillBook()
  const world = new World(2, ranges)
  world.send(1, SYN)
  world.turn()
  assert.equal(world.counters.get(Counter.sessionsStarted), 1)
  assert.equal(world.counters.get(Counter.copiesRefused), 1)
  assert.equal(world.counters.droppedPackets(Drop.NoFreePort), 1)
  world.copier.stop()
  early.copier.stop()
})
