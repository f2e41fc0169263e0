/** Resets of both sides: which are accepted, and what they end. */
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test("a client's reset is sent when everything before it is delivered and answered", () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +1     source  R.  120:120(0) ack 341
    +0     nothing
    +9     target  .   501:501(0) ack 120 win 65535
    +0     nothing
    +9     target  P.  501:541(40) ack 120 win 65535
    +0     sent    R.  120:120(0) ack 541
    +0     ended   none
    +0     sessions 0
  `)
})

test('a reset captured ahead of earlier payload waits for that payload', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  R   120:120(0)
    +0     nothing
    +1     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +9     target  .   501:501(0) ack 120 win 65535
    +0     sent    R.  120:120(0) ack 501
    +0     ended   none
  `)
})

test('a reset after a FIN is sent after it, and waits for the answer as the FIN does', () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 341
    +1     source  R   111:111(0)
    +9     target  .   501:501(0) ack 110 win 65535
    +2500  nothing
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 541
    +9     target  .   541:541(0) ack 111 win 65535
    +0     sent    R.  111:111(0) ack 541
    +0     ended   none
  `)
})

test('a reset captured before the SYN-ACK is sent after the handshake', () => {
  drill(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +1     source  .   100:100(0) ack 301
    +0     source  R   100:100(0)
    +9     target  S.  500:500(0) ack 100
    +0     sent    .   100:100(0) ack 501
    +0     sent    R.  100:100(0) ack 501
    +0     ended   none
  `)
})

test('a FIN and a reset far outside the window are ignored', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  1000000000:1000000000(0) ack 341
    +9     source  R   100000000:100000000(0)
    +9     source  R   4200000000:4200000000(0)
    +0     dropped implausible 3
    +5000  nothing
    +0     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
  `)
})

test('a reset before bytes that the source had not acknowledged is sent after those bytes and some silence', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     source  R   110:110(0)
    +9     target  .   541:541(0) ack 120 win 65535
    +2991  sent    R.  120:120(0) ack 541
    +0     ended   none
  `)
})

test('payload of resets is counted in the books', () => {
  drill(`
    +0     open request 10
    +9     source  R.  110:120(10) ack 301
    +1     source  R.  110:120(10) ack 301
    +9     target  .   501:501(0) ack 110 win 65535
    +0     sent    R.  110:110(0) ack 501
  `)
})

test("a target's reset ends the connection, and the rest of the request is dropped as targetReset", () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +9     target  .   501:501(0) ack 110 win 65535
    +1     target  R   501:501(0)
    +0     ended   targetReset
    +0     counter deliveredBytes 10
    +0     counter pendingBytes 0
    +0     counter sessionsReset 1
    +0     sessions 1
    +9     source  P.  120:130(10) ack 301
    +0     dropped targetReset 1
    +0     nothing
    +9     source  P.  130:140(10) ack 341
    +0     sent    S   129:129(0)
  `)
})

test('a reset in the window but not at the next byte gets a challenge ACK (RFC 5961 §3.2)', () => {
  drill(`
    +0     open request 10
    +9     target  R   521:521(0)            // 501:521 was lost on its way to intercept
    +0     sent    .   110:110(0) ack 501
    +0     counter resetsChallenged 1
    +0     counter sessionsReset 0
    +0     sessions 1
    +9     target  R   501:501(0)            // the target is gone: RFC 9293 §3.10.7.1
    +0     counter sessionsReset 1
    +1000  sent    S   99:99(0)
  `)
})

test('the connection continues if the target sends more after a challenged reset (RFC 5961 §3.2)', () => {
  drill(`
    +0     open request 10
    +9     target  R.  521:521(0) ack 110
    +0     sent    .   110:110(0) ack 501
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +9     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     dropped answerUnacceptable 0
  `)
})

test('a reset outside the window is ignored (RFC 5961 §3.2)', () => {
  drillTcp(`
    +0     open request 10
    +9     target  R   500:500(0)
    +0     target  R   100000000:100000000(0)   // of an earlier connection
    +0     dropped answerUnacceptable 2
    +0     sessions 1
  `)
})

test('a reset without ACK right after the SYN-ACK means that another host reset the target (RFC 9293 §3.10.7.1)', () => {
  drill(`
    +0     open request 10
    +2     target  R   501:501(0)
    +0     counter sessionsReset 1
    +0     counter sessionsDisowned 1
  `)
})

test("resets with ACK, after a FIN or long after the SYN-ACK are the target's own", () => {
  drill(`
    +0     open request 10
    +2     target  R.  501:501(0) ack 110    // it has aborted the connection
    +0     counter sessionsDisowned 0
  `)
  drill(`
    +0     open request 10
    +2     target  R.  541:541(0) ack 110    // and what it had answered before was lost
    +0     sent    .   110:110(0) ack 501
    +2     target  R   501:501(0)
    +0     counter sessionsReset 1
    +0     counter sessionsDisowned 0
  `)
  drill(`
    +0     open request 10
    +2     target  F.  501:501(0) ack 100 win 65535
    +0     sent    .   110:110(0) ack 502
    +2     target  R   502:502(0)            // it had closed before our request arrived
    +0     counter sessionsReset 1
    +0     counter sessionsDisowned 0
  `)
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +3000  target  R   501:501(0)            // it was restarted
    +0     counter sessionsReset 1
    +0     counter sessionsDisowned 0
  `)
})

test('a reset after everything was delivered and the client had closed is a normal close', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +9     target  R.  541:541(0) ack 111
    +0     ended   none
  `)
})

test('a shutdown resets every connection at the target', () => {
  drill(`
    +0     open request 10
    +9     source  S   7000:7000(0)          // waits
    +0     source  .   7001:7001(0) ack 301
    +1     source  S   9000:9000(0)          // waits for that one
    +0     source  .   9001:9001(0) ack 301
    +0     sessions 3
    +0     shutdown
    +0     sent    R.  110:110(0) ack 501
    +0     sessions 0
    +9     nothing
  `)
})

test('a challenge ACK acknowledges everything received, however slow the client is (RFC 5961 §3.2)', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   100:100(0) ack 301
    +280   sent    .   100:100(0) ack 501
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +9     target  P.  501:541(40) ack 110 win 65535
    +9     target  R   581:581(0)
    +0     sent    .   110:110(0) ack 541
    +9     target  R   541:541(0)
    +0     counter sessionsReset 1
  `,
    { roundTripMs: 300 }
  )
})
