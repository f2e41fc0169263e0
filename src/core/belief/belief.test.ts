/** Which captured packets are believed at once, which later, and which never. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'
import { START } from '../../sim/drill/simulated-worker.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'

/** A source whose kernel gives this state, and has received this much. */
/** A source whose connection is gone soon after its handshake. */
const gone: SourceSockets = {
  stateOf: (_, now) => (now < START + 30 ? SourceState.Connected : SourceState.None),
  receivedBytes: Number.NaN
}

function sourceThatSays(state: SourceState, receivedBytes = Number.NaN): SourceSockets {
  return { stateOf: () => state, receivedBytes }
}

test('a reset elsewhere in the stream counts after 3 s in which the client sent nothing', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  R   115:115(0)
    +0     dropped implausible 1
    +2990  nothing
    +10    sent    R.  110:110(0) ack 541
    +0     ended   none
  `)
})

test('a reset elsewhere in the stream is forgotten if the client goes on', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  R   115:115(0)
    +500   source  .   110:110(0) ack 341
    +5000  nothing
    +0     source  R   115:115(0)
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  P.  541:581(40) ack 120 win 65535
    +40    sent    .   120:120(0) ack 581
    +5000  nothing
    +0     sessions 1
  `)
})

test('a reset elsewhere counts at once if the source no longer has the connection, and never if it has', () => {
  const script = (expected: string): string => `
    +0     open request 10 answer 40
    +9     source  R   115:115(0)
    ${expected}`
  const ends = '+0     sent    R.  110:110(0) ack 541'
  drill(script(ends), { source: gone })
  const goesOn = `+5000  source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541`
  drill(script(goesOn), { source: sourceThatSays(SourceState.Connected) })
})

test('a reset far away counts only if the source no longer has the connection', () => {
  const source = sourceThatSays(SourceState.Connected)
  drill(
    `
    +0     open request 10 answer 40
    +9     source  R   3000000000:3000000000(0)
    +5000  nothing
    +9     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
  `,
    { source }
  )
  drill(
    `
    +0     open request 10 answer 40
    +9     source  R   3000000000:3000000000(0)
    +0     sent    R.  110:110(0) ack 541
    +0     ended   none
  `,
    { source: gone }
  )
})

test('a FIN that data passes is forgotten', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  115:115(0) ack 341
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  P.  541:581(40) ack 120 win 65535
    +9     source  P.  120:130(10) ack 381
    +0     sent    P.  120:130(10) ack 581
  `)
})

test('a FIN that the client does not reach although it goes on in order opens no hole', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  125:125(0) ack 341
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  P.  541:581(40) ack 120 win 65535
    +40    sent    .   120:120(0) ack 581
    +20000 source  P.  120:130(10) ack 381
    +0     sent    P.  120:130(10) ack 581
    +9     target  P.  581:621(40) ack 130 win 65535
    +9     source  F.  130:130(0) ack 421
    +0     sent    F.  130:130(0) ack 621
  `)
})

test("a FIN ahead does not displace the client's, which is captured before its data", () => {
  for (const at of [115, 125]) {
    drill(`
    +0     open request 10 answer 40
    +9     source  F.  120:120(0) ack 341
    +0     source  F.  ${at}:${at}(0) ack 341
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     sent    F.  120:120(0) ack 541
  `)
  }
})

test('a FIN whose preceding bytes were never captured ends the session soon', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  120:120(0) ack 341
    +1000  sent    R.  110:110(0) ack 541
    +0     ended   hole
    +0     sessions 0
  `)
})

test('a FIN at the next byte counts although bytes beyond it were captured, as at the source', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  P.  120:130(10) ack 341
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +0     dropped beyondEnd 0
    +0     pieces 0
  `)
})

test('data far ahead is not believed alone, and opens no hole', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  P.  200110:200120(10) ack 341
    +0     dropped implausible 1
    +0     counter pendingBytes 10
    +5000  source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  P.  541:581(40) ack 120 win 65535
    +40    sent    .   120:120(0) ack 581
    +55000 counter pendingBytes 0
  `)
})

test('data far ahead is believed when a second packet continues it', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  P.  200110:200120(10) ack 341
    +1     source  P.  200120:200130(10) ack 381
    +0     counter pendingBytes 20
    +0     source  P.  200130:200140(10) ack 421   // it is known now where the client is
    +0     dropped implausible 1
    +2000  sent    R.  110:110(0) ack 541
    +0     sent    S   200119:200119(0)
  `)
})

test('data with an implausible acknowledgment number waits for a packet that agrees', () => {
  drill(
    `
    +0     open request 10 answer 40
    +9     source  P.  110:120(10) ack 10000000
    +500   nothing
    +0     source  P.  110:120(10) ack 10000000    // the same packet again proves nothing
    +500   nothing
    +0     source  .   120:120(0) ack 10000040
    +0     sent    P.  110:120(10) ack 541
    +9     target  .   541:541(0) ack 120 win 65535
    +0     source  P.  120:130(10) ack 10000040
    +0     sent    P.  120:130(10) ack 541
  `,
    { isWaiting: false }
  )
})

test('data at the next byte with an implausible acknowledgment number counts after 3 s of silence', () => {
  drill(
    `
    +0     open request 10 answer 40
    +9     source  P.  110:120(10) ack 10000000
    +3000  sent    P.  110:120(10) ack 541
  `,
    { isWaiting: false }
  )
})

test('data at the next byte is believed at once if the source has received it', () => {
  const script = `
    +0     open request 10 answer 40
    +9     source  P.  110:120(10) ack 10000000
    +0     sent    P.  110:120(10) ack 541
  `
  drill(script, { isWaiting: false, source: sourceThatSays(SourceState.Connected, 20) })
  assert.throws(() => drill(script, { isWaiting: false, source: sourceThatSays(SourceState.Connected, 10) }))
})

test('without captured acknowledgments, the next byte is enough', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +20    source  P.  100:110(10) ack 301
    +0     sent    S   99:99(0)
    +5     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
    +9     target  P.  501:541(40) ack 110 win 65535
    +9     source  P.  110:120(10) ack 10000000
    +0     sent    P.  110:120(10) ack 541
  `,
    { isWaiting: false, isWithoutAcks: true }
  )
})

test('an acknowledgment with implausible numbers does not move the gate', () => {
  drill(`
    +0     open request 10
    +1     source  .   110:110(0) ack 5000000
    +1     source  .   3000000:3000000(0) ack 341
    +1     source  P.  110:120(10) ack 341
    +0     nothing
    +6     target  P.  501:541(40) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 541
  `)
})

test('two segments swapped at the start of a connection without its third ACK are both kept', () => {
  drill(`
    +0     open ack none
    +0     source  P.  110:120(10) ack 301
    +0     nothing
    +1     source  P.  100:110(10) ack 301
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
    +0     sent    P.  110:120(10) ack 501
  `)
})
