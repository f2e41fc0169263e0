/** How much may be sent: the target's window and the congestion window. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

/** Lines for segments of 1000 bytes that are sent at once. */
function flight(from: number, count: number): string {
  const line = (index: number) => `+0 sent . ${from + index * 1000}:${from + index * 1000 + 1000}(1000) ack 501`
  return Array.from({ length: count }, (_, index) => line(index)).join('\n')
}

test('the first flight has ten segments, and flights grow with ACKs (RFC 6928, RFC 5681 §3.1)', () => {
  const counters = drillTcp(`
    +0     open <mss 1000> rtt 10 ack +10
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
  drillTcp(`
    +0     open <mss 1000> rtt 10 ack +10
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

test('a first flight captured before the SYN-ACK is sent at once', () => {
  drill(`
    +0     source  S   99:99(0) win 64240 <mss 1000>
    +0     sent    S   99:99(0)
    +20    source  .   100:100(0) ack 301
    +0     source  .   100:15100(15000) ack 301
    +10    target  S.  500:500(0) ack 100 win 65535 <mss 1000>
    +0     sent    .   100:100(0) ack 501
    ${flight(100, 15)}
  `)
})

test("segments fit into the target's window, and the rest waits until the flight is acknowledged", () => {
  drillTcp(`
    +0     open win 1500
    +0     source  P.  100:3100(3000) ack 301
    +0     sent    .   100:1560(1460) ack 501
    +9     target  .   501:501(0) ack 1560 win 1500
    +0     sent    .   1560:3020(1460) ack 501
    +9     target  .   501:501(0) ack 3020 win 1500
    +0     sent    P.  3020:3100(80) ack 501
  `)
})

test('a closed window is probed with back-off until it opens (RFC 9293 §3.8.6.1)', () => {
  drillTcp(`
    +0     open request 10
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

test('when a closed window opens, the retransmission timeout is as before the probes (RFC 9293 §3.8.6.1)', () => {
  drillTcp(`
    +0     open request 10
    +20    target  .   501:501(0) ack 110 win 0
    +0     source  P.  110:120(10) ack 301
    +200   sent    .   109:109(0) ack 501
    +400   sent    .   109:109(0) ack 501
    +800   sent    .   109:109(0) ack 501
    +1     target  .   501:501(0) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 501
    +200   sent    P.  110:120(10) ack 501
    +1     target  .   501:501(0) ack 120 win 0       // closed again: probes start again
    +0     source  P.  120:130(10) ack 301
    +200   sent    .   119:119(0) ack 501
    +400   sent    .   119:119(0) ack 501
  `)
})

test('a window update without a new acknowledgment releases data at once (RFC 9293 §3.10.7.4)', () => {
  drillTcp(`
    +0     open <mss 1000> win 2000
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

test('when the target shrinks its window, unacknowledged data is retransmitted once per timeout (RFC 9293 §3.8.6)', () => {
  drill(`
    +0     open <mss 1000> win 2000
    +0     source  P.  100:2100(2000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    P.  1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 1100 win 0
    +200   sent    P.  1100:2100(1000) ack 501
    +400   sent    P.  1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 1100 win 2000
    +0     sent    P.  1100:2100(1000) ack 501
    +9     target  .   501:501(0) ack 2100 win 2000   // it had kept the bytes beyond its window
    +0     counter deliveredBytes 2000
    +999   nothing
  `)
})

test('an old segment does not change the window', () => {
  drillTcp(`
    +0     open request 10
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

test('an old segment that acknowledges more data updates the window from there', () => {
  drillTcp(`
    +0     open <mss 1000> win 2000
    +0     source  P.  100:4100(4000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    .   1100:2100(1000) ack 501
    +5     target  .   600:600(0) ack 100 win 2000
    +5     target  P.  501:600(99) ack 2100 win 500
    +0     sent    .   2100:2600(500) ack 600
    +0     nothing
  `)
})
