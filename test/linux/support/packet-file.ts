/** A capture file as a list of packets whose fields a test can compare. */
import { readFileSync } from 'node:fs'
import { formatAddress } from '../../../src/wire/address.ts'
import { formatFlags, formatOptions } from '../../../src/wire/packetdrill.ts'
import { parseIpv4, Segment } from '../../../src/wire/segment.ts'

export interface Packet {
  readonly from: string
  readonly to: string
  readonly fromPort: number
  readonly toPort: number
  readonly id: number
  readonly ttl: number
  readonly dontFragment: boolean
  /** Unsigned, as all numbers here. */
  readonly seq: number
  /** 0 without ACK. */
  readonly ack: number
  readonly window: number
  /** As packetdrill writes them. */
  readonly flags: string
  /** 0 without the option. */
  readonly tsVal: number
  readonly tsEcr: number
  /** Of a SYN, timestamps left out: name → value. */
  readonly options: ReadonlyMap<string, string>
  /** Latin-1. */
  readonly payload: string
}

const FILE_HEADER = 24
const RECORD_HEADER = 16
const ETHERNET_HEADER = 14

/** The TCP packets of a file that tcpdump wrote on an Ethernet device of this machine. */
export function readPackets(path: string): Packet[] {
  const file = readFileSync(path)
  const packets: Packet[] = []
  let at = FILE_HEADER
  while (at + RECORD_HEADER <= file.length) {
    const length = file.readUInt32LE(at + 8)
    const begin = at + RECORD_HEADER + ETHERNET_HEADER
    at += RECORD_HEADER + length
    packets.push(readPacket(file.subarray(begin, at)))
  }
  return packets
}

function readPacket(bytes: Buffer): Packet {
  const segment = new Segment()
  parseIpv4(bytes, 0, bytes.length, bytes.length, false, segment)
  const texts = formatOptions(segment).filter((text) => text !== 'nop' && !text.startsWith('TS '))
  const flags = formatFlags(segment.flags)
  return {
    from: formatAddress(segment.fromAddress),
    to: formatAddress(segment.toAddress),
    fromPort: segment.fromPort,
    toPort: segment.toPort,
    id: bytes.readUInt16BE(4),
    ttl: segment.ttl,
    dontFragment: (bytes.readUInt16BE(6) & 0x4000) !== 0,
    seq: segment.seq >>> 0,
    ack: flags.includes('.') ? segment.ack >>> 0 : 0,
    window: segment.window,
    flags,
    tsVal: segment.hasTimestamps ? segment.tsVal >>> 0 : 0,
    tsEcr: segment.hasTimestamps ? segment.tsEcr >>> 0 : 0,
    options: new Map(texts.map((text) => [text.split(' ')[0] ?? '', text])),
    payload: bytes.subarray(segment.payloadAt, segment.payloadAt + segment.payloadLength).toString('latin1')
  }
}
