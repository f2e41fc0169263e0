import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeOptions, writePacket } from '../../sim/network/packet.ts'
import { parseAddress } from '../address.ts'
import { addressBook } from '../address-book.ts'
import { Flaw } from '../flaw.ts'
import { Flow } from '../flow.ts'
import { formatSegment } from '../packetdrill.ts'
import { ACK, FIN, PSH, parseIpv4, Segment, SYN } from '../segment.ts'
import { add, seq } from '../seq.ts'
import {
  AnswerRecord,
  ageByte,
  ageMs,
  fillAnswer,
  fillFromRecord,
  parseAnswerRecord,
  parseHeaderRecord,
  putAnswerRecord,
  putHeaderRecord
} from './answer-records.ts'
import { HEADER_LENGTH, MESSAGE_LENGTH, putHeader, putHello } from './channel-v1.ts'
import {
  flowRecordLength,
  offeredVersion,
  offerFlags,
  putAcceptance,
  putFlowRecord,
  putIntroduction,
  putOffer,
  RECORD_MAX,
  RecordType,
  recordLength,
  WANTS_PROOF
} from './channel-v2.ts'

const CLIENT = 0x0a4d0052
const TARGET = 0x0a4d008f
const FLOW = '0a4d00520a4d008fce3418eb'

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function written(length: number, put: (bytes: Uint8Array, at: number) => unknown): string {
  const bytes = new Uint8Array(length + 2).fill(0xa5)
  assert.equal(put(bytes, 1) ?? length, length)
  assert.deepEqual([bytes[0], bytes[length + 1]], [0xa5, 0xa5])
  return hex(bytes.subarray(1, length + 1))
}

function answersOf(flags: number, ranges: readonly (readonly [number, number, number])[]): AnswerRecord {
  const answers = new AnswerRecord()
  answers.flow.set(CLIENT, 52788, TARGET, 6379)
  answers.flags = flags
  for (const [index, [start, length, rangeFlags]] of ranges.entries()) {
    answers.setRange(index, seq(start), length, rangeFlags)
  }
  answers.rangeCount = ranges.length
  answers.ack = seq(0x4b4cffb0)
  answers.window = 0x41c
  return answers
}

function segmentsOf(answers: AnswerRecord): string[] {
  const segment = new Segment()
  fillFromRecord(answers, segment)
  return Array.from({ length: answers.segmentCount }, (_, index) => {
    fillAnswer(answers, index, segment)
    return formatSegment(segment)
  })
}

test('the start of version 2 is as in docs/channel.md, byte for byte', () => {
  const nonce = Uint8Array.from({ length: 16 }, (_, index) => index)
  const hello = (bytes: Uint8Array, at: number): void => {
    putHello(bytes, at)
    assert.equal(offeredVersion(bytes, at), 1)
    putOffer(bytes, at, 2, WANTS_PROOF)
    assert.deepEqual([offeredVersion(bytes, at), offerFlags(bytes, at)], [2, WANTS_PROOF])
  }
  assert.equal(written(MESSAGE_LENGTH, hello), '0000000000000006544356320201')
  const nonceText = '000102030405060708090a0b0c0d0e0f'
  assert.equal(
    written(20, (bytes, at) => putAcceptance(bytes, at, 2, WANTS_PROOF, nonce)),
    `54430201${nonceText}`
  )
  assert.equal(
    written(20, (bytes, at) => putIntroduction(bytes, at, nonce)),
    `10140000${nonceText}`
  )
  const proof = written(68, (bytes, at) => {
    putIntroduction(bytes, at, nonce, new Uint8Array(16).fill(0xee))
    bytes.fill(0x77, at + 36, at + 68)
  })
  assert.equal(proof, `10440100${nonceText}${'ee'.repeat(16)}${'77'.repeat(32)}`)
  const named = new Flow().set(CLIENT, 52788, TARGET, 6379)
  const route = written(16, (bytes, at) => putFlowRecord(bytes, at, RecordType.Route, named))
  assert.equal(route, `11100000${FLOW}`)
})

test('an IPv6 flow has addresses of 16 bytes, and a flag that says so', () => {
  const client = parseAddress('2001:db8::10') ?? 0
  const target = parseAddress('2001:db8::2') ?? 0
  const flow = `20010db8${'0'.repeat(22)}10${'20010db8'}${'0'.repeat(23)}2${'ce3418eb'}`
  const length = flowRecordLength(target)
  const named = new Flow().set(client, 52788, target, 6379)
  const route = written(length, (bytes, at) => putFlowRecord(bytes, at, RecordType.Route, named))
  assert.equal(route, `11288000${flow}`)
  const answers = answersOf(ACK, [[0x34befce0, 5, PSH]])
  Object.assign(answers.flow, named)
  const expected = `01388110${flow}4b4cffb0041c000034befce080000005`
  assert.equal(
    written(56, (bytes, at) => putAnswerRecord(answers, bytes, at)),
    expected
  )
  const read = new AnswerRecord()
  assert.ok(parseAnswerRecord(Buffer.from(expected, 'hex'), 0, read))
  assert.deepEqual(read.flow, named)
})

test('an answer in one segment with timestamps takes 40 bytes', () => {
  const answers = answersOf(ACK, [[0x34befce0, 5, PSH]])
  Object.assign(answers, { hasTimestamps: true, tsVal: 0x14dcd58c, tsEcr: 0xcbc6709a | 0 })
  const expected = `01284110${FLOW}4b4cffb0041c000014dcd58ccbc6709a34befce080000005`
  assert.equal(
    written(40, (bytes, at) => putAnswerRecord(answers, bytes, at)),
    expected
  )
  assert.deepEqual(segmentsOf(answers), [
    'P. 884931808:884931813(5) ack 1263337392 win 1052 <nop,nop,TS val 350016908 ecr 3418779802>'
  ])
})

test('ranges, duplicates and SACK blocks are as in docs/channel.md', () => {
  const answers = answersOf(ACK, [
    [0x100, 0, 0],
    [0x100, 0x20000, PSH],
    [0x30000, 1, FIN]
  ])
  answers.duplicates = 2
  answers.sackCount = 1
  answers.sackEdges.set([0x4b4d0000, 0x4b4d0100])
  const ranges = '0000010000000000' + '0000010080020000' + '0003000040000001'
  assert.equal(
    written(56, (bytes, at) => putAnswerRecord(answers, bytes, at)),
    `01380b10${FLOW}4b4cffb0041c0200${ranges}4b4d00004b4d0100`
  )
  const sack = '<nop,nop,sack 1263337472:1263337728>'
  assert.deepEqual(segmentsOf(answers), [
    `. 256:256(0) ack 1263337392 win 1052 ${sack}`,
    `P. 256:131328(131072) ack 1263337392 win 1052 ${sack}`,
    `F. 196608:196609(1) ack 1263337392 win 1052 ${sack}`,
    `. 196610:196610(0) ack 1263337392 win 1052 ${sack}`,
    `. 196610:196610(0) ack 1263337392 win 1052 ${sack}`
  ])
})

test('a header record has the captured TCP header, and the length of the payload', () => {
  const options = encodeOptions(['mss 1460', 'nop', 'wscale 8', 'sackOK', 'ts 1 2'])
  const packet = writePacket({
    ...{ fromAddress: TARGET, fromPort: 6379, toAddress: CLIENT, toPort: 52788 },
    ...{ flags: SYN | ACK, seq: 0x34befce0, ack: 0x4b4cff8e, window: 0xffff, options }
  })
  const segment = new Segment()
  parseIpv4(packet, 0, packet.length, packet.length, true, segment)
  const header = new Uint8Array(HEADER_LENGTH)
  putHeader(packet, 0, header, 0)
  const record = written(60, (bytes, at) => putHeaderRecord(header, 0, segment, bytes, at))
  assert.equal(record, `023c0000${FLOW}00000000${hex(packet.subarray(20))}`)
  const read = new Segment()
  assert.equal(parseHeaderRecord(Buffer.from(record, 'hex'), 0, read), Flaw.None)
  assert.equal(formatSegment(read), formatSegment(segment))
  assert.deepEqual([read.toAddress, read.toPort, read.fromAddress, read.fromPort], [CLIENT, 52788, TARGET, 6379])
})

const anyAnswers = fc
  .record({
    flags: fc.nat(255).map((flags) => (flags | ACK) & ~(SYN | FIN | PSH | 4)),
    ranges: fc.array(fc.tuple(fc.integer(), fc.nat(0x3fffffff), fc.constantFrom(0, PSH, FIN, PSH | FIN)), {
      minLength: 1,
      maxLength: 4
    }),
    duplicates: fc.nat(255),
    hasTimestamps: fc.boolean(),
    sack: fc.array(fc.integer(), { maxLength: 4 }),
    isIpv6: fc.boolean(),
    address: fc.uint8Array({ minLength: 16, maxLength: 16 })
  })
  .map(({ flags, ranges, duplicates, hasTimestamps, sack, isIpv6, address }) => {
    const answers = answersOf(flags, ranges)
    Object.assign(answers, { duplicates, hasTimestamps, sackCount: sack.length })
    for (const [index, left] of sack.entries()) answers.sackEdges.set([left, add(seq(left), 10)], index * 2)
    if (hasTimestamps) Object.assign(answers, { tsVal: 17, tsEcr: -5 })
    if (isIpv6) {
      answers.flow.clientAddress = addressBook.intern(address, 0)
      answers.flow.serverAddress = addressBook.intern(Uint8Array.from(address).reverse(), 0)
    }
    return answers
  })

/** The fields of a record, with arrays cut to their counts. */
function content(answers: AnswerRecord) {
  const { ranges, rangeCount, sackEdges, sackCount, ...rest } = answers
  return {
    ...rest,
    ranges: [...ranges.subarray(0, rangeCount * 2)],
    sack: [...sackEdges.subarray(0, sackCount * 2)]
  }
}

test('written records are read back unchanged, over IPv4 and IPv6', () => {
  fc.assert(
    fc.property(anyAnswers, (answers) => {
      const bytes = new Uint8Array(RECORD_MAX)
      const length = putAnswerRecord(answers, bytes, 0)
      assert.equal(recordLength(bytes, 0), length)
      const read = new AnswerRecord()
      assert.ok(parseAnswerRecord(bytes, 0, read))
      assert.deepEqual(content(read), content(answers))
    }),
    { seed: 1 }
  )
})

test('no input makes the readers throw, read beyond the record or return more than a record can hold', () => {
  const anyRecord = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: RECORD_MAX }),
    fc.tuple(anyAnswers, fc.nat(255), fc.nat(255)).map(([answers, at, value]) => {
      const bytes = new Uint8Array(RECORD_MAX)
      const record = bytes.slice(0, putAnswerRecord(answers, bytes, 0))
      record[at % record.length] = value
      return record
    })
  )
  fc.assert(
    fc.property(anyRecord, (bytes) => {
      // Bytes after the record must not matter.
      const padded = [0x00, 0xff].map((filler) => {
        const memory = new Uint8Array(RECORD_MAX * 2).fill(filler)
        memory.set(bytes)
        memory[1] = bytes.length
        const answers = new AnswerRecord()
        const segment = new Segment()
        const isAnswers = parseAnswerRecord(memory, 0, answers)
        const flaw = parseHeaderRecord(memory, 0, segment)
        if (!isAnswers) return [flaw]
        assert.ok(answers.rangeCount <= 4 && answers.sackCount <= 4 && answers.duplicates <= 255)
        return [flaw, content(answers), segmentsOf(answers)]
      })
      assert.deepEqual(padded[0], padded[1])
    }),
    { seed: 1, numRuns: 2000 }
  )
})

test('an age takes one byte, exact to 1/16 from a microsecond to half an hour', () => {
  assert.equal(ageByte(Number.NaN), 0)
  assert.ok(Number.isNaN(ageMs(0)))
  assert.deepEqual(
    [-5, 0, 0.0004, 0.001].map((ms) => ageByte(ms)),
    [1, 1, 1, 1]
  )
  assert.deepEqual(
    [0.007, 0.015, 0.016, 0.1, 1, 1000].map((ms) => ageByte(ms)),
    [7, 15, 16, 36, 63, 143]
  )
  assert.equal(ageByte(Number.POSITIVE_INFINITY), 231)
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 2_000_000, noNaN: true }), (ms) => {
      assert.ok(Math.abs(ageMs(ageByte(ms)) - ms) <= ms / 16 + 0.001)
    }),
    { seed: 1, numRuns: 2000 }
  )
  // Any value that a peer sends.
  for (let byte = 1; byte < 256; byte++) assert.ok(ageMs(byte) > 0 && ageMs(byte) < Number.POSITIVE_INFINITY)
  for (let byte = 2; byte < 256; byte++) assert.ok(ageMs(byte) > ageMs(byte - 1), `${byte}`)
})
