/** The capture ring on a real kernel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Outbox } from '../../../src/core/packets/outbox.ts'
import { workerOf } from '../../../src/core/selection/worker-share.ts'
import { answerSteering, copyFilter, steering } from '../../../src/io/linux/capture/filter.ts'
import { compileFilter } from '../../../src/io/linux/capture/libpcap.ts'
import { LinuxNetwork, TcpListener } from '../../../src/io/linux/sockets/streams.ts'
import { monotonic } from '../../../src/io/linux/system/clock.ts'
import { POLLIN, Poller } from '../../../src/io/linux/system/poller.ts'
import { ChecksumState, type Stream } from '../../../src/ports.ts'
import { put16, u8 } from '../../../src/wire/bytes.ts'
import type { FilterProgram } from '../../../src/wire/capture-file/bpf.ts'
import { inNamespace, ip } from '../support/namespace.ts'
import { drain, ids, LOOPBACK, PORT_80, Source, WIRE, withRing } from '../support/packets.ts'
import { FrameSender } from '../support/raw-packets.ts'

inNamespace(import.meta.url, () => {
  ringTests()
  filterTests()
  offloadTests()
})

function ringTests(): void {
  for (const link of ['cooked', 'ethernet'] as const) {
    for (const device of ['vb', undefined]) {
      test(`the ${link} ring on ${device ?? 'all devices'} sees each received packet once, in order`, () => {
        const filter: FilterProgram = link === 'cooked' ? PORT_80 : [{ code: 6, jt: 0, jf: 0, k: 0x40000 }]
        withRing({ link, device, filter }, (ring, source) => {
          for (let round = 0; round < 30; round++) {
            for (let id = 1; id <= 100; id++) source.add(WIRE, 80, id * 10, id)
            source.flush()
            const seen = drain(ring)
            assert.deepEqual(
              ids(seen),
              Array.from({ length: 100 }, (_, index) => index + 1)
            )
            for (const one of seen) {
              assert.equal(one.captured, 40 + one.id * 10)
              assert.deepEqual([one.wire, one.total, one.last], [one.captured, one.captured, 0xab])
            }
          }
          assert.equal(ring.dropped(), 0)
        })
      })
    }
  }

  test('capture times and the current time are on the same clock', () => {
    withRing({}, (ring, source) => {
      const before = monotonic.now()
      source.add(WIRE, 80, 10, 1)
      source.flush()
      const seen: number[] = []
      // Reading it takes two clocks: the median of three was hardly delayed between them.
      const [, epoch = Number.NaN] = [0, 1, 2].map(() => monotonic.epoch?.() ?? Number.NaN).sort((a, b) => a - b)
      ring.receive(() => seen.push(ring.capturedAtMs - epoch), 10)
      const after = monotonic.now()
      const [at = Number.NaN] = seen
      assert.ok(before - 1 < at && at < after + 1, `${before} ${at} ${after}`)
    })
  })

  test('the filter accepts only its port, and packets from before the bind are not in the ring', () => {
    using early = new Source()
    early.add(WIRE, 80, 10, 99)
    early.flush()
    withRing({}, (ring, source) => {
      source.add(WIRE, 81, 10, 1)
      source.add(WIRE, 80, 10, 2)
      source.add(WIRE, 8080, 10, 3)
      source.flush()
      assert.deepEqual(ids(drain(ring)), [2])
    })
  })

  for (const link of ['cooked', 'ethernet'] as const) {
    test(`a packet larger than a slot comes complete and in order (${link})`, () => {
      const filter = [{ code: 6, jt: 0, jf: 0, k: 0x40000 }]
      withRing({ device: 'lo', link, filter }, (ring, source) => {
        source.add(LOOPBACK, 80, 100, 1)
        source.add(LOOPBACK, 80, 60000, 2)
        source.add(LOOPBACK, 80, 200, 3)
        source.add(LOOPBACK, 80, 65495, 4)
        source.flush()
        const seen = drain(ring)
        assert.deepEqual(ids(seen.filter(({ total }) => total > 40)), [1, 2, 3, 4])
        assert.deepEqual(
          seen.filter(({ total }) => total > 40).map(({ captured }) => captured),
          [140, 60040, 240, 65535]
        )
        assert.ok(seen.every(({ wire, captured, total }) => wire === captured && wire === total))
        assert.equal(ring.dropped(), 0)
      })
    })
  }

  test('with a short snap length, a packet larger than a slot is truncated, which does not count as loss', () => {
    withRing({ device: 'lo', snapLength: 100, slotLength: 256 }, (ring, source) => {
      source.add(LOOPBACK, 80, 60000, 2)
      source.flush()
      const [one] = drain(ring)
      assert.ok(one !== undefined && one.captured >= 100 && one.captured < 256)
      assert.equal(one.wire, 60040)
      assert.equal(ring.dropped(), 0)
    })
  })

  test('packets without a slot, or without room for what exceeds their slot, are counted as dropped', () => {
    withRing({}, (ring, source) => {
      const sentCount = 900
      for (let id = 1; id <= sentCount; id++) {
        source.add(WIRE, 80, 0, id)
        if (id % 100 === 0) source.flush()
      }
      const seen = drain(ring)
      assert.equal(seen.length, 512)
      assert.equal(ring.dropped(), sentCount - 512)
      assert.equal(ring.dropped(), sentCount - 512)
    })
    withRing({ device: 'lo' }, (ring, source) => {
      for (let id = 1; id <= 200; id++) source.add(LOOPBACK, 80, 60000, id)
      source.flush()
      const seen = drain(ring)
      assert.ok(seen.length > 0 && seen.length < 200)
      assert.equal(seen.length + ring.dropped(), source.sender.sentCount)
    })
  })

  test('a ring is filling when half of its slots wait, and sooner when packets wait on the socket itself', () => {
    withRing({}, (ring, source) => {
      const sendUpTo = (count: number): void => {
        while (source.sender.sentCount < count) {
          for (let index = 0; index < 64; index++) source.add(WIRE, 80, 0, 1)
          source.flush()
        }
      }
      sendUpTo(256)
      assert.equal(ring.isFilling(), false)
      sendUpTo(320)
      assert.equal(ring.isFilling(), true)
      assert.equal(drain(ring).length, 320)
      assert.equal(ring.isFilling(), false)
    })
    withRing({ device: 'lo' }, (ring, source) => {
      for (let id = 1; id <= 20; id++) source.add(LOOPBACK, 80, 20_000, id)
      source.flush()
      assert.equal(ring.isFilling(), false, 'no long packet has been read yet')
      ring.receive(() => {}, 1)
      assert.equal(ring.isFilling(), true)
      assert.equal(drain(ring).length, 19)
    })
  })

  for (const defragment of [true, false]) {
    test(`fragments arrive ${defragment ? 'as one packet' : 'one by one'} with defragment ${defragment}`, () => {
      const filter = [{ code: 6, jt: 0, jf: 0, k: 0x40000 }]
      withRing({ filter, defragment }, (ring, source) => {
        source.add(WIRE, 80, 1004, 7, 0x2000)
        source.add(WIRE, 80, 404, 7, 1024 / 8)
        source.flush()
        assert.deepEqual(
          drain(ring).map(({ captured }) => captured),
          defragment ? [20 + 1024 + 424] : [1044, 444]
        )
      })
    })
  }

  test('rings of a fanout group share the flows: each packet is seen by one of them', () => {
    withRing({}, (ring, source) => {
      withRing({ fanoutGroup: ring.fanoutGroup }, (other) => {
        assert.equal(other.fanoutGroup, ring.fanoutGroup)
        for (let id = 1; id <= 100; id++) {
          source.add(WIRE, 80, 0, id)
          put16(source.mapping.bytes, Outbox.headerStride * (id - 1) + 20, 1000 + id)
        }
        source.flush()
        const mine = drain(ring)
        const others = drain(other)
        assert.equal(mine.length + others.length, 100)
        assert.ok(mine.length > 20 && others.length > 20, `${mine.length} and ${others.length}`)
      })
    })
  })

  for (const [link, what, portAt] of [
    ['cooked', 'requests', 20],
    ['ethernet', 'requests', 20],
    ['cooked', 'answers', 22],
    ['ethernet', 'answers', 22]
  ] as const) {
    test(`steered rings take the client ports of their worker, fragments included, once all have begun (${what}, ${link})`, () => {
      const filter = compileFilter('tcp', { link, snapLength: 0x40000 })
      const steered = what === 'requests' ? steering(3) : answerSteering(3, 4)
      const options = { link, filter, steering: steered, isHeld: true }
      const early = (source: Source, id: number): void => {
        source.add(WIRE, 80, 0, id)
        source.flush()
      }
      withRing(options, (first, source) => {
        early(source, 1)
        withRing({ ...options, fanoutGroup: first.fanoutGroup }, (second) => {
          early(source, 2)
          withRing({ ...options, fanoutGroup: first.fanoutGroup }, (third) => {
            early(source, 3)
            const rings = [first, second, third]
            for (const ring of rings) ring.begin()
            for (let id = 1000; id < 1300; id++) {
              source.add(WIRE, 80, id % 2 === 0 ? 0 : 1004, id, id % 2 === 0 ? 0 : 0x2000)
              put16(source.mapping.bytes, source.outbox.nextHeaderAt() - Outbox.headerStride + portAt, id)
              if (id % 2 === 1) source.add(WIRE, 80, 404, id, 1024 / 8)
              if (id % 50 === 49) source.flush()
            }
            const seen = rings.map((ring) => ids(drain(ring)))
            const all = Array.from({ length: 300 }, (_, index) => 1000 + index)
            assert.deepEqual(
              seen,
              rings.map((_, worker) => all.filter((port) => workerOf(port, 3) === worker))
            )
          })
        })
      })
    })
  }

  test('a poller wakes for a packet, and keeps working when the device goes down and up', () => {
    withRing({}, (ring, source) => {
      const poller = new Poller()
      poller.add(ring.fd, POLLIN)
      source.add(WIRE, 80, 0, 1)
      source.flush()
      poller.wait(1000)
      assert.ok(poller.wasReady(ring.fd))
      assert.deepEqual(ids(drain(ring)), [1])
      ip('link set vb down')
      poller.wait(1000)
      assert.ok(poller.wasReady(ring.fd))
      assert.deepEqual(drain(ring), [])
      assert.match(ring.failure, /ENETDOWN/)
      poller.wait(20)
      assert.ok(!poller.wasReady(ring.fd))
      ip('link set vb up')
      ip('neigh replace 10.9.0.2 lladdr 02:00:00:00:00:0b dev va')
      for (let tries = 0; tries < 100 && ring.failure !== ''; tries++) {
        source.add(WIRE, 80, 0, 2)
        source.flush()
        poller.wait(20)
        drain(ring)
      }
      assert.equal(ring.failure, '')
      poller.close()
    })
  })

  test('a missing device and an empty filter are operator errors', () => {
    assert.throws(() => withRing({ device: 'nope0' }, () => {}), { code: 'no-device', hint: /va, |vb, / })
    assert.throws(() => withRing({ filter: [] }, () => {}), { code: 'bad-filter' })
  })
}

function filterTests(): void {
  for (const [expression, expected] of [
    ['tcp dst port 80', [1]],
    ['ip src 10.9.0.1 and tcp[2:2] = 81', [2]]
  ] as const) {
    for (const link of ['cooked', 'ethernet'] as const) {
      test(`a filter compiled by libpcap works on the ${link} ring: ${expression}`, () => {
        const filter = compileFilter(expression, { link, snapLength: 0x40000 })
        withRing({ link, filter }, (ring, source) => {
          source.add(WIRE, 80, 0, 1)
          source.add(WIRE, 81, 0, 2)
          source.flush()
          assert.deepEqual(ids(drain(ring)), expected)
        })
      })
    }
  }
}

/** Sends a frame through va: a TCP packet to port 80 inside a VLAN. */
function sendTagged(vlan: number, id: number): void {
  const frame = new Uint8Array(58)
  frame.set([2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a, 0x81, 0, 0, vlan, 8, 0, 0x45, 0, 0, 40, 0, id])
  frame.set([0, 0, 64, 6, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2, 0, 99, 0, 80], 24)
  using sender = new FrameSender('va')
  assert.ok(sender.send(frame))
}

/** What the kernel delivers of a local TCP connection, before segmentation and checksums. */
function offloadTests(): void {
  test('packets inside a VLAN are seen without their tag', () => {
    for (const link of ['cooked', 'ethernet'] as const) {
      const filter = compileFilter('tcp dst port 80', { link, snapLength: 0x40000 })
      withRing({ link, filter }, (ring) => {
        sendTagged(5, 42)
        assert.deepEqual(ids(drain(ring)), [42])
      })
    }
  })

  test('super-packets of the kernel come complete, with a partial checksum', () => {
    const poller = new Poller()
    const listener = new TcpListener(poller, { address: LOOPBACK, port: 0 })
    const filter = copyFilter([{ address: LOOPBACK, port: listener.port }])
    withRing({ device: 'lo', filter, ringMegabytes: 4 }, (ring) => {
      const client = new LinuxNetwork(poller).connect(LOOPBACK, listener.port)
      const bytes = new Uint8Array(200_000).fill(7)
      let server: Stream | undefined
      let written = 0
      let read = 0
      for (const end = performance.now() + 5000; read < bytes.length; poller.wait(100)) {
        assert.ok(performance.now() < end)
        client.read()
        server ??= listener.accept()
        written += client.write(bytes, 0, bytes.length - written)
        read += Math.max(0, server?.read() ?? 0)
        if (server !== undefined) server.inputLength = 0
      }
      let payload = 0
      let largest = 0
      ring.receive((packet, at, captured, wire, checksum) => {
        assert.equal(captured, wire)
        assert.equal(checksum, ChecksumState.Partial)
        const headers = 20 + (u8(packet, at + 32) >>> 4) * 4
        payload += captured - headers
        largest = Math.max(largest, captured)
        if (captured > headers) assert.equal(u8(packet, at + captured - 1), 7)
      }, 1000)
      assert.equal(payload, bytes.length)
      assert.ok(largest > 4000, `${largest}`)
      assert.equal(ring.dropped(), 0)
      server?.close()
      client.close()
    })
    listener.close()
    poller.close()
  })
}
