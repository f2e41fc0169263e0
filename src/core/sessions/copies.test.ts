/** Connections that are copied several times (`-n`). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { drill } from '../../sim/drill/drill.ts'
import { SimulatedWorker } from '../../sim/drill/simulated-worker.ts'
import { writePacket } from '../../sim/network/packet.ts'
import { ACK, FIN, PSH, Segment, SYN } from '../../wire/segment.ts'
import { Counter } from '../books/counters.ts'
import { WHOLE } from '../selection/sampling.ts'

const TWICE = { selection: { copies: 2 * WHOLE } }
/** Address and port of the second copy of the client 10.0.0.1:40001. */
const SECOND = '10.0.0.1:9281'

const BOTH_OPEN = `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0) from 10.0.0.1:40001
    +0     sent    S   99:99(0) from ${SECOND}
    +9     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 from 10.0.0.1:40001
    +1     target  S.  900:900(0) ack 100 win 65535 <mss 1460> to ${SECOND}
    +0     sent    .   100:100(0) ack 901 from ${SECOND}
`
const REQUEST = `
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501 from 10.0.0.1:40001
    +0     sent    P.  100:110(10) ack 901 from ${SECOND}
    +9     target  .   501:501(0) ack 110 win 65535
    +0     target  .   901:901(0) ack 110 win 65535 to ${SECOND}
`

test('each copy is a session with its own port and its own books', () => {
  drill(
    `${BOTH_OPEN}${REQUEST}
    +0     counter capturedPayloadBytes 20
    +0     counter deliveredBytes 20
    +0     counter copiesStarted 1
    +0     counter sessionsStarted 2
    +0     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501 from 10.0.0.1:40001
    +0     sent    F.  110:110(0) ack 901 from ${SECOND}
    +9     target  F.  501:501(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 502 from 10.0.0.1:40001
    +0     source  P.  100:110(10) ack 301                     // late: for the copy that is still open
    +0     counter duplicateBytes 10
    +9     target  F.  901:901(0) ack 111 win 65535 to ${SECOND}
    +0     sent    .   111:111(0) ack 902 from ${SECOND}
    +0     sessions 0
    +0     source  P.  100:110(10) ack 301
    +0     dropped afterEnd 1
  `,
    TWICE
  )
})

test('a copy continues if the target resets the other one, which reconnects', () => {
  drill(
    `${BOTH_OPEN}
    +0     target  R   501:501(0)
    +0     ended   targetReset
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 901 from ${SECOND}
    +0     target  .   901:901(0) ack 110 win 65535 to ${SECOND}
    +1000  sent    S   99:99(0) from 10.0.0.1:40001
    +0     sessions 2
  `,
    TWICE
  )
})

test('all copies of a connection join it in mid-stream', () => {
  drill(
    `
    +0     source  P.  70:80(10) ack 181
    +200   source  P.  80:90(10) ack 221
    +0     source  P.  90:100(10) ack 261
    +0     source  P.  100:110(10) ack 301
    +0     sent    S   99:99(0) from 10.0.0.1:40001
    +0     sent    S   99:99(0) from ${SECOND}
    +0     counter sessionsJoined 2
    +0     counter capturedPayloadBytes 50
    +0     counter pendingBytes 20
  `,
    TWICE
  )
})

test('a client takes its port back from a copy, which starts again on another port', () => {
  drill(
    `${BOTH_OPEN}${REQUEST}
    +0     source  S   7000:7000(0) from ${SECOND}
    +0     sent    R.  110:110(0) ack 901 from ${SECOND}
    +0     sent    S   7000:7000(0) from ${SECOND}
    +0     sent    S   7000:7000(0) from 10.0.0.1:10305
    +0     ended   displaced
    +0     counter copiesMoved 1
    +0     source  .   110:110(0) ack 301
    +0     source  P.  100:110(10) ack 301                     // retransmitted: starts nothing
    +9     source  P.  110:120(10) ack 301                     // the rest of a request: starts nothing
    +0     sent    P.  110:120(10) ack 501 from 10.0.0.1:40001
    +9     target  P.  501:541(40) ack 120 win 65535
    +9     source  P.  120:130(10) ack 341
    +0     sent    S   119:119(0) from 10.0.0.1:9282
    +0     sent    P.  120:130(10) ack 541 from 10.0.0.1:40001
    +1     target  S.  300:300(0) ack 120 win 65535 to 10.0.0.1:9282
    +0     sent    .   120:120(0) ack 301 from 10.0.0.1:9282
    +0     sent    P.  120:130(10) ack 301 from 10.0.0.1:9282
    +0     sessions 4
  `,
    TWICE
  )
})

test('when a port is reused, the first copy waits, and the others start on ports of their own', () => {
  drill(
    `${BOTH_OPEN}${REQUEST}
    +0     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501 from 10.0.0.1:40001
    +0     sent    F.  110:110(0) ack 901 from ${SECOND}
    +1     source  S   7000:7000(0)
    +0     sent    S   7000:7000(0) from 10.0.0.1:9282
    +0     counter sessionsWaited 1
    +0     sessions 4
    +9     target  F.  501:501(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 502 from 10.0.0.1:40001
    +0     sent    S   7000:7000(0) from 10.0.0.1:40001
    +0     ended   none
    +0     sessions 3
  `,
    TWICE
  )
})

test('copies that do not fit into the table are counted', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0) from 10.0.0.1:40001
    +0     sent    S   99:99(0) from ${SECOND}
    +0     counter copiesRefused 3
    +0     dropped tableFull 3
  `,
    { selection: { copies: 5 * WHOLE }, sessionsMax: 2 }
  )
})

test('with -c, copies have other addresses', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0) from 192.168.9.2:40001
    +0     sent    S   99:99(0) from 192.168.9.1:9281
    +0     sent    S   99:99(0) from 192.168.9.2:28900
  `,
    { selection: { copies: 3 * WHOLE }, ranges: [{ first: 0xc0a80901 | 0, count: 2 }] }
  )
})

const SOURCE = { toAddress: 0x0a000002, toPort: 80 }
const TARGET = 0x0a000003

function mapsTo(targets: readonly number[]) {
  return targets.map((targetAddress) => ({ sourceAddress: 0, sourcePort: 80, targetAddress, targetPort: 80 }))
}

/** Targets that accept every connection and read every byte in order. @param read by connection */
function serve(worker: SimulatedWorker, read: Map<string, number[]>): void {
  const segment = new Segment()
  for (let packet = worker.sent.shift(); packet !== undefined; packet = worker.sent.shift()) {
    packet.parse(segment)
    const { fromAddress, fromPort, toAddress, toPort, seq, payloadAt, payloadLength } = segment
    const answerer = { fromAddress: toAddress, fromPort: toPort }
    const to = { ...answerer, toAddress: fromAddress, toPort: fromPort, window: 65_535 }
    const key = `${toAddress}:${toPort} ${fromAddress}:${fromPort}`
    if (segment.flags & SYN) {
      assert.ok(!read.has(key), `two connections are ${key}`)
      read.set(key, [])
      worker.target(writePacket({ ...to, flags: SYN | ACK, seq: 5000, ack: seq + 1 }))
    } else if (payloadLength > 0) {
      read.get(key)?.push(...segment.bytes.subarray(payloadAt, payloadAt + payloadLength))
      worker.target(writePacket({ ...to, flags: ACK, seq: 5001, ack: seq + payloadLength }))
    } else if (segment.flags & FIN) {
      worker.target(writePacket({ ...to, flags: FIN | ACK, seq: 5001, ack: seq + 1 }))
    }
  }
}

test("every copy gets exactly the client's bytes, at each of one to three targets", () => {
  const amount = fc.record({ copies: fc.integer({ min: 1, max: 5 }), targets: fc.integer({ min: 1, max: 3 }) })
  const client = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 5 })
  fc.assert(
    fc.property(fc.array(client, { minLength: 1, maxLength: 8 }), amount, (clients, { copies, targets }) => {
      const addresses = Array.from({ length: targets }, (_, index) => TARGET + index)
      const worker = new SimulatedWorker({
        maps: mapsTo(addresses),
        selection: { copies: copies * WHOLE },
        isWaiting: false
      })
      const read = new Map<string, number[]>()
      const ends = clients.map(() => 101)
      const send = (index: number, flags: number, seq: number, payload = new Uint8Array(0)): void => {
        const from = { fromAddress: 0x0a000001, fromPort: 40_000 + index }
        worker.source(writePacket({ ...from, ...SOURCE, flags, seq, ack: 301, payload }))
        serve(worker, read)
      }
      for (const index of clients.keys()) send(index, SYN, 100)
      for (let round = 0; round < 5; round++) {
        for (const [index, pieces] of clients.entries()) {
          const payload = pieces[round]
          if (payload === undefined) continue
          send(index, ACK | PSH, ends[index] ?? 0, payload)
          send(index, ACK | PSH, ends[index] ?? 0, payload)
          ends[index] = (ends[index] ?? 0) + payload.length
        }
      }
      for (const index of clients.keys()) send(index, ACK | FIN, ends[index] ?? 0)
      const expected = clients.flatMap((pieces) => new Array<string>(copies).fill(pieces.map((one) => `${one}`).join()))
      for (const address of addresses) {
        const actual = [...read].filter(([key]) => key.startsWith(`${address}:`)).map(([, bytes]) => bytes.join())
        assert.deepEqual(actual.sort(), expected.sort())
      }
      const sent = clients.flat().reduce((total, piece) => total + piece.length, 0)
      assert.equal(worker.counters.get(Counter.deliveredBytes), sent * copies * targets)
      worker.close()
    })
  )
})

test('-f shifts the ports of copies only', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0) from 10.0.0.1:40001
    +0     sent    S   99:99(0) from 10.0.0.1:9591
  `,
    { ...TWICE, portShift: 10 }
  )
})

test('when a client reconnects, all copies of its old connection end, not only the one that the new one waits for', () => {
  drill(
    `${BOTH_OPEN}
    +100   source  S   7099:7099(0) win 64240 <mss 1460>
    +0     nothing
    +9     source  .   7100:7100(0) ack 301
    +0     sent    R.  100:100(0) ack 501 from 10.0.0.1:40001
    +0     sent    S   7099:7099(0) from 10.0.0.1:40001
    +0     sent    R.  100:100(0) ack 901 from ${SECOND}
    +0     sent    S   7099:7099(0) from ${SECOND}
    +0     sessions 2
  `,
    TWICE
  )
})

test('when a client reconnects, the new connection is copied to each target once the old one there has ended', () => {
  const worker = new SimulatedWorker({ maps: mapsTo([TARGET, TARGET + 1]) })
  const client = { fromAddress: 0x0a000001, fromPort: 40_000, ...SOURCE, ack: 301 }
  worker.source(writePacket({ ...client, flags: SYN, seq: 100 }))
  serve(worker, new Map())
  worker.source(writePacket({ ...client, flags: SYN, seq: 7000 }))
  worker.source(writePacket({ ...client, flags: ACK, seq: 7001 }))
  const segment = new Segment()
  const begun = worker.sent.flatMap((packet) => {
    packet.parse(segment)
    return segment.flags & SYN ? [[segment.toAddress, segment.fromPort, segment.seq]] : []
  })
  assert.deepEqual(begun, [
    [TARGET, 40_000, 7000],
    [TARGET + 1, 40_000, 7000]
  ])
  assert.equal(worker.counters.get(Counter.sessionsWaited), 2)
  worker.close()
})
