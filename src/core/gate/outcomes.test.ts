/** What becomes of each captured request. */
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'
import { WHOLE } from '../selection/sampling.ts'

test('a request is answered when the next one may go, at the end of the connection, or after a second of silence', () => {
  drill(`
    +0     open request 10 answer 40
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     requests answered 1 inFlight 1
    +9     target  P.  541:581(40) ack 120 win 65535
    +0     source  .   120:120(0) ack 381
    +40    sent    .   120:120(0) ack 581
    +900   requests answered 1 inFlight 1
    +200   requests answered 2
    +1     source  P.  120:130(10) ack 381
    +0     sent    P.  120:130(10) ack 581
    +9     target  .   581:581(0) ack 130 win 65535
    +0     requests answered 2 inFlight 1
    +1     source  P.  130:140(10) ack 382
    +0     source  F.  140:140(0) ack 421
    +9     target  P.  581:582(1) ack 130 win 65535
    +0     sent    P.  130:140(10) ack 582
    +0     requests answered 3 inFlight 1
    +9     target  P.  582:621(39) ack 140 win 65535
    +0     sent    F.  140:140(0) ack 621
    +0     requests answered 4
    +9     target  F.  621:621(0) ack 141 win 65535
    +0     sent    .   141:141(0) ack 622
    +0     ended   none
    +0     requests answered 4
  `)
})

test('a shorter answer counts when the target has fallen silent', () => {
  drill(`
    +0     open request 10 answer 30
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 531
    +0     requests answered 1 inFlight 1
    +9     target  P.  531:541(10) ack 120 win 65535
    +0     source  .   120:120(0) ack 381
    +40    sent    .   120:120(0) ack 541
    +1100  requests answered 2
  `)
})

test('a target that answers and closes right after leaves the next request unanswered', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  .   541:541(0) ack 120 win 65535
    +0     source  .   120:120(0) ack 381
    +30    target  R   541:541(0)
    +0     requests answered 1 notAnswered.targetReset 1
    +0     counter deliveredBytes 20
    +10    source  P.  120:130(10) ack 382
    +0     sent    S   119:119(0)
    +9     target  S.  900:900(0) ack 120 win 65535
    +0     sent    .   120:120(0) ack 901
    +0     sent    P.  120:130(10) ack 901
    +9     target  F.  901:901(0) ack 130 win 65535
    +0     sent    .   130:130(0) ack 902
    +0     requests answered 1 inFlight 1 notAnswered.targetReset 1
    +9     source  P.  130:140(10) ack 422
    +0     sent    R.  130:130(0) ack 902
    +0     sent    S   129:129(0)
    +0     requests answered 1 inFlight 1 notAnswered.targetReset 1 notAnswered.targetClosed 1
  `)
})

test('a shorter answer with the FIN in its last segment is complete: FIN implies PSH (RFC 9293 §3.9.1)', () => {
  drillTcp(`
    +0     open request 10 answer 40
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  F.  541:576(35) ack 120 win 65535
    +0     sent    .   120:120(0) ack 577
    +1     source  P.  120:130(10) ack 381
    +0     sent    R.  120:120(0) ack 577
    +0     sent    S   119:119(0)
    +0     requests answered 2 inFlight 1
  `)
})

test('a reset in the middle of an answer leaves the request unanswered', () => {
  drill(`
    +0     open request 10
    +1     source  .   110:110(0) ack 5301
    +8     target  .   501:1501(1000) ack 110 win 65535
    +1     target  R   1501:1501(0)
    +0     requests notAnswered.targetReset 1
  `)
})

test('an answer that comes after --epoch-timeout is late, also if the next request went meanwhile', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +3000  sent    P.  110:120(10) ack 501
    +0     requests inFlight 2
    +9     target  .   501:501(0) ack 120 win 65535
    +991   target  P.  501:541(40) ack 120 win 65535
    +40    sent    .   120:120(0) ack 541
    +0     source  .   120:120(0) ack 381
    +1000  requests answeredLate 1 inFlight 1
    +3000  target  P.  541:581(40) ack 120 win 65535
    +40    sent    .   120:120(0) ack 581
    +1000  requests answeredLate 2
  `)
})

test('so is one that only the FIN waits for', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  F.  110:110(0) ack 341
    +5000  target  P.  501:541(40) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 541
    +0     requests answeredLate 1
  `)
})

test('what never comes after --epoch-timeout is not answered', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +3000  sent    P.  110:120(10) ack 501
    +9     target  R   501:501(0)
    +0     sent    S   109:109(0)
    +0     requests inFlight 1 notAnswered.targetReset 1     // the second waits for the new connection
  `)
})

test('a client that reads no answer awaits none', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +9     target  .   501:501(0) ack 120 win 65535
    +5000  requests inFlight 1
    +0     source  F.  120:120(0) ack 301
    +0     sent    F.  120:120(0) ack 501
    +9     target  F.  501:501(0) ack 121 win 65535
    +0     sent    .   121:121(0) ack 502
    +0     requests notAwaited 1
  `)
})

test('so does one that reads only that the source has closed', () => {
  drill(`
    +0     open request 10
    +9     target  F.  501:501(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 502
    +1     source  F.  110:110(0) ack 302
    +0     sent    F.  110:110(0) ack 502
    +9     target  .   502:502(0) ack 111 win 65535
    +0     requests notAwaited 1
  `)
})

test('so does one that sends, closes, and then reads only that the source has closed', () => {
  drill(`
    +0     open request 10
    +0     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
    +9     source  .   111:111(0) ack 302
    +0     target  F.  501:501(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 502
    +0     requests notAwaited 1
  `)
})

test('a client that closes its half and then reads the answer has it answered', () => {
  drill(`
    +0     open request 10
    +0     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
    +9     source  .   111:111(0) ack 342
    +0     target  FP. 501:541(40) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +0     requests answered 1
  `)
})

test('a request that its connection has not read is sent again, even if the target closes before the next one', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     target  F.  541:541(0) ack 110 win 65535
    +0     sent    .   120:120(0) ack 542
    +1     source  P.  120:130(10) ack 381
    +0     sent    R.  120:120(0) ack 542
    +0     sent    S   109:109(0)
    +0     requests answered 1 inFlight 2
    +9     target  S.  900:900(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
    +0     counter epochsSentAgain 1
  `)
})

test('what is in flight at the stop is named so', () => {
  drill(`
    +0     open request 10 answer 40
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  .   541:541(0) ack 120 win 65535
    +0     source  P.  120:130(10) ack 381
    +0     shutdown
    +0     sent    R.  120:120(0) ack 541
    +0     requests answered 1 dropped.shutdown 2
  `)
})

test('what is answered at the stop is answered', () => {
  drill(`
    +0     open request 10 answer 40
    +0     source  .   110:110(0) ack 341
    +0     shutdown
    +0     sent    R.  110:110(0) ack 541
    +0     requests answered 1
  `)
})

test('requests that wait for a target that refuses are in flight, then given up', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +1     source  P.  100:110(10) ack 301
    +1     target  R.  0:0(0) ack 100
    +998   sent    S   99:99(0)
    +1     target  R.  0:0(0) ack 100
    +0     requests inFlight 1
    +1998  source  P.  110:120(10) ack 341
    +1     sent    S   99:99(0)
    +2000  sent    R   100:100(0)
    +0     requests dropped.targetRefused 2
  `,
    { timeoutMs: 5000 }
  )
})

test('a hole inside a request, and requests beyond it, are named by it', () => {
  drill(`
    +0     open
    +0     source  .   100:110(10) ack 301
    +0     sent    .   100:110(10) ack 501
    +9     target  .   501:501(0) ack 110 win 65535
    +0     source  P.  120:130(10) ack 301
    +0     source  P.  140:150(10) ack 341
    +0     source  P.  150:160(10) ack 381
    +0     requests inFlight 1
    +2000  sent    R.  110:110(0) ack 501
    +0     sent    S   149:149(0)
    +0     requests notAnswered.hole 1 dropped.hole 1 inFlight 1
  `)
})

test('a request that is sent again is the same request', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 341
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 541
    +1     target  R   541:541(0)
    +0     sent    S   109:109(0)
    +1     target  S.  900:900(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
    +0     counter epochsSentAgain 1
    +0     requests answered 1 inFlight 1
    +9     target  P.  901:941(40) ack 120 win 65535
    +0     source  F.  120:120(0) ack 381
    +0     sent    F.  120:120(0) ack 941
    +0     requests answered 2
  `)
})

test('if it ends the next connection too, it is not answered', () => {
  drill(`
    +0     open request 10 answer 40
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     target  R   541:541(0)
    +0     sent    S   109:109(0)
    +1     target  S.  900:900(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
    +1     target  R.  901:901(0) ack 110
    +0     requests answered 1 notAnswered.targetReset 1
  `)
})

test('what is left out by choice is not lost, and counts once', () => {
  drill(
    `
    +0     source  P.  100:110(10) ack 301
    +0     source  P.  110:120(10) ack 301
    +0     source  P.  110:120(10) ack 301
    +0     source  P.  120:130(10) ack 341
    +200   requests dropped.notFromSyn 2
  `,
    { selection: { isOnlyNew: true } }
  )
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +9     source  P.  100:110(10) ack 301
    +9     source  P.  110:120(10) ack 341
    +9     source  F.  120:120(0) ack 381
    +0     requests dropped.sampledOut 2
  `,
    { selection: { share: 0 } }
  )
})

test('requests before a join are left out', () => {
  drill(`
    +0     source  P.  70:80(10) ack 181
    +200   requests dropped.notJoined 1
    +0     source  P.  75:80(5) ack 181
    +0     requests dropped.notJoined 1
    +0     source  P.  80:90(10) ack 221
    +0     source  P.  90:100(10) ack 261
    +0     requests dropped.notJoined 3
    +0     source  P.  100:110(10) ack 301
    +0     sent    S   99:99(0)
    +0     requests dropped.notJoined 3 inFlight 1
  `)
})

test('each copy has its own requests', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0) from 10.0.0.1:40001
    +0     sent    S   99:99(0) from 10.0.0.1:9281
    +9     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 from 10.0.0.1:40001
    +1     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501 from 10.0.0.1:40001
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     source  .   110:110(0) ack 341
    +40    sent    .   110:110(0) ack 541
    +941   sent    S   99:99(0) from 10.0.0.1:9281
    +100   requests answered 1 inFlight 1
  `,
    { selection: { copies: 2 * WHOLE } }
  )
})

test('without waiting, requests are answered one by one as the answers come', () => {
  drill(
    `
    +0     open request 10
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 501
    +1     source  P.  120:130(10) ack 381
    +0     sent    P.  120:130(10) ack 501
    +0     requests inFlight 3
    +9     target  P.  501:541(40) ack 130 win 65535
    +1     source  P.  130:140(10) ack 421
    +0     sent    P.  130:140(10) ack 541
    +0     requests answered 1 inFlight 3
    +9     target  R   541:541(0)
    +0     sent    S   129:129(0)
    +0     requests answered 1 inFlight 1 notAnswered.targetReset 2
  `,
    { isWaiting: false }
  )
})

test('without waiting, answers of another length count when the target has fallen silent', () => {
  drill(
    `
    +0     open request 10
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 501
    +9     target  P.  501:531(30) ack 120 win 65535
    +1     source  .   120:120(0) ack 381
    +8     target  P.  531:561(30) ack 120 win 65535
    +31    sent    .   120:120(0) ack 561
    +1100  requests answered 2
  `,
    { isWaiting: false }
  )
})
