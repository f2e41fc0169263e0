/** Sending through AF_XDP on a real kernel: every byte, in order, and devices that refuse. */
import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { deviceIndex } from '../../../src/io/linux/netlink/devices.ts'
import { LinkSender } from '../../../src/io/linux/send/link-sender.ts'
import { RawIpSender } from '../../../src/io/linux/send/raw-ip-sender.ts'
import { XdpSender } from '../../../src/io/linux/send/xdp-sender.ts'
import { XdpSocket } from '../../../src/io/linux/send/xdp-socket.ts'
import { CopiedStream, capture, drain, SEGMENT, SEGMENTS, SEQUENCES } from '../support/copied-stream.ts'
import { addWire, inNamespace, ip } from '../support/namespace.ts'
import { WIRE } from '../support/packets.ts'

const ROUNDS = 400

function open(): CopiedStream {
  return new CopiedStream((address, say) => new XdpSender(new LinkSender(address, new RawIpSender(address), say), say))
}

inNamespace(import.meta.url, () => {
  // The kernel frees a device's queue some time after the socket is closed, so each test has its own device.
  beforeEach(() => {
    ip('link del va')
    addWire()
  })

  test('short packets go through AF_XDP, complete and in order, more of them than there are chunks', () => {
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

  test('a super-packet goes through the link layer as it is', () => {
    const ring = capture()
    using stream = open()
    stream.say(WIRE, true)
    const [seen] = drain(ring)
    assert.equal(seen?.length, 10 * SEGMENT)
    assert.equal(stream.sender.sentCount, 10)
    ring.close()
  })

  test('if another socket has the queue of the device, packets go through the link layer, with a message', () => {
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

  test('after a socket failure, pending packets count as refused and later ones go through the link layer', () => {
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
