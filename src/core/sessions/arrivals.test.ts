/** How connections begin: half-open ones, those whose SYN comes late or never, and those that were open before. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'
import { START } from '../../sim/drill/simulated-worker.ts'
import { Counter } from '../books/counters.ts'
import { type SourceSockets, SourceState } from '../selection/source-sockets.ts'

/** A source whose kernel always says the same. */
function says(state: SourceState, receivedBytes = Number.NaN): { readonly source: SourceSockets } {
  return { source: { stateOf: () => state, receivedBytes } }
}

const HALF_OPEN = `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +5     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
`

test('a connection that is half-open at the source stays half-open at the target, and is given up as there', () => {
  drillTcp(`${HALF_OPEN}
    +1000  target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +2000  target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +59994 nothing
    +1     sent    R.  100:100(0) ack 501
    +0     ended   notConnected
    +0     counter pendingBytes 0
    +0     sessions 0
  `)
})

test('the handshake is completed by the first packet of the client that is captured', () => {
  drill(`${HALF_OPEN}
    +9000  source  P.  100:110(10) ack 301
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
  `)
  drill(`${HALF_OPEN}
    +9000  source  F.  100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501
    +0     sent    F.  100:100(0) ack 501
  `)
})

test("if the client's acknowledgment is not captured, the source's kernel tells of it", () => {
  drillTcp(
    `${HALF_OPEN}
    +995   sent    .   100:100(0) ack 501
    +9000  sessions 1
  `,
    says(SourceState.Connected)
  )
  drillTcp(
    `${HALF_OPEN}
    +2995  sent    R.  100:100(0) ack 501     // a source that sends SYN cookies knows nothing before
    +0     ended   notConnected
  `,
    says(SourceState.None)
  )
})

test('a client that resets instead of acknowledging ends the half-open copy at once', () => {
  drill(`${HALF_OPEN}
    +1     source  R   100:100(0)
    +0     sent    R.  100:100(0) ack 501
    +0     ended   none
    +0     sessions 0
  `)
})

test('a half-open copy that the target resets connects again when the client has sent something', () => {
  drill(`${HALF_OPEN}
    +1     target  R.  501:501(0) ack 100
    +1     source  .   100:100(0) ack 301
    +1     source  P.  100:110(10) ack 301
    +998   sent    S   99:99(0)
    +5     target  S.  700:700(0) ack 100 win 65535 <mss 1460>
    +0     sent    .   100:100(0) ack 701
    +0     sent    P.  100:110(10) ack 701
  `)
})

test('beyond the limit of half-open connections, SYNs wait for their clients', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460,sackOK,ts 7 0,wscale 3>
    +0     sent    S   99:99(0)
    +0     source  S   799:799(0) win 64240 ttl 57 <mss 1400,sackOK,ts 8 0,wscale 4> from 10.0.0.1:40002
    +0     dropped synHeld 1
    +30    nothing
    +0     source  .   800:800(0) ack 301 win 500 <ts 9 0> from 10.0.0.1:40002
    +0     sent    S   799:799(0) win 64240 ttl 57 <mss 1400,sackOK,ts 8 0,wscale 4> from 10.0.0.1:40002 to 10.0.0.3:8080
    +5     target  S.  500:500(0) ack 100 win 65535 <mss 1460,sackOK,ts 1 7,wscale 3>
    +0     source  .   100:100(0) ack 301 win 500 <ts 9 0>
    +0     sent    .   100:100(0) ack 501
    +0     sessions 2
  `,
    { halfOpenMax: 1 }
  )
})

test('with --acks drop, a connection begins at its first payload', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     dropped synHeld 1
    +30    source  P.  100:110(10) ack 301
    +0     sent    S   99:99(0)
    +5     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
  `,
    { isWithoutAcks: true }
  )
})

test('a connection that was open before is joined only at a request that certainly begins', () => {
  drill(`
    +0     source  P.  100:110(10) ack 301    // the middle of a value: the client waits for no answer
    +100   source  P.  110:120(10) ack 301
    +100   source  P.  120:130(10) ack 301
    +1     source  P.  120:130(10) ack 301
    +99    nothing
    +0     dropped notJoined 4
    +0     counter sessionsJoined 0
    +9     source  P.  130:140(10) ack 341
    +9     source  P.  140:150(10) ack 381
    +9     nothing
    +0     dropped notJoined 6
    +0     source  P.  150:160(10) ack 421    // it takes turns with its server
    +0     sent    S   149:149(0)
    +0     counter sessionsJoined 1
    +0     counter duplicateBytes 0
  `)
})

test('bytes that end without PSH, or a hole, are followed by no certain request', () => {
  drill(`
    +0     source  .   100:110(10) ack 301
    +200   nothing
    +1     source  P.  110:120(10) ack 341
    +1     source  P.  125:135(10) ack 381
    +0     dropped notJoined 3
    +0     sessions 0
  `)
})

test('after -k, a connection goes on where its next request certainly begins', () => {
  drill(
    `
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +4960  sent    R.  110:110(0) ack 541
    +0     ended   timedOut
    +4000  source  P.  110:120(10) ack 341
    +0     sent    S   109:109(0)
  `,
    { keepAliveMs: 5000 }
  )
})

test('a client that pauses within a request is not joined there, although the server pushes', () => {
  drill(
    `
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +4960  sent    R.  110:110(0) ack 541
    +0     ended   timedOut
    +4000  source  P.  110:120(10) ack 301    // the rest of the request
    +200   source  P.  120:130(10) ack 341    // after a push
    +200   source  P.  130:140(10) ack 341
    +200   source  P.  140:150(10) ack 381
    +0     nothing
    +200   dropped notJoined 4
  `,
    { keepAliveMs: 5000 }
  )
})

test('packets that overtake their SYN wait for it', () => {
  drill(`
    +0     source  .   100:100(0) ack 301
    +0     source  P.  110:120(10) ack 301
    +1     source  P.  100:110(10) ack 301
    +1     nothing
    +190   source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +5     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
    +0     sent    P.  110:120(10) ack 501
    +0     counter sessionsJoined 0
    +0     dropped notJoined 0
  `)
})

test('a connection whose SYN was not captured begins if the source has received nothing else', () => {
  const script = `
    +0     source  P.  110:120(10) ack 301
    +1     source  .   100:110(10) ack 301`
  drill(
    `${script}\n    +199   sent    S   99:99(0)\n    +0     counter sessionsJoined 1`,
    says(SourceState.Connected, 20)
  )
  drill(`${script}\n    +199   nothing\n    +0     dropped notJoined 2`, says(SourceState.Connected, 21))
})

test('where the server speaks first, open connections are not joined', () => {
  const greeted = `
    +0     open
    +5     target  P.  501:541(40) ack 100 win 65535
    +1     source  P.  100:110(10) ack 341    // after the greeting
    +0     sent    P.  100:110(10) ack 541
    +5     target  P.  541:581(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 581
    +0     source  P.  100:110(10) ack 301 from 10.0.0.1:40002
    +200   nothing
    +0     source  P.  110:120(10) ack 341 from 10.0.0.1:40002`
  const counters = drill(`${greeted}\n    +0     nothing`)
  assert.equal(counters.get(Counter.sessionsJoined), 0)
  assert.equal(counters.allDroppedBytes(), 20)
})

test('after a first request that was not captured, its answer does not mean that the server speaks first', () => {
  drill(`
    +0     open
    +1     source  P.  110:120(10) ack 341    // 100:110 is not captured
    +9     source  P.  120:130(10) ack 381
    +1991  sent    R.  100:100(0) ack 501
    +0     ended   hole
    +1000  sent    S   119:119(0)
  `)
})

test('where the server speaks first, a connection that breaks is not continued in mid-stream', () => {
  drill(`
    +0     open
    +5     target  P.  501:541(40) ack 100 win 65535
    +1     source  P.  100:110(10) ack 341
    +0     sent    P.  100:110(10) ack 541
    +5     target  P.  541:581(40) ack 110 win 65535
    +1     source  P.  110:120(10) ack 381
    +0     sent    P.  110:120(10) ack 581
    +1     target  R   581:581(0)
    +0     ended   targetReset
    +0     sessions 0
    +1     source  P.  120:130(10) ack 421
    +0     dropped afterEnd 1
  `)
})

test('an acknowledgment that the source does not accept completes no handshake', () => {
  let state: SourceState = SourceState.HalfOpen
  const source = { stateOf: () => state, receivedBytes: 0 }
  drillTcp(
    `${HALF_OPEN}
    +1     source  P.  100:110(10) ack 777    // by a stranger
    +9000  nothing
  `,
    { source }
  )
  const soon = START + 10
  const late = { stateOf: (_: unknown, now: number) => (now < soon ? state : SourceState.Connected), receivedBytes: 0 }
  drillTcp(
    `${HALF_OPEN}
    +1     source  .   100:100(0) ack 301     // captured before the kernel has processed it
    +5     sent    .   100:100(0) ack 501
  `,
    { source: late }
  )
  state = SourceState.None
  drillTcp(
    `${HALF_OPEN}
    +1     source  P.  100:110(10) ack 777    // by a stranger
    +2994  sent    R.  100:100(0) ack 501
    +0     ended   notConnected
  `,
    { source }
  )
  drillTcp(
    `${HALF_OPEN}
    +1     source  P.  100:110(10) ack 301    // a short connection, over before it was captured
    +0     source  F.  110:110(0) ack 341
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
  `,
    { source }
  )
  drillTcp(
    `${HALF_OPEN}
    +1     source  P.  100:110(10) ack 301    // the same, ended by a reset
    +30    source  R.  110:110(0) ack 341
    +8     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
  `,
    { source }
  )
  drill(
    `
    +0     source  P.  90:100(10) ack 261
    +200   source  P.  100:110(10) ack 301
    +0     dropped notJoined 2
    +0     sessions 0
  `,
    { source }
  )
})

test('a SYN and an ACK by a stranger do not end a connection that goes on', () => {
  drill(
    `
    +0     open request 10 answer 40
    +9     source  S   7000:7000(0) win 64240 <mss 1460>
    +1     source  .   7001:7001(0) ack 999
    +0     nothing
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     sessions 1
  `,
    says(SourceState.Connected, 10)
  )
})
