/** Answers captured in one turn: sessions must act the same whether intercept sends one record each or one for all. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'
import { Counter } from '../books/counters.ts'
import { Sampling } from '../selection/sampling.ts'
import { workerOf } from '../selection/worker-share.ts'

const FLIGHT = `
    +0     source  P.  100:5100(5000) ack 301
    +0     sent    .   100:1100(1000) ack 501
    +0     sent    .   1100:2100(1000) ack 501
    +0     sent    .   2100:3100(1000) ack 501
    +0     sent    .   3100:4100(1000) ack 501
    +0     sent    P.  4100:5100(1000) ack 501
`

test('three duplicate ACKs in one turn retransmit the first segment', () => {
  drill(`
    +0     open <mss 1000>${FLIGHT}
    +20    target+ .   501:501(0) ack 1100 win 65535
    +0     target+ .   501:501(0) ack 1100 win 65535
    +0     target+ .   501:501(0) ack 1100 win 65535
    +0     target  .   501:501(0) ack 1100 win 65535
    +0     sent    .   1100:2100(1000) ack 501
    +0     counter retransmissions 1
  `)
})

test('two duplicate ACKs in one turn and one in the next make three', () => {
  drill(`
    +0     open <mss 1000>${FLIGHT}
    +20    target  .   501:501(0) ack 1100 win 65535
    +1     target+ .   501:501(0) ack 1100 win 65535
    +0     target  .   501:501(0) ack 1100 win 65535
    +0     nothing
    +1     target  .   501:501(0) ack 1100 win 65535
    +0     sent    .   1100:2100(1000) ack 501
  `)
})

test('an ACK followed by an answer, and a window update, are not duplicate ACKs', () => {
  drill(`
    +0     open <mss 1000>${FLIGHT}
    +20    target+ .   501:501(0) ack 1100 win 65535
    +0     target+ P.  501:511(10) ack 1100 win 65535
    +0     target+ .   511:511(0) ack 1100 win 65000
    +0     target+ .   511:511(0) ack 1100 win 64000
    +0     target  .   511:511(0) ack 1100 win 63000
    +40    sent    .   5100:5100(0) ack 511
    +0     counter retransmissions 0
  `)
})

test('if the window changes several times in one turn, the last value counts', () => {
  drillTcp(`
    +0     open <mss 1000> request 1000
    +20    target+ .   501:501(0) ack 1100 win 0
    +0     target  .   501:501(0) ack 1100 win 5000
    +0     source  P.  1100:2100(1000) ack 301
    +0     sent    P.  1100:2100(1000) ack 501
    +20    target+ .   501:501(0) ack 2100 win 5000
    +0     target  .   501:501(0) ack 2100 win 0
    +0     source  P.  2100:3100(1000) ack 301
    +0     nothing
  `)
})

test('a gap in the answer is reported in SACK blocks', () => {
  drillTcp(
    `
    +0     open <mss 1000,sackOK> request 10
    +20    target+ .   501:1501(1000) ack 110 win 65535
    +0     target+ .   2501:3501(1000) ack 110 win 65535
    +0     target+ .   3501:4501(1000) ack 110 win 65535
    +0     target  P.  5501:6501(1000) ack 110 win 65535
    +0     sent    .   110:110(0) ack 1501 <sack 2501:4501>
    +0     sent    .   110:110(0) ack 1501 <sack 5501:6501 2501:4501>
  `,
    { channelVersion: 2 }
  )
})

test('three segments beyond a gap trigger three duplicate ACKs if SACK is not in use', () => {
  drillTcp(
    `
    +0     open <mss 1000> request 10
    +20    target+ .   1501:2501(1000) ack 110 win 65535
    +0     target+ .   2501:3501(1000) ack 110 win 65535
    +0     target  P.  3501:4501(1000) ack 110 win 65535
    +0     sent    .   110:110(0) ack 501
    +0     sent    .   110:110(0) ack 501
    +0     sent    .   110:110(0) ack 501
  `,
    { channelVersion: 2 }
  )
})

test('bytes that the target retransmits in the same turn are acknowledged at once', () => {
  drill(`
    +0     open <mss 1000> request 10
    +20    target+ P.  501:511(10) ack 110 win 65535
    +0     target  P.  501:511(10) ack 110 win 65535
    +0     sent    .   110:110(0) ack 511
  `)
})

test('an answer is complete only if its last segment has PSH', () => {
  drill(`
    +0     open <mss 1000> request 10
    +1     source  P.  110:120(10) ack 3301
    +20    target+ P.  501:1501(1000) ack 110 win 65535
    +0     target  .   1501:2501(1000) ack 110 win 65535
    +0     sent    .   110:110(0) ack 2501
    +100   nothing
    +0     target+ .   2501:2601(100) ack 110 win 65535
    +0     target  P.  2601:2701(100) ack 110 win 65535
    +40    sent    .   110:110(0) ack 2701
    +160   sent    P.  110:120(10) ack 2701    // silent for twice the longest pause of the answer
    +0     counter epochsQuiet 1
  `)
})

test('an answer and its FIN in one turn end the connection', () => {
  drill(`
    +0     open <mss 1000> request 10
    +1     source  F.  110:110(0) ack 401
    +20    target+ .   501:551(50) ack 110 win 65535
    +0     target+ P.  551:601(50) ack 110 win 65535
    +0     target  F.  601:601(0) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 602
    +20    target  .   602:602(0) ack 111 win 65535
    +0     ended   none
  `)
})

test('if another tcpcopy has its port, a session moves to another port and sends nothing more from the old one', () => {
  const counters = drillTcp(`
    +0     source  S   99:99(0) id 7 win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
    +0     sent    S   99:99(0) id 7 <mss 1460,sackOK,ts 100 0,wscale 7> from 10.0.0.1:40001 to 10.0.0.3:8080
    +1     source  .   100:100(0) ack 301 <ts 101 1>
    +1     source  P.  100:110(10) ack 301 <ts 101 1>
    +0     taken   10.0.0.1:40001
    +0     sent    S   99:99(0) <mss 1460,sackOK,ts 100 0,wscale 7> from 10.0.0.1:9281 to 10.0.0.3:8080
    +0     ended   portTaken
    +1     target  .   800:800(0) ack 5000 win 500
    +1     target  S.  500:500(0) ack 100 win 65535 <mss 1460> from 10.0.0.3:8080 to 10.0.0.1:9281
    +0     sent    .   100:100(0) ack 501 from 10.0.0.1:9281 to 10.0.0.3:8080
    +0     sent    P.  100:110(10) ack 501 from 10.0.0.1:9281 to 10.0.0.3:8080
    +0     dropped answerNoSession 1
    +0     counter portsMoved 1
    +1     taken   10.0.0.1:9281
    +0     nothing
    +1     target  .   501:501(0) ack 110 win 65535 from 10.0.0.3:8080 to 10.0.0.1:9281
    +0     sessions 1
  `)
  assert.equal(counters.get(Counter.deliveredBytes), 10)
})

test('a port that another tcpcopy has is never answered for, even if no other is free', () => {
  const workers = 65_536
  const sampling = new Int32Array(Sampling.length)
  const options = { share: { worker: workerOf(40_001, workers), workers, sampling } } // 40001 is its only port
  drillTcp(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0) from 10.0.0.1:40001 to 10.0.0.3:8080
    +0     taken   10.0.0.1:40001
    +0     ended   portTaken
    +1     source  R   100:100(0)
    +0     sessions 0
    +1     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     nothing
  `,
    options
  )
})
