/** Version 1 of the channel as tcpcopy 1.x can be built: its framings, and single mode. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter } from '../../core/books/counters.ts'
import { ChannelWorld } from '../../sim/simulation/channel-world.ts'
import { Framings, RECORD_LENGTH_MAX } from '../../wire/channel/channel-v1.ts'
import { CHANNEL_DEFAULT, type ChannelOptions } from './negotiation.ts'

const V1: ChannelOptions = { ...CHANNEL_DEFAULT, version: 1 }
const FRAMINGS = Object.values(Framings).map((framing) => ({ ...V1, framing }))
const SINGLE: ChannelOptions = { ...V1, isSingle: true }

/** A record of version 1 with this sequence number. */
function record1(sequence: number): Uint8Array {
  const record = new Uint8Array(RECORD_LENGTH_MAX)
  record.set([0x45, 0, 0, 40])
  record[27] = sequence
  record[32] = 0x50
  return record
}

test('in each framing of version 1 tcpcopy reads what intercept writes, in messages of any length', () => {
  for (const options of [...FRAMINGS, SINGLE]) {
    const world = new ChannelWorld(options)
    const tcpcopy = world.tcpcopy(options)
    tcpcopy.exchange()
    const expected = Array.from({ length: 40 }, (_, index) => index)
    for (const index of expected) {
      world.server.deliver1(0, record1(index))
      if (index % 7 === 0 || index > 30) tcpcopy.exchange(1)
    }
    tcpcopy.exchange(1)
    assert.deepEqual(tcpcopy.answers, expected)
    assert.equal(tcpcopy.counters.get(Counter.answers), 40)
  }
})

test('programs with different framings disconnect, and say why', () => {
  for (const copier of FRAMINGS) {
    for (const intercept of FRAMINGS.filter((one) => one !== copier)) {
      const world = new ChannelWorld(intercept)
      const tcpcopy = world.tcpcopy(copier)
      tcpcopy.exchange()
      for (let index = 0; index < 20; index++) world.server.deliver1(0, record1(index))
      tcpcopy.exchange(2)
      assert.ok(world.logs.some((line) => line.endsWith(': it does not speak the protocol of intercept')))
      assert.ok(tcpcopy.answers.length <= 2)
    }
  }
})

test('in single mode no route is announced, neither at first nor after a reconnect', () => {
  const world = new ChannelWorld(SINGLE)
  const tcpcopy = world.tcpcopy(SINGLE, 0, 2)
  let bytes = 0
  for (let turn = 0; turn < 8; turn++) {
    if (turn === 4) tcpcopy.ends[0]?.other?.close()
    tcpcopy.announce(turn)
    world.now += 100
    tcpcopy.turn()
    tcpcopy.move(true, (said) => {
      bytes += said.length
      return said
    })
    world.turn()
  }
  assert.deepEqual([tcpcopy.ends.length, bytes], [3, 3 * 14])
})
