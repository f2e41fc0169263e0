/** Connections whose end was not captured, where the source's kernel can be asked. */
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'
import { START } from '../../sim/drill/simulated-worker.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'

/** A source whose kernel has the connection for so long. */
function hasItFor(ms: number): { readonly source: SourceSockets } {
  const stateOf = (_: unknown, now: number): SourceState =>
    now < START + ms ? SourceState.Connected : SourceState.None
  return { source: { stateOf, receivedBytes: Number.NaN } }
}

test('a connection that the source no longer has ends as most do, with a FIN', () => {
  drill(
    `
    +0     open request 10 answer 40
    +0     source  .   110:110(0) ack 341
    +12931 sent    F.  110:110(0) ack 541
    +1     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +0     counter endsMissed 1
    +0     sessions 0
  `,
    hasItFor(9000)
  )
})

test('it does not end if the client is heard of again, or the source has it', () => {
  drill(
    `
    +0     open request 10 answer 40
    +11000 source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +5     target  P.  541:581(40) ack 120 win 65535
    +40    sent    .   120:120(0) ack 581
    +3900  nothing
    +0     counter endsMissed 0
  `,
    hasItFor(9000)
  )
  drill(
    `
    +0     open request 10 answer 40
    +30000 nothing
    +0     sessions 1
  `,
    hasItFor(60_000)
  )
})

test('the FIN waits for the answer that the client had read', () => {
  drillTcp(
    `
    +0     open request 10
    +5     target  .   501:501(0) ack 110 win 65535
    +0     source  .   110:110(0) ack 341
    +20000 nothing
    +5     target  P.  501:541(40) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 541
  `,
    hasItFor(9000)
  )
})

test('a session that reconnects ends with its connection at the source', () => {
  drill(
    `
    +0     open request 10 answer 40
    +1     target  R   541:541(0)
    +20000 nothing
    +0     sessions 0
    +0     counter endsMissed 1
  `,
    hasItFor(9000)
  )
})
