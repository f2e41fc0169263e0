import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writePacket } from '../../sim/network/packet.ts'
import { parseAddress } from '../../wire/address.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { ACK, Segment } from '../../wire/segment.ts'
import { translate } from './address-translation.ts'

const CONTAINER = 0xac120002 | 0
const TARGET = 0x0a4d0002
const CLIENT = 0x0a4d000a
const HIDDEN = 0x0a630007
const CONTAINER_6 = parseAddress('fd18::2') ?? 0
const TARGET_6 = parseAddress('fd77::2') ?? 0
const CLIENT_6 = parseAddress('fd77::10') ?? 0
const HIDDEN_6 = parseAddress('fd63::7') ?? 0

const translations = [
  { newAddress: CONTAINER, newPort: 6380, originalAddress: TARGET, originalPort: 6379 },
  { newAddress: HIDDEN, newPort: 0, originalAddress: CLIENT, originalPort: 0 },
  { newAddress: CONTAINER_6, newPort: 6380, originalAddress: TARGET_6, originalPort: 6379 },
  { newAddress: HIDDEN_6, newPort: 0, originalAddress: CLIENT_6, originalPort: 0 }
]

function translated(fromAddress: number, fromPort: number, toAddress: number, toPort: number): number[] {
  const packet = writePacket({ fromAddress, fromPort, toAddress, toPort, flags: ACK, seq: 1, ack: 1 })
  translate(packet, 0, packet.length, translations)
  const segment = new Segment()
  parseIp(packet, 0, packet.length, packet.length, true, segment)
  return [segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort]
}

test('answers get back the original addresses of target and client, and the ports if they were given', () => {
  assert.deepEqual(translated(CONTAINER, 6380, CLIENT, 40_000), [TARGET, 6379, CLIENT, 40_000])
  assert.deepEqual(translated(CONTAINER, 6380, HIDDEN, 40_000), [TARGET, 6379, CLIENT, 40_000])
  assert.deepEqual(translated(TARGET, 6379, HIDDEN, 6380), [TARGET, 6379, CLIENT, 6380])
})

test('IPv6 answers are translated too, even after extension headers', () => {
  assert.deepEqual(translated(CONTAINER_6, 6380, HIDDEN_6, 40_000), [TARGET_6, 6379, CLIENT_6, 40_000])
  assert.deepEqual(translated(CONTAINER_6, 6381, CLIENT_6, 40_000), [CONTAINER_6, 6381, CLIENT_6, 40_000])
  const flow = { fromAddress: CONTAINER_6, fromPort: 6380, toAddress: CLIENT_6, toPort: 7 }
  const packet = writePacket({ ...flow, flags: ACK, seq: 1, extensions: [[60, new Uint8Array(6)]] })
  translate(packet, 0, packet.length, translations)
  const segment = new Segment()
  parseIp(packet, 0, packet.length, packet.length, true, segment)
  assert.deepEqual([segment.fromAddress, segment.fromPort], [TARGET_6, 6379])
})

test('addresses without a translation stay unchanged', () => {
  assert.deepEqual(translated(TARGET, 6379, CLIENT, 40_000), [TARGET, 6379, CLIENT, 40_000])
  assert.deepEqual(translated(CONTAINER, 6381, CLIENT, 40_000), [CONTAINER, 6381, CLIENT, 40_000])
})

test('a packet truncated before its ports stays unchanged', () => {
  const bytes = new Uint8Array(40).fill(0x45)
  for (const length of [0, 19, 20, 23]) translate(bytes, 0, length, translations)
  assert.deepEqual(bytes, new Uint8Array(40).fill(0x45))
})
