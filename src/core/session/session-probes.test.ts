/** Segments without new data: keep-alives, challenge ACKs and old segments. */
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test("the client's keep-alive probes are not copied, with or without a byte (RFC 9293 §3.8.4)", () => {
  drill(`
    +0     open request 10 answer 40
    +9000  source  .   109:109(0) ack 341
    +9000  source  .   109:110(1) ack 341
    +0     counter duplicateBytes 1
    +0     nothing
    +9000  source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
  `)
})

test("the target's keep-alive probes are acknowledged each time, and do not count as answers (RFC 9293 §3.8.4)", () => {
  drill(`
    +0     open request 10 answer 40
    +9000  target  .   540:540(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 541
    +9000  target  .   540:541(1) ack 110 win 65535
    +0     sent    .   110:110(0) ack 541
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     source  P.  120:130(10) ack 342
    +8     target  .   541:541(0) ack 120 win 65535
    +1     target  .   540:541(1) ack 120 win 65535
    +0     sent    .   120:120(0) ack 541
    +99    nothing
    +9     target  P.  541:542(1) ack 120 win 65535
    +0     sent    P.  120:130(10) ack 542
  `)
})

test('hibernation does not reset the rate limit of challenge ACKs (RFC 5961 §7)', () => {
  drill(`
    +0     open request 10 answer 40
    +9     target  .   541:541(0) ack 5000 win 65535    // bytes that were never sent
    +0     sent    .   110:110(0) ack 541
    +20    target  .   541:541(0) ack 5000 win 65535
    +0     nothing
    +20    target  .   541:541(0) ack 5000 win 65535
    +0     counter objectionsWithheld 2
    +500   target  .   541:541(0) ack 5000 win 65535
    +0     sent    .   110:110(0) ack 541
  `)
})

test('challenge ACKs and SYN-ACKs of an open connection change nothing (RFC 5961 §4, §5)', () => {
  drillTcp(`
    +0     open request 10 answer 40
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     target  .   541:541(0) ack 110 win 65535
    +1     target  S.  500:500(0) ack 100 win 65535
    +0     sent    .   120:120(0) ack 541
    +1     target  S   700:700(0) win 65535
    +0     nothing                                      // two hosts could answer each other forever (§7)
    +0     counter objectionsWithheld 1
    +1     target  .   541:541(0) ack 50 win 10          // an old ACK
    +1     target  .   541:541(0) ack 120 win 65535
    +497   target  S   700:700(0) win 65535
    +0     sent    .   120:120(0) ack 541
    +0     counter deliveredBytes 20
    +0     counter retransmissions 0
    +999   nothing
  `)
})

test('each segment beyond a gap triggers a duplicate ACK, and so does the FIN (RFC 5681 §3.2)', () => {
  drillTcp(`
    +0     open request 10 answer 40
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  .   2001:3461(1460) ack 120 win 65535
    +0     sent    .   120:120(0) ack 541
    +0     target  P.  3461:4921(1460) ack 120 win 65535
    +0     sent    .   120:120(0) ack 541
    +0     target  F.  4921:4921(0) ack 120 win 65535
    +0     sent    .   120:120(0) ack 541
    +9     target  .   541:2001(1460) ack 120 win 65535
    +0     sent    .   120:120(0) ack 4922
    +9     source  F.  120:120(0) ack 4722
    +0     sent    F.  120:120(0) ack 4922
    +9     target  .   4922:4922(0) ack 121 win 65535
    +0     ended   none
  `)
})

test('SACK blocks of bytes that are acknowledged or were never sent are ignored (RFC 2018 §4, RFC 2883)', () => {
  drill(`
    +0     open <mss 1000,sackOK>
    +0     source  P.  100:3100(3000) ack 301
    +0     sent    .   100:1100(1000)
    +0     sent    .   1100:2100(1000)
    +0     sent    P.  2100:3100(1000)
    +9     target  .   501:501(0) ack 1100 win 65535 <sack 100:1100>
    +1     target  .   501:501(0) ack 1100 win 65535 <sack 3100:9100>
    +1     target  .   501:501(0) ack 1100 win 65535 <sack 2100:3200>
    +188   nothing
    +9     sent    .   1100:2100(1000)
    +9     target  .   501:501(0) ack 2100 win 65535
    +0     sent    P.  2100:3100(1000)
  `)
})

test('data that the target reported in a SACK block and then discarded is retransmitted (RFC 2018 §8)', () => {
  drill(`
    +0     open <mss 1000,sackOK>
    +0     source  P.  100:1300(1200) ack 301
    +0     sent    .   100:1100(1000)
    +0     sent    P.  1100:1300(200)
    +9     target  .   501:501(0) ack 100 win 65535 <sack 1100:1300>
    +191   sent    .   100:1100(1000)
    +9     target  .   501:501(0) ack 1100 win 65535
    +200   sent    P.  1100:1300(200)
    +9     target  .   501:501(0) ack 1300 win 65535
    +0     counter deliveredBytes 1200
  `)
})
