import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill } from '../sim/drill.ts'

/** Client and source at 301, session and target at 501; no options but the MSS. */
const OPEN = `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +0     source  .   100:100(0) ack 301 win 64240
`
/** The same with timestamps and window scaling. */
const OPEN_SCALED = `
    +0     source  S   99:99(0) win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460,sackOK,ts 900 100,wscale 9>
    +0     sent    .   100:100(0) ack 501
    +0     source  .   100:100(0) ack 301 win 502 <ts 101 1>
`

test("a captured segment goes to the target with the client's window, IP id, TTL, PSH and TSval", () => {
  drill(`${OPEN_SCALED}
    +5     source  P.  100:138(38) ack 301 win 517 id 4711 ttl 57 <ts 105 1>
    +0     sent    P.  100:138(38) ack 501 win 517 id 4711 ttl 64 <ts 105 900>
    +1     target  .   501:501(0) ack 138 win 128 <ts 905 105>
    +0     source  .   138:148(10) ack 301 win 520 id 4712 <ts 106 1>
    +0     sent    .   138:148(10) ack 501 win 520 id 4712 <ts 106 905>
  `)
})

test("TSecr is the target's last TSval, and TSval never goes back", () => {
  drill(`${OPEN_SCALED}
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

test('what the client repeats is counted as duplicate and not sent again', () => {
  drill(`${OPEN}
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

test('of octets that came twice the first stay', () => {
  drill(`${OPEN}
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

test('segments that came in disorder are sent in order, each as captured', () => {
  drill(`${OPEN}
    +1     source  P.  120:130(10) ack 301 id 3
    +1     source  .   110:120(10) ack 301 id 2
    +0     nothing
    +1     source  .   100:110(10) ack 301 id 1
    +0     sent    .   100:110(10) ack 501 id 1
    +0     sent    .   110:120(10) ack 501 id 2
    +0     sent    P.  120:130(10) ack 501 id 3
  `)
})

test('a super-packet is cut at the MSS, its IP ids count on, and only the last piece has PSH', () => {
  drill(`${OPEN}
    +1     source  P.  100:4100(4000) ack 301 id 65535
    +0     sent    .   100:1560(1460) ack 501 id 65535
    +0     sent    .   1560:3020(1460) ack 501 id 0
    +0     sent    P.  3020:4100(1080) ack 501 id 1
  `)
  drill(`${OPEN_SCALED}
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

test('a target that names no MSS gets 536 octets, and -M bounds ours', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1460>
    +0     sent    S   99:99(0)
    +5     target  S.  500:500(0) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501
    +1     source  P.  100:700(600) ack 301
    +0     sent    .   100:636(536) ack 501
    +0     sent    P.  636:700(64) ack 501
  `)
  drill(
    `${OPEN}
    +1     source  P.  100:700(600) ack 301
    +0     sent    .   100:560(460) ack 501
    +0     sent    P.  560:700(140) ack 501
  `,
    { mtuBytes: 500 }
  )
})

/** Lines for segments of 1000 octets that are sent at once. */
function flight(from: number, count: number): string {
  const line = (index: number) => `+0 sent . ${from + index * 1000}:${from + index * 1000 + 1000}(1000) ack 501`
  return Array.from({ length: count }, (_, index) => line(index)).join('\n')
}

/** The client's round trip is 20 ms, the copy's 10 ms. */
const OPEN_1000 = `
    +0     source  S   99:99(0) <mss 1000>
    +0     sent    S   99:99(0)
    +10    target  S.  500:500(0) ack 100 win 65535 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    +10    source  .   100:100(0) ack 301
`

test('the first flight has ten segments, and grows with acknowledgments (RFC 6928, RFC 5681 §3.1)', () => {
  const counters = drill(`${OPEN_1000}
    +0     source  .   100:10100(10000) ack 301
    ${flight(100, 10)}
    +5     source  .   11100:30100(19000) ack 301
    +6     source  .   10100:11100(1000) ack 301     // the first flight is over
    +4     target  .   501:501(0) ack 2100 win 65535
    ${flight(10100, 4)}
  `)
  assert.equal(counters.report().deliveredBytes, 2000)
})

test("the first flight is as large as the client's own", () => {
  drill(`${OPEN_1000}
    +0     source  .   100:14100(14000) ack 301
    ${flight(100, 14)}
    +9     source  .   14100:16100(2000) ack 301
    ${flight(14100, 2)}
    +2     source  .   16100:18100(2000) ack 301
    +0     nothing
    +9     target  .   501:501(0) ack 2100 win 65535
    ${flight(16100, 2)}
  `)
})

test('a first flight that was captured before the target answered goes at once', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1000>
    +0     sent    S   99:99(0)
    +20    source  .   100:100(0) ack 301
    +0     source  .   100:15100(15000) ack 301
    +10    target  S.  500:500(0) ack 100 win 65535 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    ${flight(100, 15)}
  `)
})

test("the target's window is respected, and what does not fit waits for the flight to be acknowledged", () => {
  drill(`
    +0     source  S   99:99(0) <mss 1460>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 1500 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +0     source  P.  100:3100(3000) ack 301
    +0     sent    .   100:1560(1460) ack 501
    +9     target  .   501:501(0) ack 1560 win 1500
    +0     sent    .   1560:3020(1460) ack 501
    +9     target  .   501:501(0) ack 3020 win 1500
    +0     sent    P.  3020:3100(80) ack 501
  `)
})

test('a closed window is probed with back-off until it opens (RFC 9293 §3.8.6.1)', () => {
  drill(`${OPEN}
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +20    target  .   501:501(0) ack 110 win 0
    +0     source  P.  110:130(20) ack 301
    +0     nothing
    +200   sent    .   109:109(0) ack 501
    +1     target  .   501:501(0) ack 110 win 0
    +399   sent    .   109:109(0) ack 501
    +1     target  .   501:501(0) ack 110 win 0
    +799   sent    .   109:109(0) ack 501
    +1     target  .   501:501(0) ack 110 win 5
    +0     sent    .   110:115(5) ack 501
    +1     target  .   501:501(0) ack 115 win 65535
    +0     sent    P.  115:130(15) ack 501
    +1     target  .   501:501(0) ack 130 win 65535
    +99999 nothing
  `)
})

test('what is sent into a window that has opened has the time-out of before the probes (RFC 9293 §3.8.6.1)', () => {
  drill(`${OPEN}
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +20    target  .   501:501(0) ack 110 win 0
    +0     source  P.  110:120(10) ack 301
    +200   sent    .   109:109(0) ack 501
    +400   sent    .   109:109(0) ack 501
    +800   sent    .   109:109(0) ack 501
    +1     target  .   501:501(0) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 501
    +200   sent    P.  110:120(10) ack 501
    +1     target  .   501:501(0) ack 120 win 0       // closed again: probes begin anew
    +0     source  P.  120:130(10) ack 301
    +200   sent    .   119:119(0) ack 501
    +400   sent    .   119:119(0) ack 501
  `)
})

test('a window update without a new acknowledgment lets octets go at once (RFC 9293 §3.10.7.4)', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1000>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 2000 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    +0     source  P.  100:5100(5000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    .   1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 2100 win 0
    +9     target  .   501:501(0) ack 2100 win 1000
    +0     sent    .   2100:3100(1000) ack 501
    +9     target  .   501:501(0) ack 2100 win 3000
    +0     sent    .   3100:4100(1000) ack 501
    +0     sent    P.  4100:5100(1000) ack 501
    +0     counter retransmissions 0
  `)
})

test('a window that the target takes back is sent into once at each time-out (RFC 9293 §3.8.6)', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1000>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 2000 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    +0     source  P.  100:2100(2000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    P.  1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 1100 win 0
    +200   sent    P.  1100:2100(1000) ack 501
    +400   sent    P.  1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 1100 win 2000
    +0     sent    P.  1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 2100 win 2000   // it had held what it had no room for
    +0     counter deliveredBytes 2000
    +999   nothing
  `)
})

test('an old segment does not move the window', () => {
  drill(`${OPEN}
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +5     target  P.  501:511(10) ack 110 win 65535
    +0     target  P.  511:521(10) ack 110 win 0
    +0     source  P.  110:120(10) ack 301
    +1     target  .   501:501(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 521
    +0     nothing
    +1     target  .   521:521(0) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 521
  `)
})

test('an old segment that acknowledges more says how large the window is from there on', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1000>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 2000 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    +0     source  P.  100:4100(4000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    .   1100:2100(1000) ack 501
    +5     target  .   600:600(0) ack 100 win 2000
    +5     target  P.  501:600(99) ack 2100 win 500
    +0     sent    .   2100:2600(500) ack 600
    +0     nothing
  `)
})

test('sequence numbers wrap around', () => {
  drill(`
    +0     source  S   4294967290:4294967290(0) <mss 1460>
    +0     sent    S   4294967290:4294967290(0)
    +9     target  S.  4294967295:4294967295(0) ack 4294967291 win 65535 <mss 1460>
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

test('a full pool drops new octets by name and keeps the books', () => {
  drill(
    `${OPEN}
    +0     source  P.  100:1100(1000) ack 301
    +0     sent    P.  100:1100(1000) ack 501
    +0     source  P.  1100:2100(1000) ack 301
    +0     sent    P.  1100:2100(1000) ack 501
    +0     source  P.  2100:3100(1000) ack 301
    +0     dropped poolFull 1
    +0     pieces 2
    +9     target  .   501:501(0) ack 2100 win 65535
    +0     pieces 0
    +0     source  P.  2100:3100(1000) ack 301
    +0     sent    P.  2100:3100(1000) ack 501
  `,
    { poolPages: 1 }
  )
})

test('after a time-out too, what the target has is not sent again', () => {
  drill(`
    +0     source  S   99:99(0) win 64240 <mss 1460,sackOK>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460,sackOK>
    +0     sent    .   100:100(0) ack 501
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

test('octets that come before the SYN-ACK are kept however small the segments are that the SYN asks for', () => {
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
