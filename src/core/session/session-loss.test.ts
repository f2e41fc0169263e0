import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test('unacknowledged data is retransmitted after the timeout of RFC 6298, with back-off', () => {
  drill(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9>
    +0     source  P.  100:110(10) ack 301 id 9 win 517 <ts 105 1>
    +0     sent    P.  100:110(10) ack 501 id 9 win 517 <ts 105 900>
    +200   sent    P.  100:110(10) ack 501 id 0 <ts 105 900>
    +400   sent    P.  100:110(10) ack 501
    +800   sent    P.  100:110(10) ack 501
    +1600  sent    P.  100:110(10) ack 501
    +1     target  .   501:501(0) ack 110 win 128 <ts 905 105>
    +0     counter retransmissions 4
    +0     source  P.  110:120(10) ack 301 win 517 <ts 110 1>
    +0     sent    P.  110:120(10) ack 501
    +200   sent    P.  110:120(10) ack 501
  `)
})

test('the retransmission timeout adapts to a slow target', () => {
  drill(`
    +0     open rtt 300
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +900   sent    P.  100:110(10) ack 501  // smoothed 300, variation 150: 300 + 4 × 150
    +10    target  .   501:501(0) ack 110 win 65535
  `)
})

test('three duplicate ACKs retransmit the first segment, and partial ACKs the next one', () => {
  drill(`
    +0     open <mss 1000>
    +0     source  P.  100:5100(5000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    .   1100:2100(1000) ack 501
    +0     sent    .   2100:3100(1000) ack 501
    +0     sent    .   3100:4100(1000) ack 501
    +0     sent    P.  4100:5100(1000) ack 501
    +20    target  .   501:501(0) ack 100 win 65535
    +0     target  .   501:501(0) ack 100 win 65535
    +0     nothing
    +0     target  .   501:501(0) ack 100 win 65535
    +0     sent    .   100:1100(1000) ack 501
    +0     target  .   501:501(0) ack 100 win 65535
    +0     nothing
    +20    target  .   501:501(0) ack 2100 win 65535
    +0     sent    .   2100:3100(1000) ack 501
    +20    target  .   501:501(0) ack 5100 win 65535
    +9999  nothing
    +0     counter retransmissions 2
  `)
})

test('a retransmission has only bytes that were sent before', () => {
  drillTcp(`
    +0     open <mss 1000> win 400
    +0     source  P.  100:1100(1000) ack 301
    +0     sent    .   100:500(400) ack 501
    +20    target  .   501:501(0) ack 100 win 400
    +0     target  .   501:501(0) ack 100 win 400
    +0     target  .   501:501(0) ack 100 win 400
    +0     sent    .   100:500(400) ack 501
    +20    target  .   501:501(0) ack 500 win 65535
    +0     sent    P.  500:1100(600) ack 501
    +20    target  .   501:501(0) ack 1100 win 65535
    +0     counter deliveredBytes 1000
  `)
})

test('an ACK of bytes that were never sent is answered, and otherwise ignored', () => {
  drillTcp(`
    +0     open request 10
    +5     target  .   501:501(0) ack 111 win 65535
    +0     sent    .   110:110(0) ack 501
    +0     dropped answerUnacceptable 1
    +0     counter deliveredBytes 0
    +5     target  .   501:501(0) ack 110 win 65535
    +0     counter deliveredBytes 10
  `)
})

test("only segments that the target's SACK blocks leave out are retransmitted (RFC 6675)", () => {
  drill(`
    +0     open <mss 1460,sackOK>
    +0     source  P.  100:5940(5840) ack 301 win 64240
    +0     sent    .   100:1560(1460)
    +0     sent    .   1560:3020(1460)
    +0     sent    .   3020:4480(1460)
    +0     sent    P.  4480:5940(1460)
    +9     target  .   501:501(0) ack 100 win 65535 <sack 1560:3020>
    +1     target  .   501:501(0) ack 100 win 65535 <sack 1560:3020 4480:5940>
    +0     nothing
    +1     target  .   501:501(0) ack 100 win 65535 <sack 1560:3020 4480:5940>
    +0     sent    .   100:1560(1460)
    +0     sent    .   3020:4480(1460)
    +9     target  .   501:501(0) ack 5940 win 65535
    +0     counter retransmissions 2
    +0     counter pendingBytes 0
    +250   nothing
  `)
})

test('segments that arrive beyond a gap are reported in SACK blocks, the latest first (RFC 2018)', () => {
  drillTcp(`
    +0     open <mss 1460,sackOK>
    +1     target  P.  601:701(100) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501 <nop,nop,sack 601:701>
    +1     target  P.  801:901(100) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501 <nop,nop,sack 801:901 601:701>
    +1     target  P.  501:601(100) ack 100 win 65535
    +1     target  P.  701:801(100) ack 100 win 65535
    +38    sent    .   100:100(0) ack 901 <>
  `)
})

test('a late segment of an earlier connection does not count as an answer beyond a gap', () => {
  drillTcp(`
    +0     open
    +5     target  P.  90000000:90000010(10) ack 100 win 65535
    +0     dropped answerUnacceptable 1
    +5     target  P.  521:531(10) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501
    +5     target  .   501:521(20) ack 100 win 65535
    +40    sent    .   100:100(0) ack 531
  `)
})

test('if a segment that is sent again ends with new bytes, the next request follows', () => {
  drillTcp(`
    +0     open win 600
    +0     source  P.  100:1100(1000) ack 301
    +0     sent    .   100:700(600)
    +9     target  .   501:501(0) ack 100 win 300
    +191   sent    .   100:400(300)
    +9     target  .   501:501(0) ack 400 win 65535
    +0     sent    P.  400:1100(700)
    +9     target  P.  501:541(40) ack 1100 win 65535
    +5     source  P.  1100:1110(10) ack 341
    +0     sent    P.  1100:1110(10) ack 541
  `)
})
