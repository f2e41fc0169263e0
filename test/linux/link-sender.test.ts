/** Sending through the link layer on a real kernel: super-packets, next hops that change, and targets without one. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { Frames, type PacketStyle } from '../../src/core/frames.ts'
import { Outbox } from '../../src/core/outbox.ts'
import { POOL_PAGE, SendPool } from '../../src/core/send-pool.ts'
import { errnoName } from '../../src/io/linux/libc.ts'
import { LinkSender } from '../../src/io/linux/link-sender.ts'
import { mapMemory } from '../../src/io/linux/memory.ts'
import { RawIpSender } from '../../src/io/linux/raw-ip-sender.ts'
import { PacketRing } from '../../src/io/linux/ring.ts'
import { type Capture, ChecksumState } from '../../src/ports.ts'
import { Flaw } from '../../src/wire/flaw.ts'
import { ACK, PSH, parseIpv4, Segment, verifyChecksum } from '../../src/wire/segment.ts'
import { add, seq } from '../../src/wire/seq.ts'
import { inNamespace, ip } from './namespace.ts'
import { NOWHERE, PORT_80, WIRE } from './packets.ts'

const FRAMES_MAX = 16
const SEGMENT = 1400
const SEGMENTS = 12
const NO_NEIGHBOUR = 0x0a090003

/** A connection's style, a pool with its octets, and frames for it. */
class Speaker {
  readonly memory = mapMemory(FRAMES_MAX * Outbox.headerStride + 4 * POOL_PAGE)
  readonly ways: string[] = []
  readonly sender: LinkSender
  readonly #outbox = new Outbox(this.memory.bytes, 0, FRAMES_MAX)
  readonly #pool = new SendPool(this.memory.bytes, FRAMES_MAX * Outbox.headerStride, 4)
  readonly #frames: Frames

  constructor(isStrict = false) {
    const raw = isStrict ? undefined : new RawIpSender(this.memory.address)
    this.sender = new LinkSender(this.memory.address, raw, (target, way) => this.ways.push(`${target} ${way}`))
    this.#frames = new Frames(
      this.#outbox,
      this.#pool,
      () => this.sender.flush(this.#outbox),
      (target) => this.sender.canSegment(target)
    )
  }

  /** Sends as many segments, each from a piece of its own, or all from one. */
  say(target: number, isOnePiece: boolean): void {
    const captured = new Segment()
    captured.bytes = Uint8Array.from({ length: SEGMENTS * SEGMENT }, (_, at) => at * 31)
    captured.payloadLength = captured.bytes.length
    captured.seq = seq(1000)
    captured.ipId = 65_530
    captured.dontFragment = true
    const count = isOnePiece ? 1 : SEGMENTS
    const length = isOnePiece ? 10 * SEGMENT : SEGMENT
    const style: PacketStyle = { ...STYLE, targetAddress: target }
    for (let index = 0; index < count; index++) {
      const piece = this.#pool.add(captured, index * length, length, index, index === count - 1)
      const { packet } = this.#frames
      packet.flags = index === count - 1 ? ACK | PSH : ACK
      packet.sequence = add(captured.seq, index * length)
      packet.acknowledgment = seq(7)
      packet.window = 500
      packet.piece = piece
      packet.offset = 0
      packet.length = length
      packet.segmentMax = SEGMENT
      packet.isCopy = true
      this.#frames.write(style)
    }
    this.sender.flush(this.#outbox)
  }

  [Symbol.dispose](): void {
    this.sender.close()
    this.memory.close()
  }
}

const STYLE: PacketStyle = {
  clientAddress: 0x0a090001,
  clientPort: 4000,
  targetAddress: WIRE,
  targetPort: 80,
  ttl: 64,
  flowLabel: 0,
  trafficClass: 0,
  mss: 0,
  windowScale: -1,
  isSackPermitted: false,
  hasTimestamps: true
}

interface SeenSegment {
  readonly sequence: number
  readonly length: number
  readonly id: number
  readonly isPushed: boolean
}

/** What came; each segment's octets and checksum are held to be right. */
function drain(capture: Capture): SeenSegment[] {
  const seen: SeenSegment[] = []
  const segment = new Segment()
  capture.receive((bytes, at, captured, wire, checksum) => {
    assert.equal(parseIpv4(bytes, at, captured, wire, false, segment), Flaw.None)
    if (checksum !== ChecksumState.Partial) assert.equal(verifyChecksum(segment), Flaw.None)
    for (let index = 0; index < segment.payloadLength; index++) {
      const expected = ((segment.seq - 1000 + index) * 31) & 255
      if (bytes[segment.payloadAt + index] !== expected) assert.fail(`octet ${segment.seq + index} is wrong`)
    }
    const { seq: sequence, payloadLength: length, ipId: id, flags } = segment
    seen.push({ sequence, length, id, isPushed: (flags & PSH) !== 0 })
  }, 1000)
  return seen
}

function capture(): PacketRing {
  return new PacketRing({ device: 'vb', link: 'cooked', filter: PORT_80, ringMegabytes: 1 })
}

function setOffloads(state: 'on' | 'off'): void {
  for (const device of ['va', 'vb']) {
    const features = ['tx', 'sg', 'tso', 'gso', 'gro'].flatMap((name) => [name, state])
    execFileSync('ethtool', ['-K', device, ...features], { stdio: 'ignore' })
  }
}

function neighbours(): string {
  return execFileSync('ip', ['neigh', 'show'], { encoding: 'utf8' })
}

inNamespace(import.meta.url, () => {
  for (const isOnePiece of [false, true]) {
    const count = isOnePiece ? 10 : SEGMENTS
    const from = isOnePiece ? 'one piece' : 'a piece each'
    test(`segments from ${from} are sent as a super-packet, whose parts are what single packets would have been`, () => {
      const ring = capture()
      using speaker = new Speaker()
      setOffloads('on')
      speaker.say(WIRE, isOnePiece)
      assert.deepEqual(drain(ring), [{ sequence: 1000, length: count * SEGMENT, id: 65_530, isPushed: true }])
      setOffloads('off')
      speaker.say(WIRE, isOnePiece)
      const single = Array.from({ length: count }, (_, index) => ({
        sequence: 1000 + index * SEGMENT,
        length: SEGMENT,
        id: (65_530 + index) & 0xffff,
        isPushed: index === count - 1
      }))
      assert.deepEqual(drain(ring), single)
      assert.equal(speaker.sender.sentCount, 2 * count)
      assert.equal(speaker.sender.refused.size, 0)
      ring.close()
    })
  }

  test('a next hop that moves to another MAC, or to another device, is followed', () => {
    using speaker = new Speaker()
    speaker.say(WIRE, true)
    speaker.sender.refresh()
    ip('neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0c dev va')
    speaker.sender.refresh()
    speaker.sender.refresh()
    ip('neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0b dev va')
    ip('addr add 10.8.0.1/24 dev vb')
    ip('neigh add 10.8.0.2 lladdr 02:00:00:00:00:0d dev vb')
    ip('route add 10.9.0.2/32 via 10.8.0.2')
    speaker.sender.refresh()
    assert.match(neighbours(), /10\.9\.0\.2 .* PERMANENT/, 'what the administrator has set stays')
    ip('route del 10.9.0.2/32')
    ip('addr del 10.8.0.1/24 dev vb')
    assert.deepEqual(speaker.ways, [
      '10.9.0.2 device va, MAC 02:00:00:00:00:0b',
      '10.9.0.2 device va, MAC 02:00:00:00:00:0c',
      '10.9.0.2 device vb, MAC 02:00:00:00:00:0d'
    ])
  })

  test('while the next hop is not known, packets go through a raw socket, each with its checksum', () => {
    const ring = new PacketRing({ device: 'lo', link: 'cooked', filter: PORT_80, ringMegabytes: 1 })
    using speaker = new Speaker()
    speaker.say(0x0a090001, false) // this host's own address, by way of lo
    const seen = drain(ring)
    assert.equal(seen.length, SEGMENTS)
    assert.equal(speaker.sender.sentCount, SEGMENTS)
    speaker.say(NO_NEIGHBOUR, false)
    assert.equal(speaker.sender.sentCount, 2 * SEGMENTS)
    ip('neigh replace 10.9.0.3 lladdr 02:00:00:00:00:0e dev va')
    assert.equal(speaker.sender.canSegment(NO_NEIGHBOUR), false)
    speaker.sender.refresh()
    assert.equal(speaker.sender.canSegment(NO_NEIGHBOUR), true)
    ip('neigh del 10.9.0.3 dev va')
    speaker.sender.refresh()
    assert.equal(speaker.sender.canSegment(NO_NEIGHBOUR), false)
    assert.match(speaker.ways.join(), /10\.9\.0\.3 device va.*10\.9\.0\.3 raw socket/)
    ring.close()
  })

  test('without a raw socket, packets without a next hop are refused by name', () => {
    using speaker = new Speaker(true)
    speaker.say(NOWHERE, false)
    speaker.say(NO_NEIGHBOUR, false)
    const refused = [...speaker.sender.refused].map(([errno, count]) => [errnoName(errno), count])
    assert.deepEqual(refused, [['EHOSTUNREACH', 2 * SEGMENTS]])
    assert.equal(speaker.sender.sentCount, 0)
    speaker.sender.refresh()
    assert.match(speaker.ways[0] ?? '', /^8\.8\.8\.8 none: /)
  })
})
