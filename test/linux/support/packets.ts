/** Packets that tests send, and what a capture saw of them. */
import assert from 'node:assert/strict'
import { Outbox } from '../../../src/core/packets/outbox.ts'
import { copyFilter } from '../../../src/io/linux/capture/filter.ts'
import type { PacketRingOptions } from '../../../src/io/linux/capture/packet-socket.ts'
import { PacketRing } from '../../../src/io/linux/capture/ring.ts'
import { RawIpSender } from '../../../src/io/linux/send/raw-ip-sender.ts'
import { mapMemory } from '../../../src/io/linux/system/memory.ts'
import type { Capture } from '../../../src/ports.ts'
import { put16, u8, u16 } from '../../../src/wire/bytes.ts'
import { putIpv4Header } from './raw-packets.ts'

export const WIRE = 0x0a090002
export const LOOPBACK = 0x7f000001
/** Another address behind the wire. */
export const WIRE_TOO = 0x0a090003
export const NOWHERE = 0x08080808
const PAYLOAD_AT = 0x10000

/** Memory, an outbox in it, and a sender. */
export class Source {
  readonly mapping = mapMemory(1 << 20)
  readonly outbox = new Outbox(this.mapping.bytes, 0, 256)
  readonly sender = new RawIpSender(this.mapping.address)

  /** Adds a TCP packet of 40 + `payloadLength` bytes. @param id of the IPv4 header */
  add(target: number, port: number, payloadLength: number, id = 0, fragment = 0): void {
    const bytes = this.mapping.bytes
    const at = this.outbox.nextHeaderAt()
    bytes.fill(0, at, at + 40)
    putIpv4Header(bytes, at, 0x0a090001, target, id, fragment)
    put16(bytes, at + 20, 1234)
    put16(bytes, at + 22, port)
    bytes[at + 32] = 0x50
    bytes.fill(0xab, PAYLOAD_AT, PAYLOAD_AT + payloadLength)
    this.outbox.add(40, PAYLOAD_AT, payloadLength, target)
  }

  flush(): void {
    this.sender.flush(this.outbox)
  }

  [Symbol.dispose](): void {
    this.sender.close()
    this.mapping.close()
  }
}

export interface Seen {
  readonly id: number
  readonly captured: number
  readonly wire: number
  readonly total: number
  readonly last: number
}

export function drain(capture: Capture): Seen[] {
  const seen: Seen[] = []
  let count = 0
  do {
    count = capture.receive((bytes, at, captured, wire) => {
      assert.equal(u8(bytes, at) >>> 4, 4)
      const last = u8(bytes, at + captured - 1)
      seen.push({ id: u16(bytes, at + 4), captured, wire, total: u16(bytes, at + 2), last })
    }, 16)
    assert.ok(count <= 16)
  } while (count > 0)
  return seen
}

export const PORT_80 = copyFilter([{ address: 0, port: 80 }])

export function withRing(options: Partial<PacketRingOptions>, step: (ring: PacketRing, source: Source) => void): void {
  const ring = new PacketRing({ device: 'vb', link: 'cooked', filter: PORT_80, ringMegabytes: 1, ...options })
  using source = new Source()
  try {
    step(ring, source)
  } finally {
    ring.close()
  }
}

export function ids(seen: readonly Seen[]): number[] {
  return seen.map(({ id }) => id)
}
