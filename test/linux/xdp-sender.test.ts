/** Sending through AF_XDP on a real kernel: every octet, in order, and devices that refuse. */
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { deviceIndex } from '../../src/io/linux/netlink/devices.ts'
import { LinkSender } from '../../src/io/linux/send/link-sender.ts'
import { RawIpSender } from '../../src/io/linux/send/raw-ip-sender.ts'
import { XdpSender } from '../../src/io/linux/send/xdp-sender.ts'
import { XdpSocket } from '../../src/io/linux/send/xdp-socket.ts'
import { CopiedStream, capture, drain, SEGMENT, SEGMENTS } from './support/copied-stream.ts'
import { inNamespace, ip, layWire } from './support/namespace.ts'
import { WIRE } from './support/packets.ts'

const ROUNDS = 400

function open(): CopiedStream {
  return new CopiedStream((address, say) => new XdpSender(new LinkSender(address, new RawIpSender(address), say), say))
}

/** Their sequence numbers, one segment after the other. */
const SEQUENCES = Array.from({ length: SEGMENTS }, (_, index) => 1000 + index * SEGMENT)

inNamespace(import.meta.url, () => {
  // The kernel frees the queue of a device some time after its socket was closed: each test has a device of its own.
  beforeEach(() => {
    ip('link del va')
    layWire()
  })

  test('short packets go through AF_XDP, whole and in order, more of them than the memory has chunks', () => {
    const ring = capture()
    using stream = open()
    stream.isSegmenting = false
    for (let round = 0; round < ROUNDS; round++) {
      stream.say(WIRE, false)
      const seen = drain(ring)
      assert.deepEqual(
        seen.map(({ sequence }) => sequence),
        SEQUENCES
      )
    }
    assert.deepEqual(stream.ways, ['va AF_XDP'])
    assert.equal(stream.sender.sentCount, ROUNDS * SEGMENTS)
    assert.equal(stream.sender.refused.size, 0)
    ring.close()
  })

  test('a super-packet goes through the link layer, uncut', () => {
    const ring = capture()
    using stream = open()
    stream.say(WIRE, true)
    const [seen] = drain(ring)
    assert.equal(seen?.length, 10 * SEGMENT)
    assert.equal(stream.sender.sentCount, 10)
    ring.close()
  })

  test('where another has the queue of the device, all goes through the link layer, and that is said', () => {
    const ring = capture()
    const other = new XdpSocket(deviceIndex('va'))
    using stream = open()
    stream.isSegmenting = false
    stream.say(WIRE, false)
    assert.equal(drain(ring).length, SEGMENTS)
    assert.match(stream.ways[0] ?? '', /^va link layer: AF_XDP was refused: .*EBUSY/)
    other.close()
    ring.close()
  })

  test('a socket that fails is given up: what it held is counted as refused, what follows goes through the link layer', () => {
    const ring = capture()
    using stream = open()
    stream.isSegmenting = false
    stream.say(WIRE, false)
    ip('link set va down')
    stream.say(WIRE, false)
    const refused = [...stream.sender.refused.values()].reduce((sum, count) => sum + count, 0)
    assert.equal(refused, SEGMENTS)
    assert.equal(stream.sender.sentCount, SEGMENTS)
    ip('link set va up')
    ip('neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0b dev va')
    stream.sender.refresh()
    stream.say(WIRE, false)
    assert.equal(drain(ring).length, 2 * SEGMENTS)
    assert.match(stream.ways.join(), /va AF_XDP,va link layer: AF_XDP failed/)
    ring.close()
  })
})
