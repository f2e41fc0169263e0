/** Capture through a raw socket on a real kernel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyFilter } from '../../../src/io/linux/capture/filter.ts'
import { IpCapture, type IpCaptureOptions } from '../../../src/io/linux/capture/ip-capture.ts'
import { cutTo } from '../../../src/io/linux/capture/link-filter.ts'
import { POLLIN, Poller } from '../../../src/io/linux/system/poller.ts'
import { ChecksumState } from '../../../src/ports.ts'
import { inNamespace } from '../support/namespace.ts'
import { drain, ids, LOOPBACK, PORT_80, Source, WIRE } from '../support/packets.ts'

function withCapture(options: Partial<IpCaptureOptions>, step: (capture: IpCapture, source: Source) => void): void {
  const capture = new IpCapture({ protocol: 6, filter: PORT_80, bufferMegabytes: 4, ...options })
  using source = new Source()
  try {
    step(capture, source)
  } finally {
    capture.close()
  }
}

inNamespace(import.meta.url, () => {
  test('packets to this host that match the filter come complete and in order', () => {
    withCapture({}, (capture, source) => {
      for (let round = 0; round < 20; round++) {
        for (let id = 1; id <= 100; id++) source.add(LOOPBACK, id % 10 === 0 ? 81 : 80, id * 20, id)
        source.add(WIRE, 80, 10, 999) // to another host
        source.flush()
        const seen = drain(capture)
        assert.equal(seen.length, 90)
        assert.deepEqual(
          ids(seen),
          Array.from({ length: 100 }, (_, index) => index + 1).filter((id) => id % 10 !== 0)
        )
        for (const one of seen) assert.deepEqual([one.captured, one.wire, one.last], [one.total, one.total, 0xab])
      }
      assert.equal(capture.dropped(), 0)
    })
  })

  test('the largest packet comes complete, and fragments as one packet; the checksum state is unknown', () => {
    withCapture({}, (capture, source) => {
      source.add(LOOPBACK, 80, 65_495, 1)
      source.add(LOOPBACK, 80, 1004, 2, 0x2000)
      source.add(LOOPBACK, 80, 404, 2, 1024 / 8)
      source.flush()
      const states: ChecksumState[] = []
      const lengths: number[] = []
      capture.receive((_bytes, _at, captured, _wire, checksum) => {
        lengths.push(captured)
        states.push(checksum)
      }, 10)
      assert.deepEqual(lengths, [65_535, 20 + 1024 + 424])
      assert.deepEqual(states, [ChecksumState.Filed, ChecksumState.Filed])
    })
  })

  test('the poller wakes for a packet that the filter truncates', () => {
    withCapture({ filter: cutTo(copyFilter([{ address: 0, port: 80 }]), 134) }, (capture, source) => {
      const poller = new Poller()
      poller.add(capture.fd, POLLIN)
      source.add(LOOPBACK, 80, 1000, 1)
      source.flush()
      poller.wait(1000)
      assert.ok(poller.wasReady(capture.fd))
      const [one] = drain(capture)
      assert.deepEqual([one?.captured, one?.total], [134, 1040])
      poller.close()
    })
  })

  test('every packet beyond the socket buffer is counted', () => {
    withCapture({ bufferMegabytes: 1 }, (capture, source) => {
      for (let round = 0; round < 20; round++) {
        for (let id = 1; id <= 10; id++) source.add(LOOPBACK, 80, 60_000, id)
        source.flush()
      }
      assert.equal(source.sender.sentCount, 200)
      const seen = drain(capture)
      assert.ok(seen.length > 5 && seen.length < 200, `${seen.length}`)
      assert.equal(seen.length + capture.dropped(), 200)
      assert.equal(capture.dropped(), 200 - seen.length)
    })
  })
})
