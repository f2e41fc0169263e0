/** The sender and streams on a real kernel. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { LinuxNetwork, TcpListener } from '../../../src/io/linux/sockets/streams.ts'
import { close, Errno, errnoName, eventfd } from '../../../src/io/linux/system/libc.ts'
import { Poller } from '../../../src/io/linux/system/poller.ts'
import { inNamespace } from '../support/namespace.ts'
import { drain, ids, LOOPBACK, NOWHERE, WIRE, withRing } from '../support/packets.ts'

inNamespace(import.meta.url, () => {
  senderTests()
  streamTests()
})

function senderTests(): void {
  test('frames that the kernel refuses are counted by errno, and all others are sent', () => {
    withRing({}, (ring, source) => {
      const targets: [number, number][] = [
        [NOWHERE, 0],
        [WIRE, 0],
        [WIRE, 2000],
        [WIRE, 0],
        [NOWHERE, 0],
        [WIRE, 1460]
      ]
      for (let round = 0; round < 40; round++) {
        targets.forEach(([target, length], index) => {
          source.add(target, 80, length, index + 1)
        })
      }
      source.flush()
      assert.equal(source.outbox.count, 0)
      assert.equal(source.sender.sentCount, 120)
      const refused = Object.fromEntries([...source.sender.refused].map(([errno, count]) => [errnoName(errno), count]))
      assert.deepEqual(refused, { ENETUNREACH: 80, EMSGSIZE: 40 })
      const seen = ids(drain(ring))
      assert.equal(seen.length, 120)
      assert.deepEqual(seen.slice(0, 3), [2, 4, 6])
      assert.equal(source.sender.refused.get(Errno.EAGAIN), undefined)
    })
  })
}

function streamTests(): void {
  test('a connect that fails at once wakes the poller, and read reports it', () => {
    const poller = new Poller()
    const stream = new LinuxNetwork(poller).connect(NOWHERE, 80)
    poller.wait(1000)
    assert.equal(stream.read(), -1)
    assert.match(stream.failure, /ENETUNREACH/)
    const before = performance.now()
    poller.wait(20)
    assert.ok(performance.now() - before >= 20)
    stream.close()
    poller.close()
  })

  test('a connected stream knows its minimum round-trip time', () => {
    const poller = new Poller()
    const listener = new TcpListener(poller, { address: LOOPBACK, port: 0 })
    const stream = new LinuxNetwork(poller).connect(LOOPBACK, listener.port)
    assert.equal(stream.leastRoundTripMs?.(), 0)
    poller.wait(1000)
    const other = listener.accept()
    while (!stream.open) assert.equal(stream.read(), 0)
    const ms = stream.leastRoundTripMs?.() ?? 0
    assert.ok(ms > 0 && ms < 1000, `${ms}`)
    stream.close()
    assert.equal(stream.leastRoundTripMs?.(), 0)
    other?.close()
    listener.close()
    poller.close()
  })

  test('without a free descriptor, a listener refuses connections instead of spinning', () => {
    const poller = new Poller()
    const listener = new TcpListener(poller, { address: LOOPBACK, port: 0 })
    const network = new LinuxNetwork(poller, 64)
    const client = network.connect(LOOPBACK, listener.port)
    const fillers: number[] = []
    execFileSync('prlimit', ['--pid', `${process.pid}`, '--nofile=256:4096'])
    for (let fd = 0; fd >= 0; ) {
      fd = eventfd(0, 0)
      if (fd >= 0) fillers.push(fd)
    }
    assert.match(network.connect(LOOPBACK, listener.port).failure, /EMFILE/)
    poller.wait(20)
    assert.equal(listener.accept(), undefined)
    assert.equal(listener.refusedCount, 1)
    for (const fd of fillers) close(fd)
    for (let tries = 0; tries < 50 && client.read() !== -1; tries++) poller.wait(20)
    assert.equal(client.read(), -1)
    client.close()
    listener.close()
    poller.close()
  })
}
