import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CaptureReader } from './capture-reader.ts'
import { CapturedPacket, Step } from './captured-packet.ts'
import { PcapngWriter } from './pcapng-writer.ts'

const packets = fc.array(fc.tuple(fc.uint8Array({ maxLength: 90 }), fc.nat(9), fc.nat(2 ** 31)), { maxLength: 20 })

test('written packets are read back unchanged', () => {
  fc.assert(
    fc.property(packets, fc.nat(2 ** 31), (written, dropped) => {
      const writer = new PcapngWriter(100_000)
      writer.begin(101)
      for (const [bytes, more, second] of written) {
        writer.packet(bytes, 0, bytes.length, bytes.length + more, second * 1000 + 0.25)
      }
      writer.statistics(written.length, dropped, 0)
      const reader = new CaptureReader()
      reader.append(writer.bytes.subarray(0, writer.length))
      reader.finish()
      const packet = new CapturedPacket()
      for (const [bytes, more, second] of written) {
        assert.equal(reader.next(packet), Step.Packet)
        assert.deepEqual(packet.bytes.slice(packet.at, packet.at + packet.capturedLength), bytes)
        assert.deepEqual(
          [packet.wireLength, packet.timeMs, packet.linkType],
          [bytes.length + more, second * 1000 + 0.25, 101]
        )
      }
      assert.equal(reader.next(packet), Step.End)
      assert.equal(reader.lostCount, dropped)
    })
  )
})

test('the writer tells in advance whether a packet fits', () => {
  const writer = new PcapngWriter(400)
  writer.begin(101)
  while (writer.fits(50)) writer.packet(new Uint8Array(50), 0, 50, 50, 0)
  writer.statistics(1, 0, 0)
  assert.ok(writer.length <= 400)
})
