/** Paths to the target that drop large packets without an ICMP message. */
import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'

/** The path drops packets of more than 1000 bytes. */
const BLACK_HOLE = `
    +0     open
    +0     source  P.  100:1560(1460) ack 301
    +0     sent    P.  100:1560(1460) ack 501
    +200   sent    P.  100:1560(1460) ack 501
    +400   sent    .   100:830(730) ack 501
    +20    target  .   501:501(0) ack 830 win 65535
    +0     sent    P.  830:1560(730) ack 501
    +20    target  .   501:501(0) ack 1560 win 65535
`

/** Ten seconds later the full size is tried. */
const RAISED = `${BLACK_HOLE}
    +10000 source  P.  1560:1570(10) ack 301
    +0     sent    P.  1560:1570(10) ack 501
    +20    target  .   501:501(0) ack 1570 win 65535
    +0     source  P.  1570:3030(1460) ack 301
    +0     sent    P.  1570:3030(1460) ack 501
`

test('a large segment that times out twice is sent in halves (RFC 8899 §4.3)', () => {
  drill(`${BLACK_HOLE}
    +0     counter segmentsHalved 1
    +0     source  P.  1560:3020(1460) ack 301
    +0     sent    .   1560:2290(730) ack 501
    +0     sent    P.  2290:3020(730) ack 501
    +20    target  .   501:501(0) ack 3020 win 65535
    +0     counter deliveredBytes 2920
    +999   nothing
  `)
})

test('segments are halved down to the size that every path supports (RFC 9293 §3.7.1), and no further', () => {
  drill(`
    +0     open <mss 1460,ts 100 0> <mss 1460,ts 1 100>
    +0     source  P.  100:1548(1448) ack 301 win 502 <ts 101 1>
    +0     sent    P.  100:1548(1448) ack 501
    +200   sent    P.  100:1548(1448) ack 501
    +400   sent    .   100:824(724) ack 501
    +800   sent    .   100:824(724) ack 501
    +1600  sent    .   100:624(524) ack 501
    +3200  sent    .   100:624(524) ack 501
    +6400  sent    .   100:624(524) ack 501
    +20    target  .   501:501(0) ack 624 win 65535 <ts 2 101>
    +0     sent    .   624:1148(524) ack 501
    +0     sent    P.  1148:1548(400) ack 501
    +0     counter segmentsHalved 2
  `)
})

test('segments keep their size if they arrived and only their ACKs were lost', () => {
  drill(`
    +0     open
    +0     source  P.  100:3020(2920) ack 301
    +0     sent    .   100:1560(1460) ack 501
    +0     sent    P.  1560:3020(1460) ack 501
    +200   sent    .   100:1560(1460) ack 501
    +400   sent    .   100:830(730) ack 501
    +20    target  .   501:501(0) ack 3020 win 65535
    +0     source  P.  3020:4480(1460) ack 301
    +0     sent    P.  3020:4480(1460) ack 501
  `)
})

test('a small segment that times out does not reduce the segment size', () => {
  drill(`
    +0     open
    +0     source  P.  100:800(700) ack 301
    +0     sent    P.  100:800(700) ack 501
    +200   sent    P.  100:800(700) ack 501
    +400   sent    P.  100:800(700) ack 501
    +800   sent    P.  100:800(700) ack 501
    +20    target  .   501:501(0) ack 800 win 65535
    +0     source  P.  800:2260(1460) ack 301
    +0     sent    P.  800:2260(1460) ack 501
    +0     counter segmentsHalved 0
  `)
})

test('the full size is tried again later, and given up at its first timeout (RFC 8899 §5.2)', () => {
  drill(`${RAISED}
    +200   sent    .   1570:2300(730) ack 501
    +20    target  .   501:501(0) ack 2300 win 65535
    +0     sent    P.  2300:3030(730) ack 501
    +20    target  .   501:501(0) ack 3030 win 65535
    +0     counter segmentsHalved 2
    +15000 source  P.  3030:3040(10) ack 301
    +0     sent    P.  3030:3040(10) ack 501
    +20    target  .   501:501(0) ack 3040 win 65535
    +0     source  P.  3040:4500(1460) ack 301    // the next attempt is after twice as long
    +0     sent    .   3040:3770(730) ack 501
    +0     sent    P.  3770:4500(730) ack 501
  `)
})

test('the full size stays once it is delivered', () => {
  drill(`${RAISED}
    +20    target  .   501:501(0) ack 3030 win 65535
    +0     source  P.  3030:4490(1460) ack 301
    +0     sent    P.  3030:4490(1460) ack 501
    +200   sent    P.  3030:4490(1460) ack 501
    +400   sent    .   3030:3760(730) ack 501
  `)
})
