import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryCapture } from '../../sim/network/memory-ports.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { formatAddress, parseAddress } from '../../wire/address.ts'
import { i32 } from '../../wire/bytes.ts'
import { ACK } from '../../wire/segment.ts'
import { OwnCapture } from './own-capture.ts'

const ip = (text: string): number => parseAddress(text) ?? assert.fail(text)

function packet(to: string, toPort = 80): Uint8Array {
  const from = to.includes(':') ? '2001:db8::9' : '10.0.0.9'
  return writePacket({
    fromAddress: ip(from),
    fromPort: 4000,
    toAddress: ip(to),
    toPort,
    flags: ACK,
    seq: 1,
    payload: new Uint8Array(1)
  })
}

/** Every second address is this host's. */
const own = {
  has: () => false,
  hasAt: (bytes: Uint8Array, at: number, version: 4 | 6) => (i32(bytes, version === 4 ? at : at + 12) & 1) === 1,
  refresh: () => {}
}

function capture(named: readonly { address: number; port: number }[], packets: readonly Uint8Array[]): string[] {
  const memory = Object.assign(new MemoryCapture(), { begin: () => {} })
  memory.waiting.push(...packets)
  let leftOut = 0
  const given: string[] = []
  const filtered = new OwnCapture(memory, own, named, () => {
    leftOut += 1
  })
  const taken = filtered.receive((bytes, at) => {
    const address = bytes[at] === 0x45 ? i32(bytes, at + 16) : undefined
    given.push(address === undefined ? 'IPv6' : formatAddress(address))
  }, 100)
  assert.equal(taken, packets.length)
  assert.equal(given.length + leftOut, packets.length)
  return given
}

test('only packets for addresses of this host are captured', () => {
  const to = ['10.0.0.1', '10.0.0.2', '10.0.0.1', '10.0.0.3', '10.0.0.4', '2001:db8::1', '2001:db8::2']
  assert.deepEqual(
    capture(
      [],
      to.map((one) => packet(one))
    ),
    ['10.0.0.1', '10.0.0.1', '10.0.0.3', 'IPv6']
  )
})

test('an address and port of -x are captured whoever has the address', () => {
  const named = [
    { address: 0, port: 80 },
    { address: ip('10.0.0.2'), port: 80 },
    { address: ip('2001:db8::2'), port: 80 }
  ]
  const packets = [packet('10.0.0.2'), packet('10.0.0.2', 81), packet('10.0.0.4'), packet('2001:db8::2')]
  assert.deepEqual(capture(named, [...packets, packet('2001:db8::2', 81)]), ['10.0.0.2', 'IPv6'])
})

test('a packet that is too short is passed on, so that the parser says why it is dropped', () => {
  const short = packet('10.0.0.2').subarray(0, 19)
  assert.equal(capture([], [short]).length, 1)
})
