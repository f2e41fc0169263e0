/** Timestamps and window scaling (RFC 7323), and wrapping sequence numbers. */
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test('TSval continues where timestamps wrap, and never goes back (RFC 7323 §5.2)', () => {
  drill(`
    +0     source  S   99:99(0) win 64240 <mss 1460,ts 4294967290 0>
    +0     sent    S   99:99(0) <mss 1460,ts 4294967290 0>
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460,ts 4294967295 4294967290>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 <ts 4294967290 4294967295>
    +0     source  .   100:100(0) ack 301 win 502 <ts 4294967292 1>
    +0     source  P.  100:110(10) ack 301 win 502 <ts 4 1>
    +0     sent    P.  100:110(10) ack 501 <ts 4 4294967295>
    +9     target  P.  501:541(40) ack 110 win 65535 <ts 3 4>
    +40    sent    .   110:110(0) ack 541 <ts 4 3>
    +0     source  P.  110:120(10) ack 341 win 502 <ts 4294967295 1>
    +0     sent    P.  110:120(10) ack 541 <ts 4 3>
    +200   sent    P.  110:120(10) ack 541 <ts 4 3>
  `)
})

test('an answer with an old timestamp is discarded, and acknowledged (RFC 7323 §5.3)', () => {
  drillTcp(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9> win 1000
    +0     source  P.  100:110(10) ack 301 win 502 <ts 102 1>
    +0     sent    P.  100:110(10) ack 501
    +9     target  P.  501:541(40) ack 110 win 128 <ts 910 102>
    +40    sent    .   110:110(0) ack 541 <ts 102 910>
    +9     target  P.  541:581(40) ack 110 win 128 <ts 909 102>
    +0     sent    .   110:110(0) ack 541 <ts 102 910>
    +0     dropped answerUnacceptable 1
    +9     target  P.  541:581(40) ack 110 win 128 <ts 920 102>
    +40    sent    .   110:110(0) ack 581 <ts 102 920>
  `)
})

test("the target's windows are scaled by its own shift, except in its SYN-ACK (RFC 7323 §2.2)", () => {
  drillTcp(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9> win 1000
    +0     source  P.  100:1300(1200) ack 301 win 502 <ts 102 1>
    +0     sent    .   100:1100(1000) ack 501 win 502
    +9     target  .   501:501(0) ack 1100 win 1 <ts 901 102>
    +0     sent    P.  1100:1300(200) ack 501 win 502
    +9     target  .   501:501(0) ack 1300 win 1 <ts 902 102>
    +0     source  P.  1300:2000(700) ack 301 win 502 <ts 103 1>
    +0     sent    .   1300:1812(512) ack 501 win 502
  `)
})

test('windows are not scaled unless the client offered it, even if the target does (RFC 7323 §2.5)', () => {
  drillTcp(`
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460,sackOK,ts 900 100,wscale 9>
    +0     source  .   100:100(0) ack 301 win 64240
    +0     sent    .   100:100(0) ack 501 win 64240 <>
    +0     source  P.  100:1300(1200) ack 301 win 64240
    +0     sent    P.  100:1300(1200) ack 501 win 64240 <>
    +9     target  .   501:501(0) ack 1300 win 100
    +0     source  P.  1300:2000(700) ack 301 win 64240
    +0     sent    .   1300:1400(100) ack 501
    +5     target  P.  601:701(100) ack 1300 win 100
    +0     sent    .   1400:1400(0) ack 501 <>
  `)
})

test("a window that the client closes stays open at the target, whose answer may be longer than the source's", () => {
  drill(`
    +0     open <mss 1460,sackOK,ts 100 0,wscale 7> <mss 1460,sackOK,ts 900 100,wscale 9> win 1000
    +0     source  P.  100:110(10) ack 301 win 0 <ts 102 1>
    +0     sent    P.  100:110(10) ack 501 win 502
    +9     target  P.  501:541(40) ack 110 win 128 <ts 910 102>
    +40    sent    .   110:110(0) ack 541 win 502
  `)
})

test('sequence numbers wrap in payload, answers, SACK blocks, retransmissions and both FINs (RFC 9293 §3.4)', () => {
  drillTcp(`
    +0     source  S   4294967000:4294967000(0) win 64240 <mss 1000,sackOK>
    +0     sent    S   4294967000:4294967000(0)
    +20    target  S.  4294967200:4294967200(0) ack 4294967001 win 65535 <mss 1000,sackOK>
    +0     source  .   4294967001:4294967001(0) ack 301
    +0     sent    .   4294967001:4294967001(0) ack 4294967201
    +0     source  .   4294967001:4294967001(0) ack 4294967295
    +0     source  P.  4294967001:2705(3000) ack 4294967295
    +0     sent    .   4294967001:705(1000) ack 4294967201
    +0     sent    .   705:1705(1000) ack 4294967201
    +0     sent    P.  1705:2705(1000) ack 4294967201
    +20    target  .   4294967201:4294967201(0) ack 4294967001 win 65535 <sack 705:2705>
    +180   sent    .   4294967001:705(1000) ack 4294967201
    +20    target  .   4294967201:4294967201(0) ack 2705 win 65535
    +9     target  P.  105:205(100) ack 2705 win 65535
    +0     sent    .   2705:2705(0) ack 4294967201 <sack 105:205>
    +9     target  P.  4294967201:105(200) ack 2705 win 65535
    +0     source  F.  2705:2705(0) ack 299
    +0     sent    F.  2705:2705(0) ack 205
    +9     target  F.  205:205(0) ack 2706 win 65535
    +0     sent    .   2706:2706(0) ack 206
    +0     ended   none
    +0     counter deliveredBytes 3000
    +0     counter retransmissions 1
  `)
})
