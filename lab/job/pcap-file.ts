/** Reads the TCP segments of a capture file. */
import { createReadStream } from 'node:fs'
import { i32, u8, u16 } from '../../src/wire/bytes.ts'

/** One TCP segment of a capture; the payload is valid during the visit. */
export interface CapturedSegment {
  /** Microseconds since the reader's base. */
  readonly timeUs: number
  /** int32, as all addresses here. */
  readonly sourceAddress: number
  readonly sourcePort: number
  readonly targetAddress: number
  readonly targetPort: number
  /** int32. */
  readonly seq: number
  readonly flags: number
  readonly payload: Uint8Array
}

export const SYN = 0x02

const fileHeaderLength = 24
const recordHeaderLength = 16
const magicNanoseconds = 0xa1b23c4d
const linkTypeEthernet = 1
const ethernetHeaderLength = 14
const etherTypeIpv4 = 0x0800
const protocolTcp = 6

/**
 * Reads a capture as `tcpdump --time-stamp-precision=nano -w` writes it on this machine, piece by piece.
 * @param baseSeconds times are counted from here, so that microseconds with fractions fit a number
 * @throws Error if the file has another format, ends in the middle of a record, or has truncated packets
 */
export async function readCapture(
  path: string,
  baseSeconds: number,
  visit: (segment: CapturedSegment) => void
): Promise<void> {
  let rest: Buffer = Buffer.alloc(0)
  let isHeaderRead = false
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    // Without an encoding, the stream's chunks are Buffers.
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer])
    if (!isHeaderRead) {
      if (rest.length < fileHeaderLength) continue
      checkFileHeader(rest, path)
      rest = rest.subarray(fileHeaderLength)
      isHeaderRead = true
    }
    rest = rest.subarray(readRecords(rest, path, baseSeconds, visit))
  }
  if (!isHeaderRead || rest.length > 0) throw new Error(`${path} ends in the middle of a record.`)
}

function checkFileHeader(header: Buffer, path: string): void {
  if (header.readUInt32LE(0) !== magicNanoseconds) throw new Error(`${path} is not a little-endian nanosecond capture.`)
  const linkType = header.readUInt32LE(20) & 0xffff
  if (linkType !== linkTypeEthernet) throw new Error(`${path} has link type ${linkType}; only Ethernet is supported.`)
}

/** @returns the length of the complete records */
function readRecords(
  bytes: Buffer,
  path: string,
  baseSeconds: number,
  visit: (segment: CapturedSegment) => void
): number {
  let at = 0
  while (at + recordHeaderLength <= bytes.length) {
    const capturedLength = bytes.readUInt32LE(at + 8)
    const end = at + recordHeaderLength + capturedLength
    if (end > bytes.length) break
    if (capturedLength < bytes.readUInt32LE(at + 12)) throw new Error(`${path} has truncated packets.`)
    const timeUs = (bytes.readUInt32LE(at) - baseSeconds) * 1e6 + bytes.readUInt32LE(at + 4) / 1e3
    const segment = parseSegment(bytes.subarray(at + recordHeaderLength, end), timeUs)
    if (segment !== undefined) visit(segment)
    at = end
  }
  return at
}

/** undefined if the frame is not a complete TCP segment in IPv4. */
function parseSegment(frame: Uint8Array, timeUs: number): CapturedSegment | undefined {
  const ip = ethernetHeaderLength
  if (frame.length < ip + 20 || u16(frame, 12) !== etherTypeIpv4 || u8(frame, ip + 9) !== protocolTcp) return undefined
  const tcp = ip + (u8(frame, ip) & 0x0f) * 4
  const totalLength = u16(frame, ip + 2)
  // Zero: a super-packet whose length does not fit 16 bits. Otherwise what follows is Ethernet's padding.
  const end = totalLength === 0 ? frame.length : ip + totalLength
  if (tcp + 20 > end || end > frame.length) return undefined
  return {
    timeUs,
    sourceAddress: i32(frame, ip + 12),
    targetAddress: i32(frame, ip + 16),
    sourcePort: u16(frame, tcp),
    targetPort: u16(frame, tcp + 2),
    seq: i32(frame, tcp + 4),
    flags: u8(frame, tcp + 13),
    payload: frame.subarray(Math.min(tcp + (u8(frame, tcp + 12) >>> 4) * 4, end), end)
  }
}
