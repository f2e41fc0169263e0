import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test('if the client closes first, so does the copy', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +9     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +0     ended   none
    +0     counter sessionsClosed 1
    +0     sessions 0
    +0     pieces 0
  `)
})

test('if the target closes first, the copy acknowledges its FIN and closes second', () => {
  drill(`
    +0     open request 10
    +9     target  FP. 501:541(40) ack 110 win 65535
    +0     sent    .   110:110(0) ack 542
    +9     source  F.  110:110(0) ack 342
    +0     sent    F.  110:110(0) ack 542
    +9     target  .   542:542(0) ack 111 win 65535
    +0     ended   none
    +0     counter sessionsClosed 1
  `)
})

test("if the server closed first, the copy's FIN waits for the target's, so that the target has TIME-WAIT", () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 342         // 40 bytes and a FIN
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +900   target  F.  541:541(0) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 542
    +9     target  .   542:542(0) ack 111 win 65535
    +0     ended   none
    +0     counter epochTimeouts 0
    +0     counter epochsQuiet 0
  `)
})

test("a FIN waits for the target's FIN no longer than for an answer", () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 342
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +2951  sent    F.  110:110(0) ack 541
    +9     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +0     ended   none
    +0     counter epochTimeouts 1
  `)
})

test("a FIN does not wait for the target's FIN after a shorter answer", () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 352
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +160   sent    F.  110:110(0) ack 541
    +1     target  F.  541:541(0) ack 110 win 65535
    +0     sent    .   111:111(0) ack 542
    +9     target  .   542:542(0) ack 111 win 65535
    +0     ended   none
  `)
})

test('both sides may close at the same time', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +1     target  F.  541:541(0) ack 110 win 65535
    +0     sent    .   111:111(0) ack 542
    +9     target  .   542:542(0) ack 111 win 65535
    +0     ended   none
  `)
})

test('a FIN waits for the answer that the client had read', () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 341
    +0     nothing
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 541
    +0     counter epochs 1
    +0     counter epochTimeouts 0
  `)
})

test('a FIN captured with payload is sent after it, and retransmitted until it is acknowledged', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  FP. 110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     sent    F.  120:120(0) ack 541
    +9     target  .   541:541(0) ack 120 win 65535
    +200   sent    F.  120:120(0) ack 541
    +400   sent    F.  120:120(0) ack 541
    +9     target  F.  541:541(0) ack 121 win 65535
    +0     sent    .   121:121(0) ack 542
    +0     ended   none
  `)
})

test('a FIN is retransmitted once per timeout, even into a closed window', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 0
    +40    sent    .   110:110(0) ack 541
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +200   sent    F.  110:110(0) ack 541
    +400   sent    F.  110:110(0) ack 541
    +9     target  F.  541:541(0) ack 111 win 0
    +0     sent    .   111:111(0) ack 542
    +0     ended   none
  `)
})

test('a FIN captured ahead of earlier payload waits for that payload', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  120:120(0) ack 341
    +0     nothing
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     sent    F.  120:120(0) ack 541
  `)
})

test('after the client has closed its half, answers are still acknowledged', () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
    +9     target  .   501:501(0) ack 111 win 65535
    +900   target  .   501:1961(1460) ack 111 win 65535
    +0     target  P.  1961:3421(1460) ack 111 win 65535
    +0     sent    .   111:111(0) ack 3421
    +900   target  FP. 3421:3431(10) ack 111 win 65535
    +0     sent    .   111:111(0) ack 3432
    +0     ended   none
  `)
})

test('after the target has closed its half, requests are still sent', () => {
  drill(`
    +0     open request 10
    +9     target  F.  501:501(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 502
    +9     source  P.  110:120(10) ack 302
    +0     sent    P.  110:120(10) ack 502
    +9     target  .   502:502(0) ack 120 win 65535
    +9     source  F.  120:120(0) ack 302
    +0     sent    F.  120:120(0) ack 502
    +9     target  .   502:502(0) ack 121 win 65535
    +0     ended   none
  `)
})

test('a request that follows the whole answer and a FIN is sent even if an earlier answer had seemed shorter', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:521(20) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +36    sent    P.  110:120(10) ack 521     // half of the answer, then nothing
    +9     target  P.  521:541(20) ack 120 win 65535
    +0     target  FP. 541:581(40) ack 120 win 65535
    +0     sent    .   120:120(0) ack 582
    +9     source  P.  120:130(10) ack 382
    +0     sent    P.  120:130(10) ack 582
    +0     counter epochsQuiet 1
  `)
})

test('a connection that waits only for the FIN of a target that forgot it does not block the next one', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +9     target  .   541:541(0) ack 111 win 65535
    +1     source  S   1099:1099(0) win 64240 <mss 1460>
    +200   sent    .   110:110(0) ack 541      // is it still there?
    +9     target  R   541:541(0)
    +0     sent    S   1099:1099(0)
    +0     ended   none
  `)
})

test('a FIN before bytes that the client has sent is ignored (RFC 9293 §3.10.7.4)', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  105:105(0) ack 341
    +0     dropped duplicate 1
    +0     nothing
    +9     source  P.  120:130(10) ack 341
    +0     source  F.  115:115(0) ack 341     // in the hole
    +0     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     sent    P.  120:130(10) ack 541
    +9     source  F.  130:130(0) ack 341
    +0     sent    F.  130:130(0) ack 541
    +9     source  F.  130:130(0) ack 341
    +9     target  F.  541:541(0) ack 131 win 65535
    +0     sent    .   131:131(0) ack 542
    +0     ended   none
    +0     dropped duplicate 3
  `)
})

test('SYNs with FIN or RST, and segments without ACK, lose no data and leave no session open', () => {
  drill(`
    +0     open request 10 answer 40
    +1     source  FS  99:99(0)
    +1     source  SR  99:99(0)
    +1     source  S.  99:99(0) ack 301
    +0     dropped badFlags 2
    +0     dropped duplicate 1
    +1     source  FP  110:120(10)              // the source drops it (RFC 9293 §3.10.7.4)
    +0     dropped implausible 1
    +1     source  FP. 110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     sent    F.  120:120(0) ack 541
    +9     target  F.  541:541(0) ack 121 win 65535
    +0     sent    .   121:121(0) ack 542
    +0     ended   none
    +0     counter deliveredBytes 20
  `)
})

test('payload after the FIN is dropped as beyondEnd', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +1     source  P.  111:121(10) ack 341
    +0     dropped beyondEnd 1
  `)
})

test('late packets of a closed connection do not start a session', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +9     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +9     source  P.  100:110(10) ack 301
    +9     source  .   111:111(0) ack 342
    +9     source  R   111:111(0)
    +0     dropped afterEnd 3
    +0     sessions 0
    +61000 source  P.  100:110(10) ack 301   // after a minute it is another connection
    +200   dropped notJoined 1
  `)
})

const BOTH_CLOSED = `
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +1     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +0     ended   none
    +0     sessions 0
`

test("if the ACK of the target's FIN was lost, each retransmitted FIN is acknowledged again", () => {
  drillTcp(`${BOTH_CLOSED}
    +200   target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +400   target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +9     target  .   542:542(0) ack 111 win 65535
    +9     target  R.  542:542(0) ack 111 win 65535
    +0     dropped answerNoSession 2
    +0     counter lateAnswers 2
  `)
})

test('an ACK sent in time-wait has timestamps that the target accepts', () => {
  drill(`
    +0     source  S   99:99(0) win 64240 <mss 1460,ts 100 0>
    +0     sent    S   99:99(0) <mss 1460,ts 100 0>
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460,ts 7 100>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
    +0     source  P.  100:110(10) ack 301 <ts 130 1>
    +0     sent    P.  100:110(10) ack 501 <ts 130 7>
    +0     source  F.  110:110(0) ack 301 <ts 140 1>
    +0     sent    F.  110:110(0) ack 501
    +9     target  F.  501:501(0) ack 111 win 65535 <ts 8 130>
    +0     sent    .   111:111(0) ack 502
    +200   target  F.  501:501(0) ack 111 win 65535 <ts 9 130>
    +0     sent    .   111:111(0) ack 502 <ts 130 9>
  `)
})

test('if the reset of a connection was lost, the target is reset again when it sends more', () => {
  drillTcp(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +9     source  R   110:110(0)
    +0     sent    R.  110:110(0) ack 501
    +0     ended   none
    +50    target  P.  501:541(40) ack 110 win 65535
    +0     sent    R   110:110(0)
    +50    target  F.  541:541(0) ack 110 win 65535
    +0     sent    R   110:110(0)
    +0     counter lateAnswers 2
  `)
})

test('an answer to a flow that was never copied gets no reply', () => {
  drillTcp(`
    +0     target  F.  541:541(0) ack 111 win 65535
    +0     dropped answerNoSession 1
  `)
})
