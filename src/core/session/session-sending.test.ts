import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'

test("a captured segment goes to the target with the client's window, IP id, TTL, PSH and TSval", () => {
  drill(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9>
    +5     source  P.  100:138(38) ack 301 win 517 id 4711 ttl 57 <ts 105 1>
    +0     sent    P.  100:138(38) ack 501 win 517 id 4711 ttl 64 <ts 105 900>
    +1     target  .   501:501(0) ack 138 win 128 <ts 905 105>
    +0     source  .   138:148(10) ack 301 win 520 id 4712 <ts 106 1>
    +0     sent    .   138:148(10) ack 501 win 520 id 4712 <ts 106 905>
  `)
})

test("TSecr is the target's last TSval, and TSval never goes back", () => {
  drill(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9>
    +5     source  P.  110:120(10) ack 301 win 517 <ts 120 1>
    +5     source  P.  100:110(10) ack 301 win 517 <ts 110 1>
    +0     sent    P.  100:110(10) ack 501 <ts 110 900>
    +0     sent    P.  110:120(10) ack 501 <ts 120 900>
    +1     target  .   501:501(0) ack 120 win 128 <ts 990 110>
    +0     source  P.  120:130(10) ack 301 win 517 <ts 90 1>
    +0     sent    P.  120:130(10) ack 501 <ts 120 990>
    +1     target  P.  501:511(10) ack 130 win 128 <ts 995 120>
    +40    sent    .   130:130(0) ack 511 <ts 120 995>
  `)
})

test('data that the client retransmits is counted as duplicate and not sent again', () => {
  drill(`
    +0     open
    +5     source  P.  100:138(38) ack 301
    +0     sent    P.  100:138(38) ack 501
    +9     source  P.  100:138(38) ack 301
    +0     counter duplicateBytes 38
    +1     target  .   501:501(0) ack 138 win 65535
    +9     source  P.  100:138(38) ack 301
    +0     counter duplicateBytes 76
    +0     counter deliveredBytes 38
    +0     counter pendingBytes 0
    +0     pieces 0
  `)
})

test('of bytes captured twice, the first ones are sent', () => {
  drill(`
    +0     open
    +5     source  .   103:106(3) ack 301 "DEF"
    +1     source  .   109:112(3) ack 301 "JKL"
    +1     source  P.  101:114(13) ack 301 "bcdefghijklmn"
    +0     nothing
    +1     source  .   98:103(5) ack 301 "yzABC"
    +0     sent    .   100:101(1) ack 501 "A"
    +0     sent    .   101:103(2) ack 501 "bc"
    +0     sent    .   103:106(3) ack 501 "DEF"
    +0     sent    .   106:109(3) ack 501 "ghi"
    +0     sent    .   109:112(3) ack 501 "JKL"
    +0     sent    P.  112:114(2) ack 501 "mn"
    +0     counter duplicateBytes 10
  `)
})

test('urgent data stays urgent, and is counted (RFC 9293 §3.8.5)', () => {
  drill(`
    +0     open
    +1     source  PU. 100:110(10) ack 301 urg 6
    +0     sent    PU. 100:110(10) ack 501 urg 6
    +1     source  PU. 100:110(10) ack 301 urg 6
    +0     counter urgentSegments 1
    +1     source  U.  110:120(10) ack 301 urg 15
    +0     sent    U.  110:120(10) ack 501 urg 15
    +0     source  P.  120:130(10) ack 301
    +0     sent    P.  120:130(10) ack 501
    +198   sent    PU. 100:110(10) ack 501 urg 6
    +0     sent    U.  110:120(10) ack 501 urg 15
    +0     sent    P.  120:130(10) ack 501
    +9     target  .   501:501(0) ack 130
    +0     pieces  0
  `)
})

test('when a segment is split, the parts up to the urgent pointer have URG', () => {
  drill(`
    +0     open
    +1     source  PU. 100:4100(4000) ack 301 urg 2000
    +0     sent    U.  100:1560(1460) ack 501 urg 2000
    +0     sent    U.  1560:3020(1460) ack 501 urg 540
    +0     sent    P.  3020:4100(1080) ack 501
  `)
})

test('segments captured out of order are sent in order, with their own headers', () => {
  drill(`
    +0     open
    +1     source  P.  120:130(10) ack 301 id 3
    +1     source  .   110:120(10) ack 301 id 2
    +0     nothing
    +1     source  .   100:110(10) ack 301 id 1
    +0     sent    .   100:110(10) ack 501 id 1
    +0     sent    .   110:120(10) ack 501 id 2
    +0     sent    P.  120:130(10) ack 501 id 3
  `)
})

test('a super-packet is split at the MSS, its IP ids count up, and only the last segment has PSH', () => {
  drill(`
    +0     open
    +1     source  P.  100:4100(4000) ack 301 id 65535
    +0     sent    .   100:1560(1460) ack 501 id 65535
    +0     sent    .   1560:3020(1460) ack 501 id 0
    +0     sent    P.  3020:4100(1080) ack 501 id 1
  `)
  drill(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9>
    +1     source  P.  100:3000(2900) ack 301 win 502 <ts 105 1>
    +0     sent    .   100:1548(1448) ack 501
    +0     sent    .   1548:2996(1448) ack 501
    +0     sent    P.  2996:3000(4) ack 501
  `)
})

test('a target with a smaller MSS gets smaller segments', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1460>
    +0     sent    S   99:99(0)
    +5     source  P.  100:1560(1460) ack 301 id 7
    +5     target  S.  500:500(0) ack 100 win 65535 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    +0     sent    .   100:1100(1000) ack 501 id 7
    +0     sent    P.  1100:1560(460) ack 501
    +1     source  P.  1560:3020(1460) ack 301
    +0     sent    .   1560:2560(1000) ack 501
    +0     sent    P.  2560:3020(460) ack 501
  `)
})

test('segments have at most 536 bytes if the target names no MSS, and -M limits them too', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1460>
    +0     sent    S   99:99(0)
    +5     target  S.  500:500(0) ack 100 win 65535
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
    +1     source  P.  100:700(600) ack 301
    +0     sent    .   100:636(536) ack 501
    +0     sent    P.  636:700(64) ack 501
  `)
  drill(
    `
    +0     open
    +1     source  P.  100:700(600) ack 301
    +0     sent    .   100:560(460) ack 501
    +0     sent    P.  560:700(140) ack 501
  `,
    { mtuBytes: 500 }
  )
})

test('sequence numbers wrap around', () => {
  drill(`
    +0     source  S   4294967290:4294967290(0) <mss 1460>
    +0     sent    S   4294967290:4294967290(0)
    +9     target  S.  4294967295:4294967295(0) ack 4294967291 win 65535 <mss 1460>
    +0     source  .   4294967291:4294967291(0) ack 301
    +0     sent    .   4294967291:4294967291(0) ack 0
    +0     source  .   4294967291:4294967291(0) ack 4294967200
    +0     source  .   4294967291:5(10) ack 4294967200
    +0     sent    .   4294967291:5(10) ack 0
    +0     source  P.  5:15(10) ack 4294967200
    +0     sent    P.  5:15(10) ack 0
    +9     target  P.  0:200(200) ack 15 win 65535
    +0     source  P.  15:25(10) ack 104
    +0     sent    P.  15:25(10) ack 200
    +9     target  .   200:200(0) ack 25 win 65535
    +0     counter deliveredBytes 30
  `)
})

test('even after a timeout, data that the target reported in a SACK block is not retransmitted', () => {
  drill(`
    +0     open <mss 1460,sackOK>
    +0     source  P.  100:4480(4380) ack 301 win 64240
    +0     sent    .   100:1560(1460)
    +0     sent    .   1560:3020(1460)
    +0     sent    P.  3020:4480(1460)
    +9     target  .   501:501(0) ack 100 win 65535 <sack 1560:3020>
    +191   sent    .   100:1560(1460)
    +9     target  .   501:501(0) ack 3020 win 65535 <>
    +0     sent    P.  3020:4480(1460)
    +9     target  .   501:501(0) ack 4480 win 65535
    +0     counter retransmissions 2
    +250   nothing
  `)
})

test('payload captured before the SYN-ACK is kept, however small the MSS of the SYN', () => {
  drill(`
    +0     source  S   99:99(0) win 64240 <mss 8,ts 100 0>
    +0     sent    S   99:99(0)
    +0     source  P.  100:110(10) ack 301 <ts 101 1>
    +0     pieces 1
    +9     target  S.  500:500(0) ack 100 win 65535 <mss 1460,ts 1 100>
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
  `)
})
