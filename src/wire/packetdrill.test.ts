import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeOptions, writePacket } from '../sim/network/packet.ts'
import { HEADER_LENGTH, parseRecord, putHeader } from './channel/channel-v1.ts'
import { formatFlags, formatSegment, parseFlags } from './packetdrill.ts'
import { ACK, FIN, PSH, parseIpv4, RST, Segment, SYN } from './segment.ts'

const BASE = { fromAddress: 0x0a000001, fromPort: 2, toAddress: 0x0a000003, toPort: 4 }

function format(fields: { flags: number; seq: number; ack?: number; payload?: Uint8Array }, options: string[]): string {
  const packet = writePacket({ ...BASE, window: 502, ...fields, options: encodeOptions(options) })
  const segment = new Segment()
  parseIpv4(packet, 0, packet.length, packet.length, false, segment)
  return formatSegment(segment)
}

test('segments are printed in packetdrill notation', () => {
  const data = { flags: PSH | ACK, seq: 100, ack: 501, payload: new Uint8Array(38) }
  assert.equal(format(data, ['nop', 'nop', 'ts 1 2']), 'P. 100:138(38) ack 501 win 502 <nop,nop,TS val 1 ecr 2>')
  const syn = { flags: SYN, seq: -1 }
  assert.equal(
    format(syn, ['mss 1460', 'sackOK', 'ts 4294967295 0', 'nop', 'wscale 7']),
    'S 4294967295:4294967295(0) win 502 <mss 1460,sackOK,TS val 4294967295 ecr 0,nop,wscale 7>'
  )
  assert.equal(format({ flags: ACK, seq: 1, ack: 2 }, ['sack 5:7 9:12']), '. 1:1(0) ack 2 win 502 <sack 5:7 9:12>')
  assert.equal(format({ flags: FIN | ACK, seq: 1, ack: 2 }, []), 'F. 1:1(0) ack 2 win 502')
  assert.equal(format({ flags: RST, seq: 1 }, []), 'R 1:1(0) win 502')
})

test('printed flags parse to the same flags', () => {
  for (let flags = 0; flags < 256; flags++) assert.equal(parseFlags(formatFlags(flags)), flags)
  assert.equal(parseFlags('X'), undefined)
})

test('for a record of intercept only the options present are printed', () => {
  const options = encodeOptions(['ts 1 2', 'sack 1:2 3:4', 'nop'])
  const packet = writePacket({ ...BASE, flags: ACK, seq: 1, ack: 2, window: 3, options, payload: new Uint8Array(9) })
  const record = new Uint8Array(HEADER_LENGTH)
  putHeader(packet, 0, record, 0)
  const segment = new Segment()
  parseRecord(record, 0, segment)
  assert.equal(formatSegment(segment), '. 1:10(9) ack 2 win 3 <TS val 1 ecr 2,malformed 5>')
})
