import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ChecksumState, type PacketSink, type TimedCapture } from '../../ports.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { parseAddress } from '../../wire/address.ts'
import { put16 } from '../../wire/bytes.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { LinkType } from '../../wire/link-layer.ts'
import { ACK, Segment } from '../../wire/segment.ts'
import { LinkCapture } from './link-capture.ts'

const SERVER = 0x0a000002

function request(payload: string, port = 80): Uint8Array {
  const fields = {
    fromAddress: 0x0a000009,
    fromPort: 4000,
    toAddress: SERVER,
    toPort: port,
    flags: ACK,
    seq: 1,
    ack: 1
  }
  return writePacket({ ...fields, payload: Buffer.from(payload) })
}

const CLIENT_6 = parseAddress('2001:db8::9') ?? 0
const SERVER_6 = parseAddress('2001:db8::1') ?? 0

function request6(
  payload: string,
  port = 80,
  toAddress = SERVER_6,
  extensions: [number, Uint8Array][] = []
): Uint8Array {
  const fields = {
    fromAddress: CLIENT_6,
    fromPort: 4000,
    toAddress,
    toPort: port,
    flags: ACK,
    seq: 1,
    ack: 1,
    extensions
  }
  return writePacket({ ...fields, payload: Buffer.from(payload) })
}

function ethernet(type: string, packet: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`020000000001020000000002${type}`, 'hex'), packet])
}

/** In GRE, between two hosts that are not clients. */
function inGre(packet: Uint8Array): Buffer {
  const header = Buffer.from('450000000001000040 2f0000c0a80001c0a80002'.replace(' ', ''), 'hex')
  put16(header, 2, 24 + packet.length)
  return ethernet('0800', Buffer.concat([header, Buffer.from('00000800', 'hex'), packet]))
}

class Device implements TimedCapture {
  readonly capturedAtMs = 1000
  frames: { readonly bytes: Uint8Array; readonly wireLength: number }[] = []
  isClosed = false
  lost = 0
  largestBatch = 0

  constructor(...frames: readonly Uint8Array[]) {
    this.add(...frames)
  }

  add(...frames: readonly Uint8Array[]): void {
    for (const bytes of frames) this.frames.push({ bytes, wireLength: bytes.length })
  }

  receive(sink: PacketSink, packetsMax: number): number {
    const taken = this.frames.splice(0, packetsMax)
    this.largestBatch = Math.max(this.largestBatch, taken.length)
    for (const { bytes, wireLength } of taken) {
      // Frames are not at the start of a ring.
      const memory = Buffer.concat([Buffer.alloc(7, 0x45), bytes])
      sink(memory, 7, bytes.length, wireLength, ChecksumState.Valid)
    }
    return taken.length
  }

  isFilling(): boolean {
    return this.frames.length > 100
  }

  dropped(): number {
    return this.lost
  }

  close(): void {
    this.isClosed = true
  }
}

interface Bench {
  readonly capture: LinkCapture
  readonly refused: [Flaw, number][]
  take(packetsMax?: number): [string, ChecksumState][]
}

function bench(...devices: readonly Device[]): Bench {
  const refused: [Flaw, number][] = []
  const capture = new LinkCapture(
    devices.map((one) => ({ capture: one, linkType: LinkType.Ethernet })),
    {
      protocol: 6,
      isWanted: (address, port) => (address === SERVER || address === SERVER_6) && port === 80,
      refuse: (flaw, packets) => refused.push([flaw, packets])
    }
  )
  const take = (packetsMax = 1000): [string, ChecksumState][] => {
    const seen: [string, ChecksumState][] = []
    const segment = new Segment()
    const count = capture.receive((bytes, at, captured, wire, checksum) => {
      assert.equal(parseIp(bytes, at, captured, wire, false, segment), Flaw.None)
      const { payloadAt, payloadLength } = segment
      seen.push([Buffer.from(bytes.subarray(payloadAt, payloadAt + payloadLength)).toString(), checksum])
    }, packetsMax)
    assert.equal(count, seen.length)
    return seen
  }
  return { capture, refused, take }
}

test("clients' packets are delivered bare, and from tags and tunnels without the kernel's checksum state", () => {
  const device = new Device(
    ethernet('0800', request('bare')),
    ethernet('8100', Buffer.concat([Buffer.from('00050800', 'hex'), request('tagged')])),
    inGre(request('tunnel'))
  )
  const { take, refused } = bench(device)
  assert.deepEqual(take(), [
    ['bare', ChecksumState.Valid],
    ['tagged', ChecksumState.Filed],
    ['tunnel', ChecksumState.Filed]
  ])
  assert.deepEqual(refused, [])
})

test('IPv6 packets are delivered bare, after extension headers, and from IPv4 tunnels', () => {
  const inIpv4 = Buffer.from('45000000000100004029 0000c0a80001c0a80002'.replace(' ', ''), 'hex')
  const tunnelled = request6('tunnel')
  put16(inIpv4, 2, 20 + tunnelled.length)
  const device = new Device(
    ethernet('86dd', request6('bare')),
    ethernet('86dd', request6('behind', 80, SERVER_6, [[60, new Uint8Array(6)]])),
    ethernet('0800', Buffer.concat([inIpv4, tunnelled])),
    ethernet('86dd', request6('other', 80, CLIENT_6)),
    ethernet('86dd', request6('').subarray(0, 41))
  )
  const { take, refused } = bench(device)
  assert.deepEqual(take(), [
    ['bare', ChecksumState.Valid],
    ['behind', ChecksumState.Valid],
    ['tunnel', ChecksumState.Filed]
  ])
  assert.deepEqual(refused, [
    [Flaw.NotIpv4, 1],
    [Flaw.Truncated, 1]
  ])
})

test('packets for others are reported as not for us, and invalid ones by their flaw', () => {
  const cut = ethernet('0800', request('')).subarray(0, 14 + 22)
  const ipv6 = ethernet('86dd', request6('no', 81))
  const device = new Device(ethernet('0800', request('no', 81)), ethernet('0806', request('no')), cut, ipv6)
  const { take, refused } = bench(device)
  assert.deepEqual(take(), [])
  const flaws = [Flaw.NotIpv4, Flaw.NotIpv4, Flaw.Truncated, Flaw.NotIpv4]
  assert.deepEqual(
    refused,
    flaws.map((flaw) => [flaw, 1])
  )
})

test('a truncated packet is delivered with its original length', () => {
  const device = new Device()
  const whole = ethernet('0800', request('0123456789'))
  device.frames.push({ bytes: whole.subarray(0, 60), wireLength: whole.length })
  let lengths: number[] = []
  bench(device).capture.receive((_bytes, _at, captured, wire) => {
    lengths = [captured, wire]
  }, 10)
  assert.deepEqual(lengths, [46, 50])
})

test('fragments are reassembled inside tunnels too, and incomplete packets are reported', () => {
  const whole = request('0123456789'.repeat(10))
  const header = whole.subarray(0, 20)
  const part = (from: number, to: number): Uint8Array => {
    const bytes = Uint8Array.from([...header, ...whole.subarray(20 + from, 20 + to)])
    put16(bytes, 2, bytes.length)
    put16(bytes, 6, (20 + to < whole.length ? 0x2000 : 0) | (from / 8))
    return bytes
  }
  const device = new Device(inGre(part(64, 120)), inGre(part(0, 64)))
  const { take, capture, refused } = bench(device)
  assert.deepEqual(take(), [['0123456789'.repeat(10), ChecksumState.Filed]])
  device.add(inGre(part(0, 64)))
  assert.deepEqual(take(), [])
  assert.deepEqual(refused, [])
  capture.close()
  assert.deepEqual(refused, [[Flaw.Fragment, 1]])
  assert.ok(device.isClosed)
})

test('devices take turns, no call delivers more than requested, and everything is delivered in the end', () => {
  const frames = (name: string, count: number): Uint8Array[] =>
    Array.from({ length: count }, (_, index) => ethernet('0800', request(`${name}${index}`)))
  const busy = new Device(...frames('a', 500))
  const quiet = new Device(...frames('b', 3))
  busy.lost = 2
  quiet.lost = 3
  const { take, capture } = bench(busy, quiet)
  assert.equal(capture.dropped(), 5)
  assert.ok(capture.isFilling())
  const first = take(100)
  assert.equal(first.length, 100)
  assert.ok(first.some(([text]) => text === 'b2'))
  assert.ok(busy.largestBatch <= 64)
  assert.equal(take(300).length, 300)
  assert.equal(take(300).length, 103)
  assert.ok(!capture.isFilling())
  assert.deepEqual(take(), [])
})

test('skipped packets count towards the limit of a call', () => {
  const others = Array.from({ length: 5000 }, () => ethernet('0800', request('', 81)))
  const device = new Device(...others, ethernet('0800', request('late')))
  const { take } = bench(device)
  assert.deepEqual(take(), [])
  assert.ok(device.frames.length > 0)
  assert.deepEqual(take(), [['late', ChecksumState.Valid]])
})

test('every frame is delivered, reported, or a fragment', () => {
  const whole = [ethernet('0800', request('bare')), inGre(request('tunnel')), ethernet('8847', request('label'))]
  const damaged = fc.tuple(
    fc.constantFrom(...whole),
    fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 4 }),
    fc.nat(100)
  )
  fc.assert(
    fc.property(fc.array(damaged, { maxLength: 20 }), fc.constantFrom(1, 7, 300), (frames, packetsMax) => {
      let refusedCount = 0
      let fragments = 0
      const waiting = frames.map(([frame, changes, length]) => {
        const bytes = Uint8Array.from(frame)
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
        return { bytes, length: Math.min(length, bytes.length) }
      })
      const device: TimedCapture = {
        capturedAtMs: 1000,
        receive: (sink, most) => {
          const taken = waiting.splice(0, most)
          for (const { bytes, length } of taken) sink(bytes, 0, length, bytes.length, ChecksumState.Unknown)
          return taken.length
        },
        dropped: () => 0,
        close: () => {}
      }
      const capture = new LinkCapture([{ capture: device, linkType: LinkType.Ethernet }], {
        protocol: 6,
        isWanted: (_, port) => port !== 81,
        refuse: (flaw, packets) => {
          if (flaw === Flaw.Fragment) fragments += packets
          else refusedCount += packets
        }
      })
      let givenCount = 0
      const take: PacketSink = (_bytes, _at, captured, wire) => {
        givenCount += 1
        assert.ok(captured <= wire)
      }
      while (waiting.length > 0) capture.receive(take, packetsMax)
      capture.close()
      // Two fragments may have been reassembled.
      const total = givenCount + refusedCount + fragments
      assert.ok(total <= frames.length && total >= frames.length / 2, `${total} of ${frames.length}`)
    }),
    { numRuns: 2000 }
  )
})
