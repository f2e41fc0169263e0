/** Sending through the link layer on a real kernel: super-packets, next hops that change, targets without a next hop. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { PacketRing } from '../../../src/io/linux/capture/ring.ts'
import { LinkSender } from '../../../src/io/linux/send/link-sender.ts'
import type { GivenNextHop } from '../../../src/io/linux/send/next-hops.ts'
import { RawIpSender } from '../../../src/io/linux/send/raw-ip-sender.ts'
import { errnoName } from '../../../src/io/linux/system/libc.ts'
import { CopiedStream, capture, drain, SEGMENT, SEGMENTS } from '../support/copied-stream.ts'
import { inNamespace, ip, setOffloads } from '../support/namespace.ts'
import { NOWHERE, PORT_80, WIRE } from '../support/packets.ts'

const NO_NEIGHBOR = 0x0a090003
const STRANGER = 0x0a090004

function open(isStrict = false, given?: GivenNextHop): CopiedStream {
  return new CopiedStream(
    (address, say) => new LinkSender(address, isStrict ? undefined : new RawIpSender(address), say, given)
  )
}

const MAC_66 = Uint8Array.of(2, 0, 0, 0, 0, 0x66)
const MAC_77 = Uint8Array.of(2, 0, 0, 0, 0, 0x77)

/** The Ethernet headers of the IPv4 packets that arrive on a device during a step, each once. */
function headersOn(device: string, step: () => void): string[] {
  const filter = [{ code: 6, jt: 0, jf: 0, k: 0x40000 }]
  const ring = new PacketRing({ device, link: 'ethernet', filter, isPromiscuous: true, ringMegabytes: 1 })
  step()
  const headers = new Set<string>()
  ring.receive((bytes, at) => headers.add(Buffer.from(bytes.slice(at, at + 14)).toString('hex')), 1000)
  ring.close()
  return [...headers].filter((header) => header.endsWith('0800'))
}

function neighbors(): string {
  return execFileSync('ip', ['neigh', 'show'], { encoding: 'utf8' })
}

inNamespace(import.meta.url, () => {
  for (const isOnePiece of [false, true]) {
    const count = isOnePiece ? 10 : SEGMENTS
    const from = isOnePiece ? 'one piece' : 'several pieces'
    test(`segments from ${from} are sent as a super-packet, which splits into the same packets as without offloads`, () => {
      const ring = capture()
      using stream = open()
      setOffloads('on')
      stream.say(WIRE, isOnePiece)
      assert.deepEqual(drain(ring), [{ sequence: 1000, length: count * SEGMENT, id: 65_530, isPushed: true }])
      setOffloads('off')
      stream.say(WIRE, isOnePiece)
      const single = Array.from({ length: count }, (_, index) => ({
        sequence: 1000 + index * SEGMENT,
        length: SEGMENT,
        id: (65_530 + index) & 0xffff,
        isPushed: index === count - 1
      }))
      assert.deepEqual(drain(ring), single)
      assert.equal(stream.sender.sentCount, 2 * count)
      assert.equal(stream.sender.refused.size, 0)
      ring.close()
    })
  }

  test('the sender follows a next hop to another MAC, or to another device', () => {
    using stream = open()
    stream.say(WIRE, true)
    stream.sender.refresh()
    ip('neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0c dev va')
    stream.sender.refresh()
    stream.sender.refresh()
    ip('neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0b dev va')
    ip('addr add 10.8.0.1/24 dev vb')
    ip('neigh add 10.8.0.2 lladdr 02:00:00:00:00:0d dev vb')
    ip('route add 10.9.0.2/32 via 10.8.0.2')
    stream.sender.refresh()
    assert.match(neighbors(), /10\.9\.0\.2 .* PERMANENT/, 'the entry of the administrator has changed')
    ip('route del 10.9.0.2/32')
    ip('addr del 10.8.0.1/24 dev vb')
    assert.deepEqual(stream.ways, [
      '10.9.0.2 device va, MAC 02:00:00:00:00:0b',
      '10.9.0.2 device va, MAC 02:00:00:00:00:0c',
      '10.9.0.2 device vb, MAC 02:00:00:00:00:0d'
    ])
  })

  test('while the next hop is unknown, packets go through a raw socket, each with its checksum', () => {
    const ring = new PacketRing({ device: 'lo', link: 'cooked', filter: PORT_80, ringMegabytes: 1 })
    using stream = open()
    stream.say(0x0a090001, false) // this host's own address, through lo
    const seen = drain(ring)
    assert.equal(seen.length, SEGMENTS)
    assert.equal(stream.sender.sentCount, SEGMENTS)
    stream.say(NO_NEIGHBOR, false)
    assert.equal(stream.sender.sentCount, 2 * SEGMENTS)
    ip('neigh replace 10.9.0.3 lladdr 02:00:00:00:00:0e dev va')
    assert.equal(stream.sender.canSegment(NO_NEIGHBOR), false)
    stream.sender.refresh()
    assert.equal(stream.sender.canSegment(NO_NEIGHBOR), true)
    ip('neigh del 10.9.0.3 dev va')
    stream.sender.refresh()
    assert.equal(stream.sender.canSegment(NO_NEIGHBOR), false)
    assert.match(stream.ways.join(), /10\.9\.0\.3 device va.*10\.9\.0\.3 raw socket/)
    ring.close()
  })

  test('without a raw socket, packets without a next hop are refused with EHOSTUNREACH', () => {
    using stream = open(true)
    stream.say(NOWHERE, false)
    stream.say(NO_NEIGHBOR, false)
    const refused = [...stream.sender.refused].map(([errno, count]) => [errnoName(errno), count])
    assert.deepEqual(refused, [['EHOSTUNREACH', 2 * SEGMENTS]])
    assert.equal(stream.sender.sentCount, 0)
    stream.sender.refresh()
    assert.match(stream.ways[0] ?? '', /^8\.8\.8\.8 none: /)
  })

  test('given MACs are used without neighbor discovery, on the device of the route', () => {
    using stream = open(true, {
      device: undefined,
      macs: [{ targetAddress: STRANGER, from: MAC_66, to: MAC_77 }]
    })
    const headers = headersOn('vb', () => {
      stream.say(STRANGER, false)
      stream.sender.refresh()
    })
    assert.deepEqual(headers, ['0200000000770200000000660800'])
    assert.equal(stream.sender.sentCount, SEGMENTS)
    assert.doesNotMatch(neighbors(), /10\.9\.0\.4/)
    assert.deepEqual(stream.ways, ['10.9.0.4 device va, MAC 02:00:00:00:00:77'])
  })

  test('a given device overrides the route, with given MACs or with those of its neighbors', () => {
    ip('link add vc type veth peer name vd')
    ip('link set vc address 02:00:00:00:00:0c mtu 1400 up')
    ip('link set vd up')
    const own = { targetAddress: NOWHERE, from: undefined, to: MAC_77 }
    using stream = open(true, { device: 'vc', macs: [own] })
    // There is no route to the target, and the device has no address.
    assert.deepEqual(
      headersOn('vd', () => stream.say(NOWHERE, false)),
      ['02000000007702000000000c0800']
    )
    assert.equal(stream.sender.mtu(NOWHERE), 1400)
    ip('neigh add 10.9.0.2 lladdr 02:00:00:00:00:0d dev vc')
    assert.deepEqual(
      headersOn('vd', () => stream.say(WIRE, false)),
      ['02000000000d02000000000c0800']
    )
    assert.equal(stream.sender.mtu(WIRE), 1400)
    // Through a gateway, if a route of the device has one.
    ip('addr add 10.7.0.1/24 dev vc')
    ip('route add 10.9.0.3/32 via 10.7.0.2 dev vc metric 500')
    ip('route add 10.9.0.3/32 dev va metric 5')
    ip('neigh add 10.7.0.2 lladdr 02:00:00:00:00:0e dev vc')
    assert.deepEqual(
      headersOn('vd', () => stream.say(NO_NEIGHBOR, false)),
      ['02000000000e02000000000c0800']
    )
    assert.equal(stream.sender.sentCount, 3 * SEGMENTS)
    // A device that disappears refuses packets, and is found again when it returns under its name.
    ip('link del vc')
    stream.sender.refresh()
    stream.say(NOWHERE, false)
    assert.equal(stream.sender.sentCount, 3 * SEGMENTS)
    ip('link add vc type veth peer name vd')
    ip('link set vc address 02:00:00:00:00:0f up')
    ip('link set vd up')
    stream.sender.refresh()
    assert.deepEqual(
      headersOn('vd', () => stream.say(NOWHERE, false)),
      ['02000000007702000000000f0800']
    )
    ip('link del vc')
  })
})
