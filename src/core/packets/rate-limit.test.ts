import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drillTcp } from '../../sim/drill/drill.ts'
import { SimulatedWorker } from '../../sim/drill/simulated-worker.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { ACK, PSH, Segment, SYN } from '../../wire/segment.ts'
import { Counter } from '../books/counters.ts'

test('the rate limit delays payload but not ACKs, and loses nothing', () => {
  // 100,000 bytes a second: 3000 at once, then a packet of 1500 each 15 ms.
  drillTcp(
    `
    +0     open
    +0     source  P.  100:7400(7300) ack 301
    +0     sent    .   100:1560(1460)
    +0     sent    .   1560:3020(1460)
    +2     sent    .   3020:4480(1460)
    +15    sent    .   4480:5940(1460)
    +1     target  P.  501:541(40) ack 3020 win 65535
    +14    sent    P.  5940:7400(1460)
    +9     target  .   541:541(0) ack 7400 win 65535
    +0     counter deliveredBytes 7300
    +0     counter retransmissions 0
  `,
    { bytesPerSecondMax: 100_000 }
  )
})

const PORT = 80
const SOURCE = 0x0a000001
const TARGET = 0x0a000002
const CLIENT = 0x0b000001

test('sessions share the rate evenly, and no second exceeds it', () => {
  const rate = 200_000
  const map = { sourceAddress: 0, sourcePort: PORT, targetAddress: TARGET, targetPort: PORT }
  const worker = new SimulatedWorker({ maps: [map], bytesPerSecondMax: rate, isWaiting: false, framesMax: 1024 })
  const ports = [1001, 1002, 1003, 1004]
  const say = (port: number, flags: number, seq: number, length: number): void =>
    worker.source(
      writePacket({
        fromAddress: CLIENT,
        fromPort: port,
        toAddress: SOURCE,
        toPort: PORT,
        flags,
        seq,
        ack: 300,
        payload: new Uint8Array(length)
      })
    )
  const each = 100_000
  for (const port of ports) {
    say(port, SYN, 99, 0)
    say(port, ACK, 100, 0)
    // The first connection has all its data before the others start.
    for (let at = 0; at < each; at += 10_000) say(port, ACK | PSH, 100 + at, 10_000)
  }
  const sentBytes = new Map<number, number>()
  let total = 0
  const segment = new Segment()
  const begun = worker.now
  for (let turn = 0; turn < 4000 && worker.counters.get(Counter.deliveredBytes) < ports.length * each; turn++) {
    for (const packet of worker.sent.splice(0)) {
      packet.parse(segment)
      total += packet.bytes.length
      const { fromPort, flags, seq, payloadLength } = segment
      sentBytes.set(fromPort, (sentBytes.get(fromPort) ?? 0) + payloadLength)
      const isSyn = (flags & SYN) !== 0
      if (!isSyn && payloadLength === 0) continue
      worker.target(
        writePacket({
          fromAddress: TARGET,
          fromPort: PORT,
          toAddress: CLIENT,
          toPort: fromPort,
          flags: isSyn ? SYN | ACK : ACK,
          seq: isSyn ? 500 : 501,
          ack: isSyn ? seq + 1 : seq + payloadLength,
          window: 0xffff,
          payload: new Uint8Array()
        })
      )
    }
    const elapsed = worker.now - begun
    assert.ok(total <= 3000 + (rate * elapsed) / 1000 + 4 * 1500, `${total} bytes in ${elapsed} ms`)
    if (elapsed > 500) {
      const shares = ports.map((port) => sentBytes.get(port) ?? 0)
      assert.ok(Math.max(...shares) - Math.min(...shares) <= 2 * 16_384, `bytes of each: ${shares}`)
    }
    worker.step(Math.min(worker.deadline, worker.now + 1))
  }
  assert.equal(worker.counters.get(Counter.deliveredBytes), ports.length * each)
  assert.equal(worker.counters.get(Counter.retransmissions), 0)
  assert.ok(worker.now - begun >= ((total - 3000 - 4 * 1500) / rate) * 1000)
  worker.close()
})
