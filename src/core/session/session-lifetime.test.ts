import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

const SHORT = { timeoutMs: 10_000, keepAliveMs: 20_000 }

test('a connection first seen in mid-stream is joined with a made-up handshake', () => {
  drill(`
    +0     source  .   70:70(0) ack 181 win 502 <ts 102 1>
    +0     source  P.  70:80(10) ack 181 win 502 <ts 102 1>
    +200   dropped noSession 1
    +0     source  P.  80:90(10) ack 221 win 502 <ts 103 1>
    +0     source  P.  90:100(10) ack 261 win 502 <ts 104 1>
    +0     dropped notJoined 3
    +0     source  P.  100:110(10) ack 301 win 502 id 7 ttl 60 <ts 105 1>
    +0     sent    S   99:99(0) ttl 60 <mss 1460,sackOK,ts 105 0,wscale 7>
    +0     counter sessionsJoined 1
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460,sackOK,ts 900 105,wscale 9>
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501 win 502 id 7 <ts 105 900>
    +9     target  P.  501:541(40) ack 110 win 128 <ts 901 105>
    +0     source  P.  110:120(10) ack 341 win 502 <ts 106 1>
    +0     sent    P.  110:120(10) ack 541
    +1     source  P.  90:100(10) ack 261 win 502 <ts 106 1>
    +0     counter duplicateBytes 10
  `)
})

test('a FIN, a reset or an ACK does not join a connection', () => {
  drill(`
    +0     source  F.  100:100(0) ack 301
    +0     source  R.  100:110(10) ack 301
    +0     source  .   100:100(0) ack 301
    +200   dropped noSession 3
    +0     sessions 0
  `)
})

test('bytes that were never captured end the connection; the session reconnects at the next certainly complete request', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     source  P.  120:130(10) ack 341
    +40    sent    .   110:110(0) ack 541
    +1960  sent    R.  110:110(0) ack 541
    +0     ended   hole
    +9     source  P.  130:140(10) ack 341
    +0     nothing
    +9     source  P.  140:150(10) ack 381
    +0     sent    S   139:139(0)
    +0     dropped hole 1
  `)
})

test('a hole that is filled in time loses nothing', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +0     source  P.  120:130(10) ack 301
    +1900  source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +0     sent    P.  120:130(10) ack 501
    +9     target  .   501:501(0) ack 130 win 65535
    +5000  nothing
    +0     sessions 1
  `)
})

test('a hole neither ends the session nor keeps it busy until everything before it is delivered', () => {
  drillTcp(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 0
    +0     source  P.  110:120(10) ack 301
    +0     source  P.  130:140(10) ack 301
    +200   sent    .   109:109(0) ack 501
    +400   sent    .   109:109(0) ack 501
    +800   sent    .   109:109(0) ack 501
    +1600  sent    .   109:109(0) ack 501
    +3200  sent    .   109:109(0) ack 501
    +1     target  .   501:501(0) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 501
    +9     target  .   501:501(0) ack 120 win 65535
    +1     sent    R.  120:120(0) ack 501
    +0     ended   hole
    +0     counter deliveredBytes 20
  `)
})

test('a reset after bytes that were never captured ends the session', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +0     source  R   130:130(0)
    +3000  sent    R.  110:110(0) ack 501
    +0     ended   none
    +0     sessions 0
  `)
})

test('a session without progress ends after -t', () => {
  drill(
    `
    +0     open request 10
    +200   sent    P.  100:110(10) ack 501
    +400   sent    P.  100:110(10) ack 501
    +400   sent    R.  110:110(0) ack 501
    +0     ended   timedOut
    +0     counter sessionsTimedOut 1
    +0     sessions 0
    +0     pieces 0
  `,
    { timeoutMs: 1000, keepAliveMs: 2000 }
  )
})

test('an idle session ends after -k, and the next request joins the connection again', () => {
  drill(
    `
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +19999 nothing
    +1     sent    R.  110:110(0) ack 501
    +0     ended   timedOut
    +9     source  P.  110:120(10) ack 341
    +0     sent    S   109:109(0)
    +0     counter sessionsJoined 1
  `,
    SHORT
  )
})

test('new payload restarts the idle time of -k', () => {
  drill(
    `
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +19000 source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +9     target  .   501:501(0) ack 120 win 65535
    +19000 nothing
    +0     sessions 1
  `,
    SHORT
  )
})

test('a session waits for -t if the target never closes its half', () => {
  drill(
    `
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +0     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
    +9     target  .   501:501(0) ack 111 win 65535
    +10000 sent    R.  111:111(0) ack 501
    +0     ended   timedOut
  `,
    SHORT
  )
})

test('a connection with a reused port waits until the previous copy has ended, and is then copied completely', () => {
  drill(`
    +0     open request 10
    +1     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
    +1     source  S   7000:7000(0) win 64240 <mss 1460>
    +0     source  .   7001:7001(0) ack 901
    +0     source  P.  7001:7011(10) ack 901
    +0     nothing
    +0     counter sessionsWaited 1
    +9     target  .   501:501(0) ack 111 win 65535
    +9     target  F.  501:501(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 502
    +0     sent    S   7000:7000(0)
    +0     ended   none
    +9     target  S.  900:900(0) ack 7001 win 65535 <mss 1460>
    +0     sent    .   7001:7001(0) ack 901
    +0     sent    P.  7001:7011(10) ack 901
    +9     target  .   901:901(0) ack 7011 win 65535
    +0     counter deliveredBytes 20
    +0     sessions 1
  `)
})

test('a connection whose end was not captured is reset when its port is reused', () => {
  drill(`
    +0     open request 10
    +1     source  S   7000:7000(0) win 64240 <mss 1460>
    +9     target  .   501:501(0) ack 110 win 65535
    +0     nothing
    +9     source  .   7001:7001(0) ack 301                 // the source has accepted it
    +0     sent    R.  110:110(0) ack 501
    +0     sent    S   7000:7000(0)
    +0     ended   none
  `)
})

test('a forged SYN does not end the connection (RFC 5961 §4)', () => {
  drill(`
    +0     open request 10
    +1     source  S   7000:7000(0) win 64240 <mss 1460>
    +0     dropped synHeld 1
    +8     target  P.  501:541(40) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     source  S   3000:3010(10) win 64240 <mss 1460>
    +0     dropped synHeld 2
    +0     sessions 1
  `)
})

test('a client that lost its connection resets it and opens another (RFC 9293 §3.5.1, figure 9)', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     source  S   7000:7000(0) win 64240 <mss 1460>
    +9     source  R   110:110(0)                           // its reply to the source's challenge ACK
    +0     sent    R.  110:110(0) ack 541
    +0     ended   none
    +1000  source  S   7000:7000(0) win 64240 <mss 1460>
    +0     sent    S   7000:7000(0)
    +0     sessions 1
  `)
})

test('a pending SYN starts its session at the first packet captured after it, not at one of the previous connection', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     source  S   50:50(0) win 64240 <mss 1460>
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  P.  541:581(40) ack 120 win 65535
    +1     source  S   7000:7000(0) win 64240 <mss 1460>
    +9     source  P.  7011:7021(10) ack 301                // 7001:7011 was missed
    +0     sent    R.  120:120(0) ack 581
    +0     sent    S   7000:7000(0)
    +0     ended   none
  `)
})

test('a pending SYN expires after a minute', () => {
  drill(`
    +0     open request 10 answer 40
    +1     source  S   7000:7000(0) win 64240 <mss 1460>
    +60001 source  P.  7001:7011(10) ack 301
    +0     sessions 1
  `)
})

test('connections that wait for the same port start in order', () => {
  drill(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  .   100:100(0) ack 301
    +0     source  R   100:100(0)
    +0     source  S   7000:7000(0)
    +0     source  .   7001:7001(0) ack 301
    +0     source  R   7001:7001(0)
    +0     source  S   9000:9000(0)
    +0     counter sessionsWaited 2
    +9     target  S.  500:500(0) ack 100
    +0     sent    .   100:100(0) ack 501
    +0     sent    R.  100:100(0) ack 501
    +0     sent    S   7000:7000(0)
    +9     target  S.  600:600(0) ack 7001
    +0     sent    .   7001:7001(0) ack 601
    +0     sent    R.  7001:7001(0) ack 601
    +0     sent    S   9000:9000(0)
    +0     sessions 1
  `)
})

test('a connection that waited too long ends, and the next one keeps waiting', () => {
  drill(
    `
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
    +0     source  S   7000:7000(0)
    +100   target  .   501:501(0) ack 111 win 65535
    +200   sent    .   110:110(0) ack 501               // is it still there?
    +400   sent    .   110:110(0) ack 501
    +800   sent    .   110:110(0) ack 501
    +1600  sent    .   110:110(0) ack 501
    +0     source  .   7001:7001(0) ack 301
    +2000  source  S   9000:9000(0)
    +0     source  .   9001:9001(0) ack 301
    +1200  sent    .   110:110(0) ack 501
    +2800  target  P.  501:541(40) ack 111 win 65535   // slow, but alive
    +40    sent    .   111:111(0) ack 541
    +900   ended   timedOut                             // 7000 had waited for 10 s
    +0     sessions 2
    +0     nothing
    +9     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +0     sent    S   9000:9000(0)
    +0     ended   none
  `,
    SHORT
  )
})

test('a SYN from the same address and port to another source port starts another session', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0) from 10.0.0.1:40001 to 10.0.0.3:8080
    +0     source  S   50:50(0) to 10.0.0.2:81
    +0     sent    S   50:50(0) from 10.0.0.1:40001 to 10.0.0.3:8081
    +9     target  S.  700:700(0) ack 51 from 10.0.0.3:8081
    +0     source  .   51:51(0) ack 301 to 10.0.0.2:81
    +0     sent    .   51:51(0) ack 701 to 10.0.0.3:8081
  `,
    {
      maps: [
        { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 },
        { sourceAddress: 0, sourcePort: 81, targetAddress: 0x0a000003, targetPort: 8081 }
      ]
    }
  )
})
