/** Sending IPv6 on a real kernel: super-packets, AF_XDP, neighbor discovery, and MTUs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { LinkSender } from '../../../src/io/linux/send/link-sender.ts'
import { RawIpSender } from '../../../src/io/linux/send/raw-ip-sender.ts'
import { XdpSender } from '../../../src/io/linux/send/xdp-sender.ts'
import type { PacketSender } from '../../../src/ports.ts'
import { parseAddress } from '../../../src/wire/address.ts'
import { CopiedStream, capture, drain, SEGMENT, SEGMENTS, SEQUENCES } from '../support/copied-stream.ts'
import { inNamespace, ip, setOffloads } from '../support/namespace.ts'
import { until } from '../support/waiting.ts'

const WIRE_6 = parseAddress('fd09::2') ?? 0
/** A host at the other end of the wire. */
const NEIGHBOUR_6 = parseAddress('fd09::3') ?? 0
const OWN_6 = parseAddress('fd09::1') ?? 0
const FAR_6 = parseAddress('fd0a::1') ?? 0

function openRaw(address: number): RawIpSender {
  const raw = new RawIpSender(address)
  raw.openIpv6()
  return raw
}

const SENDERS: Readonly<Record<string, (address: number, say: (of: string, way: string) => void) => PacketSender>> = {
  link: (address, say) => new LinkSender(address, openRaw(address), say),
  xdp: (address, say) => new XdpSender(new LinkSender(address, openRaw(address), say), say),
  ip: openRaw
}

function setting(path: string, value: number): void {
  writeFileSync(`/proc/sys/net/ipv6/${path}`, `${value}`)
}

inNamespace(import.meta.url, () => {
  ip('link set va addrgenmode none')
  for (const device of ['default', 'lo', 'va']) setting(`conf/${device}/disable_ipv6`, 0)
  // Keeps the files of `ip netns` inside this mount namespace.
  execFileSync('mount', ['-t', 'tmpfs', 'none', '/run'])
  ip('netns add far')
  ip('-6 addr add fd09::1/64 dev va nodad')
  ip('-6 neigh add fd09::2 lladdr 02:00:00:00:00:0b dev va')

  for (const isOnePiece of [false, true]) {
    const count = isOnePiece ? 10 : SEGMENTS
    test(`over IPv6, segments from ${isOnePiece ? 'one piece' : 'several pieces'} are sent as a super-packet, which the device segments if it must`, () => {
      const ring = capture(6)
      using stream = new CopiedStream(SENDERS.link ?? assert.fail())
      setOffloads('on')
      stream.say(WIRE_6, isOnePiece)
      assert.deepEqual(drain(ring), [{ sequence: 1000, length: count * SEGMENT, id: 0, isPushed: true }])
      setOffloads('off')
      stream.say(WIRE_6, isOnePiece)
      const lengths = drain(ring).map(({ sequence, length }) => [sequence, length])
      assert.deepEqual(
        lengths,
        Array.from({ length: count }, (_, index) => [1000 + index * SEGMENT, SEGMENT])
      )
      assert.equal(stream.sender.sentCount, 2 * count)
      assert.equal(stream.sender.refused.size, 0)
      assert.deepEqual(stream.ways, [])
      stream.sender.refresh()
      assert.deepEqual(stream.ways, ['fd09::2 device va, MAC 02:00:00:00:00:0b'])
      ring.close()
    })
  }

  for (const way of ['link', 'xdp', 'ip']) {
    test(`single packets over IPv6 arrive complete and in order, sent by ${way}`, () => {
      const ring = capture(6)
      using stream = new CopiedStream(SENDERS[way] ?? assert.fail())
      stream.isSegmenting = false
      stream.say(WIRE_6, false)
      assert.deepEqual(
        drain(ring).map(({ sequence }) => sequence),
        SEQUENCES
      )
      assert.equal(stream.sender.sentCount, SEGMENTS)
      assert.deepEqual([...stream.sender.refused], [])
      if (way === 'xdp') assert.deepEqual(stream.ways, ['va AF_XDP'])
      ring.close()
    })
  }

  test("a neighbor's MAC is resolved before anything is sent, and the host's own addresses use lo", async () => {
    ip('link add vc type veth peer name vd')
    ip('link set vd netns far')
    ip('link set vc up')
    for (const words of ['link set vd up', '-6 addr add fd0b::2/64 dev vd nodad']) ip(`-n far ${words}`)
    ip('-6 addr add fd0b::1/64 dev vc nodad')
    using stream = new CopiedStream(SENDERS.link ?? assert.fail())
    const target = parseAddress('fd0b::2') ?? 0
    const { sender } = stream
    assert.ok(sender instanceof LinkSender)
    sender.ways.prepare(target)
    await until('the neighbor is resolved', () => {
      sender.refresh()
      return sender.canSegment(target)
    })
    assert.match(stream.ways.at(-1) ?? '', /^fd0b::2 device vc, MAC /)
    assert.equal(sender.canSegment(OWN_6), false)
    ip('netns del far')
  })

  test('the path MTU is the smallest of device, route and router advertisement', () => {
    using stream = new CopiedStream(SENDERS.link ?? assert.fail())
    const { sender } = stream
    const mtu = (target: number): number => {
      sender.refresh()
      return sender.mtu(target)
    }
    assert.equal(mtu(NEIGHBOUR_6), 1500)
    setting('conf/va/mtu', 1400)
    assert.equal(mtu(NEIGHBOUR_6), 1400)
    ip('-6 route add fd0a::/64 via fd09::3 mtu 1300')
    assert.equal(mtu(FAR_6), 1300)
    setting('conf/va/mtu', 1500)
    assert.equal(mtu(parseAddress('2001:db8::1') ?? 0), 0)
  })
})
