/** When a target is quiet, and when it is only slow: what releases the next request or the FIN. */
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test('an answer that keeps arriving is waited for beyond the timeout', () => {
  const part = (from: number) => `
    +2500  target  P.  ${from}:${from + 20_000}(20000) ack 110 win 65535
    +0     sent    .   110:110(0) ack ${from + 20_000}`
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 100301
    +9     target  .   501:501(0) ack 110 win 65535
    ${part(501)}
    ${part(20_501)}
    ${part(40_501)}
    ${part(60_501)}
    +2500  target  P.  80501:100501(20000) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 100501
    +0     counter epochTimeouts 0
  `)
})

test('a few bytes now and then do not extend the timeout', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 10301
    +9     target  .   501:501(0) ack 110 win 65535
    +1391  target  P.  501:511(10) ack 110 win 65535
    +40    sent    .   110:110(0) ack 511
    +1360  target  P.  511:521(10) ack 110 win 65535
    +40    sent    .   110:110(0) ack 521
    +160   sent    P.  110:120(10) ack 521
    +0     counter epochTimeouts 1
  `)
})

test('a target that retransmits part of its answer is not quiet', () => {
  drillTcp(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 401
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     target  P.  561:581(20) ack 110 win 65535
    +0     sent    .   110:110(0) ack 541
    +200   target  P.  541:561(20) ack 110 win 65535
    +37    nothing
    +3     sent    .   110:110(0) ack 581
    +20    nothing
  `)
})

test('pipelined requests are all answered before the FIN, even if the target pauses between two answers', () => {
  drill(`
    +0     open request 30
    +1     source  F.  130:130(0) ack 1201
    +9     target  P.  501:801(300) ack 130 win 65535
    +5     target  P.  801:1101(300) ack 130 win 65535
    +35    sent    .   130:130(0) ack 1101
    +65    target  P.  1101:1401(300) ack 130 win 65535
    +0     sent    F.  130:130(0) ack 1401
  `)
})

test('after longer answers to pipelined requests, the next ones are counted from their end', () => {
  drill(`
    +0     open request 10
    +0     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +5     source  P.  120:130(10) ack 501       // 100 bytes each at the source
    +5     target  P.  501:651(150) ack 120 win 65535
    +0     nothing
    +2     target  P.  651:751(100) ack 120 win 65535
    +0     sent    P.  120:130(10) ack 751
    +5     source  P.  130:140(10) ack 601
    +5     target  .   751:801(50) ack 130 win 65535
    +0     nothing
    +2     target  P.  801:851(50) ack 130 win 65535
    +0     sent    P.  130:140(10) ack 851
  `)
})
