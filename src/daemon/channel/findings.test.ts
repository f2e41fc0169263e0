/** Questions of tcpcopy about a target, and intercept's findings. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChannelWorld } from '../../sim/simulation/channel-world.ts'
import { parseAddress } from '../../wire/address.ts'
import { ACK, Segment, SYN } from '../../wire/segment.ts'
import { CHANNEL_DEFAULT, type ChannelOptions } from './negotiation.ts'

const SECRET: ChannelOptions = { ...CHANNEL_DEFAULT, secret: new TextEncoder().encode('a secret of enough bytes') }
const OFFER_FLAGS = 13
const ACCEPTANCE_FLAGS = 3

/** A tcpcopy that asks for a target after intercept has captured a SYN-ACK of it without a route. */
function ask(
  target: string,
  options = CHANNEL_DEFAULT,
  change?: (tcpcopy: ReturnType<ChannelWorld['tcpcopy']>) => void
) {
  const world = new ChannelWorld(options, 2)
  const tcpcopy = world.tcpcopy(options, 0, 2)
  change?.(tcpcopy)
  tcpcopy.exchange()
  const segment = new Segment()
  const place = { address: parseAddress(target) ?? 0, port: 80 }
  segment.fromAddress = place.address
  segment.fromPort = place.port
  segment.flags = SYN | ACK
  segment.ttl = 63
  world.findings.saw(segment, false, world.now)
  world.findings.forwards = true
  tcpcopy.announce(1)
  tcpcopy.exchange(2)
  tcpcopy.client.ask(place)
  tcpcopy.exchange(2)
  return { world, tcpcopy, place }
}

test('tcpcopy learns what intercept has seen of a target, and only believes it for a while', () => {
  for (const options of [CHANNEL_DEFAULT, SECRET]) {
    for (const target of ['10.0.0.3', '2001:db8::3']) {
      const { world, tcpcopy, place } = ask(target, options)
      assert.deepEqual(tcpcopy.client.viewOf(place, world.now), {
        routes: 1,
        capturesAny: false,
        hasRouted: false,
        hasUnrouted: true,
        hasResets: false,
        synAckTtl: 63,
        resetTtl: 0,
        forwards: true
      })
      assert.equal(tcpcopy.client.viewOf({ ...place, port: 81 }, world.now), undefined)
      assert.equal(tcpcopy.client.viewOf(place, world.now + 15_000), undefined)
    }
  }
})

test('an intercept that knows no questions is not asked', () => {
  const { world, tcpcopy, place } = ask('10.0.0.3', CHANNEL_DEFAULT, (one) => {
    one.turn()
    one.turn()
    // As an older tcpcopy would: so this intercept accepts as an older one.
    one.move(true, (bytes) => bytes.map((byte, index) => (index === OFFER_FLAGS ? byte & ~2 : byte)))
  })
  assert.equal(tcpcopy.client.viewOf(place, world.now), undefined)
  assert.deepEqual(
    world.logs.filter((line) => line.includes('closed')),
    []
  )
})

test('an older tcpcopy gets an acceptance without the flag', () => {
  const world = new ChannelWorld(CHANNEL_DEFAULT)
  const tcpcopy = world.tcpcopy(CHANNEL_DEFAULT)
  const accept = (flags: number): number => {
    tcpcopy.turn()
    tcpcopy.turn()
    tcpcopy.move(true, (bytes) => bytes.map((byte, index) => (index === OFFER_FLAGS ? flags : byte)))
    world.turn()
    return tcpcopy.ends[0]?.other?.written[ACCEPTANCE_FLAGS] ?? -1
  }
  assert.equal(accept(0), 0)
})
