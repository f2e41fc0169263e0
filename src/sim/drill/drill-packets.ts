/** What drills share, whatever they run on: the hosts of a script, the packets of its lines, and names of counts. */
import assert from 'node:assert/strict'
import { Counter } from '../../core/books/counters.ts'
import { Drop, dropNames } from '../../core/books/drop.ts'
import { parseAddress } from '../../wire/address.ts'
import { SYN } from '../../wire/segment.ts'
import { encodeOptions, writePacket } from '../network/packet.ts'
import type { Endpoint, SegmentLine } from './drill-script.ts'

export const client: Endpoint = { address: parseAddress('10.0.0.1') ?? 0, port: 40001 }
export const source: Endpoint = { address: parseAddress('10.0.0.2') ?? 0, port: 80 }
export const target: Endpoint = { address: parseAddress('10.0.0.3') ?? 0, port: 8080 }

/** Timers fire on whole milliseconds, and smoothed times have fractions. */
export const TOLERANCE_MS = 1

/** The byte of a stream at a sequence number, where a script does not write the payload. */
export function byteAt(seq: number): number {
  return (Math.imul(seq, 0x9e3779b1) >>> 24) & 255
}

/** The packet of a line, from one endpoint to another where the line does not name them. */
export function packetOf(line: SegmentLine, from: Endpoint, to: Endpoint): Uint8Array {
  const first = line.flags & SYN ? line.seq + 1 : line.seq
  const payload =
    line.text !== undefined
      ? new TextEncoder().encode(line.text)
      : Uint8Array.from({ length: line.length }, (_, index) => byteAt(first + index))
  return writePacket({
    fromAddress: from.address,
    fromPort: from.port,
    toAddress: to.address,
    toPort: to.port,
    flags: line.flags,
    seq: line.seq,
    ack: line.ack,
    window: line.window,
    urgentPointer: line.urgentPointer,
    ipId: line.ipId,
    ttl: line.ttl,
    trafficClass: line.trafficClass,
    options: line.options === undefined ? undefined : encodeOptions(line.options),
    payload
  })
}

/** @throws AssertionError if there is no such counter */
export function counterOf(name: string): Counter {
  const entry = Object.entries(Counter).find(([known]) => known === name)
  assert.ok(entry !== undefined, `there is no counter ${name}`)
  return entry[1]
}

/** @throws AssertionError if there is no such reason */
export function reasonOf(name: string): Drop {
  const found = Object.values(Drop).find((reason) => dropNames[reason] === name)
  assert.ok(found !== undefined, `there is no drop reason ${name}`)
  return found
}
