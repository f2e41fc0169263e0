import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeOptions, writePacket } from '../../sim/network/packet.ts'
import { ACKNOWLEDGMENT, ANSWER, HELLO, ROUTE, SYN_ACK } from '../../sim/network/recorded-exchange.ts'
import { Flaw } from '../flaw.ts'
import { Flow } from '../flow.ts'
import { formatSegment } from '../packetdrill.ts'
import { ACK, PSH, parseIpv4, Segment, SYN } from '../segment.ts'
import {
  type Framing,
  Framings,
  HEADER_LENGTH,
  MESSAGE_LENGTH,
  MessageType,
  messageLength,
  messageType,
  parseRecord,
  putHeader,
  putHello,
  putMessage,
  putPayload,
  RECORD_LENGTH,
  RECORD_LENGTH_MAX,
  readMessageFlow
} from './channel-v1.ts'

/** In the recorded exchange. */
const CLIENT = 0x0a4d0052
const TARGET = 0x0a4d008f

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function parse(record: string): Segment {
  const segment = new Segment()
  assert.equal(parseRecord(Buffer.from(record, 'hex'), 0, segment), Flaw.None)
  return segment
}

test('messages to intercept equal those of tcpcopy 1.x, byte for byte', () => {
  const bytes = new Uint8Array(MESSAGE_LENGTH + 2).fill(0xa5)
  putHello(bytes, 1)
  assert.equal(hex(bytes), `a5${HELLO}a5`)
  const flow = new Flow().set(CLIENT, 52788, TARGET, 6379)
  putMessage(bytes, 1, MessageType.AddRoute, flow)
  assert.equal(hex(bytes), `a5${ROUTE}a5`)
  assert.equal(messageType(bytes, 1), MessageType.AddRoute)
  const read = new Flow()
  readMessageFlow(bytes, 1, read)
  assert.deepEqual(read, flow)
  assert.equal(messageType(Buffer.from(HELLO, 'hex'), 0), MessageType.Version)
})

test('records of intercept 1.x are parsed', () => {
  const synAck = parse(SYN_ACK)
  assert.deepEqual([synAck.flags, synAck.mss, synAck.windowScale, synAck.sackPermitted], [SYN | ACK, 1460, 8, true])
  assert.deepEqual([synAck.fromAddress, synAck.fromPort], [TARGET, 6379])
  assert.deepEqual([synAck.toAddress, synAck.toPort], [CLIENT, 52788])
  assert.equal(synAck.payloadLength, 0)
  assert.equal(parse(ACKNOWLEDGMENT).payloadLength, 0)
  const answer = parse(ANSWER)
  assert.deepEqual([answer.flags, answer.payloadLength, answer.window], [PSH | ACK, 5, 0x41c])
  assert.deepEqual([answer.tsVal, answer.tsEcr], [0x14dcd58c, 0xcbc6709a | 0])
})

test('records equal those of intercept 1.x', () => {
  for (const expected of [SYN_ACK, ACKNOWLEDGMENT, ANSWER]) {
    const packet = Buffer.concat([Buffer.from(expected, 'hex'), Buffer.from('+OK\r\n')])
    const header = new Uint8Array(HEADER_LENGTH + 2).fill(0xa5)
    putHeader(packet, 0, header, 1)
    assert.equal(hex(header.subarray(0, 1 + RECORD_LENGTH)), `a5${expected}`)
    assert.equal(hex(header.subarray(1 + RECORD_LENGTH)), `${'00'.repeat(HEADER_LENGTH - RECORD_LENGTH)}a5`)
  }
})

/** The record of an answer with this payload, for peers that want payload. */
function longRecord(payload: string, captured = Number.POSITIVE_INFINITY): string {
  const header = Buffer.from(ANSWER, 'hex').subarray(0, 52)
  const packet = Buffer.concat([header, Buffer.from(payload)])
  packet.writeUInt16BE(packet.length, 2)
  const record = new Uint8Array(RECORD_LENGTH_MAX).fill(0xa5)
  const segment = new Segment()
  assert.equal(parseIpv4(packet, 0, packet.length, packet.length, true, segment), Flaw.None)
  putHeader(packet, 0, record, 0)
  putPayload(segment, Math.min(packet.length, captured), record)
  assert.equal(hex(record.subarray(4, 52)), ANSWER.slice(8, 104))
  return hex(record.subarray(52))
}

test('payload of up to 128 bytes follows the TCP header of a record', () => {
  assert.equal(longRecord('+OK\r\n'), `2b4f4b0d0a${'00'.repeat(135)}`)
  assert.equal(longRecord('x'.repeat(128)), `${'78'.repeat(128)}${'00'.repeat(12)}`)
  assert.equal(longRecord('x'.repeat(129)), '00'.repeat(140))
  assert.equal(longRecord('+OK\r\n', 56), '00'.repeat(140), 'not all of it was captured')
})

test('a record with the longest header has as much payload as fits after it', () => {
  const options = new Uint8Array(40).fill(1)
  const packet = writePacket({
    ...{ fromAddress: TARGET, fromPort: 6379, toAddress: CLIENT, toPort: 52788, seq: 1, ack: 2, flags: ACK },
    payload: new Uint8Array(128).fill(0x78),
    options
  })
  const record = new Uint8Array(RECORD_LENGTH_MAX + 2).fill(0xa5)
  const segment = new Segment()
  assert.equal(parseIpv4(packet, 0, packet.length, packet.length, false, segment), Flaw.None)
  putHeader(packet, 0, record, 0)
  putPayload(segment, packet.length, record.subarray(0, RECORD_LENGTH_MAX))
  assert.equal(hex(record.subarray(40)), `${'01'.repeat(40)}${'78'.repeat(112)}a5a5`)
})

test('the framing alone determines the length of a message', () => {
  const lengthOf = (framing: Framing, start: string): number => {
    const bytes = Buffer.from(start, 'hex')
    return messageLength(framing, bytes, 0, bytes.length)
  }
  const { Combined, Bare, WithPayload } = Framings
  const cases = ['00', '0000', '0001', '0006', '0007', '0010', '0011', '4500', '5443'] as const
  assert.deepEqual(
    cases.map((start) => [Combined, Bare, WithPayload].map((framing) => lengthOf(framing, start))),
    [
      [0, 0, 0],
      [-1, -1, -1],
      [66, -1, 194],
      [386, -1, 1154],
      [450, -1, -1],
      [1026, -1, -1],
      [-1, -1, -1],
      [-1, 64, -1],
      [-1, -1, -1]
    ]
  )
})

test('a record has all fields of the packet, except payload and late options', () => {
  const any = fc.record({
    fromAddress: fc.integer({ min: 0x01000000 }),
    toAddress: fc.integer({ min: 0x01000000 }),
    fromPort: fc.nat(65535),
    toPort: fc.nat(65535),
    flags: fc.nat(255),
    seq: fc.integer(),
    ack: fc.integer(),
    window: fc.nat(65535),
    payload: fc.uint8Array({ maxLength: 40 }),
    options: fc.constantFrom([], ['mss 1460', 'sackOK'], ['nop', 'nop', 'ts 1 2'], ['ts 5 6', 'nop', 'nop', 'sack 1:2'])
  })
  fc.assert(
    fc.property(any, (given) => {
      const packet = writePacket({ ...given, options: encodeOptions(given.options) })
      const record = new Uint8Array(HEADER_LENGTH)
      putHeader(packet, 0, record, 0)
      const fromPacket = new Segment()
      parseIpv4(packet, 0, packet.length, packet.length, false, fromPacket)
      assert.equal(formatSegment(parse(hex(record))), formatSegment(fromPacket))
    }),
    { seed: 1 }
  )
})

test('no input makes the reader of records throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: RECORD_LENGTH, maxLength: RECORD_LENGTH }), fc.boolean(), (bytes, isIp) => {
      if (isIp) bytes[0] = 0x45
      const segment = new Segment()
      if (parseRecord(bytes, 0, segment) === Flaw.None) assert.ok(segment.payloadLength >= 0)
    }),
    { seed: 1, numRuns: 2000 }
  )
})
