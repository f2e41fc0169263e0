/**
 * A program for a host of the lab: sends one TCP segment from 10.77.0.10:40000 to a port of an address. Before a
 * fragmented one it sends FIRST three times, each after an answer, so that a request certainly begins with it.
 * raw-segment.js bad-checksum|fragmented ADDRESS PORT PAYLOAD
 */
import { Outbox } from '../../../../src/core/packets/outbox.ts'
import { RawIpSender } from '../../../../src/io/linux/send/raw-ip-sender.ts'
import { mapMemory } from '../../../../src/io/linux/system/memory.ts'
import { parseAddress } from '../../../../src/wire/address.ts'
import { put16, put32 } from '../../../../src/wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../../../src/wire/checksum.ts'
import { putIpv4Header } from '../raw-packets.ts'

const FIRST = 'PING\r\n'
const [, , kind, addressText = '', portText = '', text = ''] = process.argv
const payload = Buffer.from(text, 'latin1')
const client = parseAddress('10.77.0.10') ?? 0
const target = parseAddress(addressText) ?? 0
const memory = mapMemory(1 << 17)
const { bytes } = memory
const outbox = new Outbox(bytes, 0, 8)
const payloadAt = 1 << 16
/** Bytes of the first fragment after its IP header: a multiple of eight, and less than the path MTU. */
const FIRST_LENGTH = 1000
const MORE_FRAGMENTS = 0x2000
const SEQUENCE = 1_000_000
const ACK = 2_000_000

/** @returns the offset of the header */
function putIp(fragment: number): number {
  const at = outbox.nextHeaderAt()
  putIpv4Header(bytes, at, client, target, 77, fragment)
  return at
}

function putTcp(at: number, sequence: number, ack: number, length: number): void {
  put16(bytes, at, 40_000)
  put16(bytes, at + 2, Number(portText))
  put32(bytes, at + 4, sequence)
  put32(bytes, at + 8, ack)
  bytes[at + 12] = 0x50
  bytes[at + 13] = 0x18
  put16(bytes, at + 14, 64_000)
  put32(bytes, at + 16, 0)
  const total = pseudoHeaderSum(client, target, 6, 20 + length) + sum(bytes, at, 20) + sum(bytes, payloadAt, length)
  put16(bytes, at + 16, ~fold(total) ^ (kind === 'bad-checksum' ? 1 : 0))
}

const sender = new RawIpSender(memory.address)
if (kind === 'fragmented') {
  bytes.set(Buffer.from(FIRST), payloadAt)
  for (const left of [3, 2, 1]) {
    const at = putIp(0)
    putTcp(at + 20, SEQUENCE - left * FIRST.length, ACK + 1 - left, FIRST.length)
    outbox.add(40, payloadAt, FIRST.length, target)
    sender.flush(outbox)
    outbox.clear()
  }
}
bytes.set(payload, payloadAt)
const firstLength = kind === 'fragmented' ? FIRST_LENGTH - 20 : payload.length
const first = putIp(kind === 'fragmented' ? MORE_FRAGMENTS : 0)
putTcp(first + 20, SEQUENCE, ACK + 1, payload.length)
outbox.add(40, payloadAt, firstLength, target)
if (kind === 'fragmented') {
  putIp(FIRST_LENGTH / 8)
  outbox.add(20, payloadAt + firstLength, payload.length - firstLength, target)
}
sender.flush(outbox)
sender.close()
