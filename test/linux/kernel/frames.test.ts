/** The ring of a promiscuous device on a real kernel: frames with their link header, and filters for them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { compileFilter } from '../../../src/io/linux/capture/libpcap.ts'
import { cutTo, frameFilter } from '../../../src/io/linux/capture/link-filter.ts'
import type { PacketRing } from '../../../src/io/linux/capture/ring.ts'
import { writePacket } from '../../../src/sim/network/packet.ts'
import { put16 } from '../../../src/wire/bytes.ts'
import { inNamespace } from '../support/namespace.ts'
import { PORT_80, WIRE, withRing } from '../support/packets.ts'
import { FrameSender } from '../support/raw-packets.ts'

const FRAMES_OF_80 = frameFilter(PORT_80, 'ethernet')
const ALL = [{ code: 6, jt: 0, jf: 0, k: 0x40000 }]
/** Destination and source MAC; no device has either. */
const OTHERS = '020000000077020000000066'
const SNAP_LENGTH = 0x40000

function packet(id: number, port = 80, payloadLength = 10): Uint8Array {
  const fields = { fromAddress: 0x0a090001, fromPort: 99, toAddress: 0x0a090063, toPort: port, flags: 0x10, seq: id }
  return writePacket({ ...fields, ipId: id, payload: new Uint8Array(payloadLength).fill(7) })
}

function frame(layers: string, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(OTHERS + layers.replaceAll(' ', ''), 'hex'), bytes])
}

/** Sends frames through a device. */
function write(device: string, ...frames: readonly Uint8Array[]): void {
  using sender = new FrameSender(device)
  for (const one of frames) assert.ok(sender.send(one), `${one.length} bytes are not sent`)
}

/** Takes the frames that wait in the ring. */
function taken(ring: PacketRing): Buffer[] {
  const frames: Buffer[] = []
  ring.receive((bytes, at, captured) => frames.push(Buffer.from(bytes.slice(at, at + captured))), 1000)
  return frames
}

function promiscuity(device: string): string {
  return /promiscuity (\d+)/.exec(execFileSync('ip', ['-d', 'link', 'show', device], { encoding: 'utf8' }))?.[1] ?? ''
}

inNamespace(import.meta.url, () => {
  test('frames for other MACs come complete with their link header; only the outermost tag is removed', () => {
    withRing({ device: 'vb', link: 'ethernet', filter: FRAMES_OF_80, isPromiscuous: true }, (ring) => {
      const plain = frame('0800', packet(1))
      const mpls = frame('8847 00010140', packet(4))
      write(
        'va',
        plain,
        frame('8100 0005 0800', packet(2)),
        frame('88a8 0064 8100 0005 0800', packet(3)),
        mpls,
        frame('0800', packet(5, 81))
      )
      const untagged = [frame('0800', packet(2)), frame('8100 0005 0800', packet(3))]
      assert.deepEqual(taken(ring), [plain, ...untagged, mpls])
    })
  })

  test('a device is promiscuous while the ring is open, and the ring ignores what the device sends', () => {
    assert.equal(promiscuity('va'), '0')
    withRing({ device: 'va', link: 'ethernet', filter: ALL, isPromiscuous: true }, (ring, source) => {
      assert.equal(promiscuity('va'), '1')
      source.add(WIRE, 80, 10, 1)
      source.flush()
      write('va', frame('0800', packet(2)))
      write('vb', frame('0800', packet(3)))
      assert.deepEqual(taken(ring), [frame('0800', packet(3))])
    })
    assert.equal(promiscuity('va'), '0')
  })

  for (const layers of ['0800', '8100 0005 0800']) {
    test(`fragments after ${layers} come as one packet`, () => {
      withRing({ device: 'vb', link: 'ethernet', filter: FRAMES_OF_80, isPromiscuous: true }, (ring) => {
        const whole = packet(9, 80, 2000)
        const part = (from: number, to: number): Uint8Array => {
          const bytes = Uint8Array.from([...whole.subarray(0, 20), ...whole.subarray(20 + from, 20 + to)])
          put16(bytes, 2, bytes.length)
          put16(bytes, 6, (20 + to < whole.length ? 0x2000 : 0) | (from / 8))
          put16(bytes, 10, 0)
          put16(bytes, 10, checksum(bytes))
          return bytes
        }
        write('va', frame(layers, part(0, 1400)), frame(layers, part(1400, 2020)))
        const [one, ...more] = taken(ring)
        assert.equal(more.length, 0)
        assert.deepEqual(one?.subarray(34), Buffer.from(whole.subarray(20)))
      })
    })
  }

  test('a filter for VLANs matches, although the kernel removes the tag', () => {
    for (const [expression, expected] of [
      ['vlan 5 and tcp dst port 80', [2, 4]],
      ['vlan 6', [3]],
      ['vlan 100 and vlan 5 and tcp', [5]],
      ['not vlan', [1]]
    ] as const) {
      const filter = compileFilter(expression, { link: 'ethernet', device: 'vb', snapLength: SNAP_LENGTH })
      withRing({ device: 'vb', link: 'ethernet', filter, isPromiscuous: true }, (ring) => {
        write(
          'va',
          frame('0800', packet(1)),
          frame('8100 0005 0800', packet(2)),
          frame('8100 0006 0800', packet(3)),
          frame('8100 0005 0800', packet(4)),
          frame('88a8 0064 8100 0005 0800', packet(5))
        )
        const seen = taken(ring).map((bytes) => bytes.readUInt16BE(bytes.indexOf(Buffer.from('4500', 'hex'), 12) + 4))
        assert.deepEqual(seen, expected, expression)
      })
    }
  })

  test('frames are truncated to the snap length, which does not count as loss', () => {
    for (const [snapLength, slotLength] of [
      [134, 256],
      [3000, 2048]
    ] as const) {
      const options = { filter: cutTo(FRAMES_OF_80, snapLength), snapLength, slotLength, isPromiscuous: true }
      withRing({ device: 'lo', link: 'ethernet', ...options }, (ring) => {
        const large = frame('0800', packet(1, 80, 5000))
        const small = frame('0800', packet(2, 80, 10))
        write('lo', large, small)
        assert.deepEqual(taken(ring), [large.subarray(0, snapLength), small])
        assert.equal(ring.dropped(), 0)
      })
    }
  })
})

/** Of an IPv4 header whose checksum field is zero. */
function checksum(header: Uint8Array): number {
  let sum = 0
  for (let at = 0; at < 20; at += 2) sum += ((header[at] ?? 0) << 8) | (header[at + 1] ?? 0)
  return ~((sum & 0xffff) + (sum >>> 16)) & 0xffff
}
