import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'
import { Drop } from '../books/drop.ts'

test("the handshake carries the client's address, sequence number, options, window, TTL and DSCP", () => {
  drill(`
    +0     source  S   99:99(0)  win 64240 ttl 57 tos 184 id 4711 <mss 1460,sackOK,ts 100 0,nop,wscale 7>
    +0     sent    S   99:99(0)  win 64240 ttl 57 tos 184 <mss 1460,sackOK,TS val 100 ecr 0,wscale 7> from 10.0.0.1:40001 to 10.0.0.3:8080
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1400,sackOK,ts 900 100,nop,wscale 9>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 ttl 57 tos 184 id 0 <TS val 100 ecr 900>
    +0     counter synAcks 1
    +0     sessions 1
  `)
})

test('the copied SYN has only options that sessions support, and no ECN', () => {
  drill(`
    +0     source  SEW 99:99(0) win 1024 tos 3 <mss 536,nop,nop,ts 5 0>
    +0     sent    S   99:99(0) tos 0 <mss 536,ts 5 0>
  `)
  drill(`
    +0     source  S   99:99(0) win 1024
    +0     sent    S   99:99(0) <>
  `)
})

test('the SYN is retransmitted with back-off until the target answers', () => {
  drill(`
    +0     source  S   99:99(0) <mss 1460,ts 100 0>
    +0     sent    S   99:99(0)
    +1000  sent    S   99:99(0) <mss 1460,ts 100 0>
    +2000  sent    S   99:99(0)
    +4000  sent    S   99:99(0)
    +8000  sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 <mss 1460,ts 7 100>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 <ts 100 7>
    +60000 nothing
    +0     counter synsSent 5
  `)
})

test('a session that the target never answers times out and frees all it held', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  .   100:100(0) ack 301
    +0     source  P.  100:110(10) ack 301
    +1000  sent    S   99:99(0)
    +2000  sent    S   99:99(0)
    +2000  sent    R   100:100(0)
    +0     ended   unanswered
    +0     counter sessionsTimedOut 1
    +0     counter pendingBytes 0
    +0     sessions 0
    +0     pieces 0
  `,
    { timeoutMs: 5000 }
  )
})

test('after a refusal the SYN is sent again, and captured payload waits', () => {
  drill(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  P.  100:110(10) ack 301
    +20    target  R.  0:0(0) ack 100
    +980   sent    S   99:99(0)
    +1     target  R.  0:0(0) ack 100
    +0     counter refusals 2
    +1999  sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
  `)
})

test('a session ends if the target refuses it for too long', () => {
  const counters = drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  P.  100:110(10) ack 301
    +20    target  R.  0:0(0) ack 100
    +980   sent    S   99:99(0)
    +1000  sent    R   100:100(0)
    +0     ended   targetRefused
    +0     sessions 0
    +1     source  P.  110:120(10) ack 301
    +0     dropped afterEnd 1
  `,
    { timeoutMs: 2000 }
  )
  assert.equal(counters.allDroppedBytes(), 20)
})

test('only a SYN-ACK that acknowledges this SYN opens the session, and only such a reset refuses it (RFC 9293 §3.10.7.3)', () => {
  drillTcp(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 99
    +0     sent    R   99:99(0)
    +1     target  S.  500:500(0) ack 101
    +0     sent    R   101:101(0)
    +1     target  S   500:500(0)
    +1     target  R.  0:0(0) ack 99
    +1     target  R   0:0(0)
    +1     target  .   500:500(0) ack 100      // a late packet, unless the SYN was retransmitted
    +0     dropped answerUnacceptable 6
    +0     nothing
    +1     target  S.  600:600(0) ack 100
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 601
  `)
})

test('a retransmitted SYN-ACK is acknowledged again', () => {
  drill(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
    +900   target  S.  500:500(0) ack 100
    +0     sent    .   100:100(0) ack 501
  `)
})

test('options missing from the SYN-ACK are not used', () => {
  drill(`
    +0     source  S   99:99(0)  win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 8000
    +0     source  .   100:100(0) ack 301 win 502 <ts 101 1>
    +0     sent    .   100:100(0) ack 501 win 64256 <>
    +0     source  P.  100:110(10) ack 301 win 600 <ts 101 1>
    +0     sent    P.  100:110(10) ack 501 win 65535 <>
  `)
})

test('a SYN that the client retransmits is not copied again', () => {
  drill(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +500   source  S   99:99(0)
    +0     dropped duplicate 1
    +0     nothing
    +10    target  S.  500:500(0) ack 100
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
    +500   source  S   99:99(0)
    +0     nothing
  `)
})

test('payload of a SYN is sent after the handshake, without waiting for an answer', () => {
  drill(`
    +0     source  S   99:109(10)  <mss 1460>
    +0     sent    S   99:99(0)
    +5     source  S   99:109(10)  <mss 1460>
    +5     source  .   110:110(0) ack 301
    +20    target  S.  500:500(0) ack 100 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +0     sent    .   100:110(10) ack 501
    +5     target  .   501:501(0) ack 110
    +0     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +5     target  P.  501:541(40) ack 120
    +0     source  P.  120:130(10) ack 341
    +0     sent    P.  120:130(10) ack 541
    +0     counter duplicateBytes 10
  `)
})

test('with -c, clients appear at the target with addresses of the range, and never with the same port', () => {
  drillTcp(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0) from 192.168.9.1:40001 to 10.0.0.3:8080
    +1     target  S.  500:500(0) ack 100 to 192.168.9.1:40001
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 from 192.168.9.1:40001
    +0     source  S   777:777(0) from 10.0.0.77:40001
    +0     sent    S   777:777(0) from 192.168.9.1:40002
    +1     target  S.  900:900(0) ack 778 to 192.168.9.1:40002
    +0     source  .   778:778(0) ack 301 from 10.0.0.77:40001
    +0     sent    .   778:778(0) ack 901 from 192.168.9.1:40002
    +1     target  S.  500:500(0) ack 100
    +0     dropped answerNoSession 1
  `,
    { ranges: [{ first: 0xc0a80901 | 0, count: 1 }] }
  )
})

test('packets that no -x maps, and sessions beyond the limit, are dropped and counted', () => {
  drill(
    `
    +0     source  S   99:99(0) to 10.0.0.2:81
    +0     dropped notMapped 1
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  S   99:99(0) from 10.0.0.1:40002
    +0     dropped tableFull 1
    +0     source  P.  80:90(10) ack 221 from 10.0.0.1:40003
    +200   source  P.  90:100(10) ack 261 from 10.0.0.1:40003
    +0     source  P.  100:110(10) ack 301 from 10.0.0.1:40003
    +0     source  P.  110:120(10) ack 341 from 10.0.0.1:40003
    +0     dropped tableFull 2
  `,
    { sessionsMax: 1 }
  )
})

test('an older connection that the target still has on the port is reset (RFC 9293 §3.10.7.3)', () => {
  drillTcp(`
    +0     source  S   99:99(0) <mss 1460,ts 100 0>
    +0     sent    S   99:99(0)
    +1     target  .   7000:7000(0) ack 5000 <ts 7 8>
    +0     sent    R   5000:5000(0)
    +999   sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
  `)
})

test('an older connection is reset even if its challenge ACK acknowledges our SYN', () => {
  drillTcp(`
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  P.  100:110(10) ack 301
    +1     target  .   501:501(0) ack 100 win 65535
    +999   sent    S   99:99(0)
    +1     target  .   501:501(0) ack 100 win 65535
    +0     sent    R   100:100(0)
    +1999  sent    S   99:99(0)
    +1     target  S.  900:900(0) ack 100 win 65535
    +0     sent    .   100:100(0) ack 901
    +0     sent    P.  100:110(10) ack 901
  `)
})

test('a SYN with FIN or RST neither starts nor ends a session', () => {
  const counters = drill(`
    +0     source  SF  99:99(0)
    +0     source  SR  99:99(0)
    +0     source  SF. 99:109(10) ack 301
    +0     sessions 0
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 65535
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
    +0     source  SF  7000:7000(0)
    +0     sessions 1
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +0     dropped badFlags 4
  `)
  assert.equal(counters.droppedBytes(Drop.BadFlags), 10)
})
