import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writePacket } from '../sim/packet.ts'
import { ACK, parseIpv4, Segment } from '../wire/segment.ts'
import { translate } from './address-translation.ts'

const CONTAINER = 0xac120002 | 0
const TARGET = 0x0a4d0002
const CLIENT = 0x0a4d000a
const HIDDEN = 0x0a630007

const translations = [
  { newAddress: CONTAINER, newPort: 6380, originalAddress: TARGET, originalPort: 6379 },
  { newAddress: HIDDEN, newPort: 0, originalAddress: CLIENT, originalPort: 0 }
]

function translated(fromAddress: number, fromPort: number, toAddress: number, toPort: number): number[] {
  const packet = writePacket({ fromAddress, fromPort, toAddress, toPort, flags: ACK, seq: 1, ack: 1 })
  translate(packet, 0, packet.length, translations)
  const segment = new Segment()
  parseIpv4(packet, 0, packet.length, packet.length, true, segment)
  return [segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort]
}

test('the target and the client of an answer get their original addresses, and ports where they are given', () => {
  assert.deepEqual(translated(CONTAINER, 6380, CLIENT, 40_000), [TARGET, 6379, CLIENT, 40_000])
  assert.deepEqual(translated(CONTAINER, 6380, HIDDEN, 40_000), [TARGET, 6379, CLIENT, 40_000])
  assert.deepEqual(translated(TARGET, 6379, HIDDEN, 6380), [TARGET, 6379, CLIENT, 6380])
})

test('what no translation names stays as it is', () => {
  assert.deepEqual(translated(TARGET, 6379, CLIENT, 40_000), [TARGET, 6379, CLIENT, 40_000])
  assert.deepEqual(translated(CONTAINER, 6381, CLIENT, 40_000), [CONTAINER, 6381, CLIENT, 40_000])
})

test('of what is cut before its ports nothing is touched', () => {
  const bytes = new Uint8Array(40).fill(0x45)
  for (const length of [0, 19, 20, 23]) translate(bytes, 0, length, translations)
  assert.deepEqual(bytes, new Uint8Array(40).fill(0x45))
})
