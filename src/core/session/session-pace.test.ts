import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

const MEASURED = { roundTripMs: undefined }

/** The client's round trip to the source is 100 ms, the copy's to the target 1 ms. */
const FAR = `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     nothing
    +99    source  .   100:100(0) ack 301 win 64240
    +0     sent    .   100:100(0) ack 501
`

const REQUEST = `
    +0     source  P.  100:110(10) ack 301 win 64240
    +0     sent    P.  100:110(10) ack 501
`

function drillFar(script: string): void {
  drillTcp(FAR + script, MEASURED)
}

test("the SYN-ACK is acknowledged when the client's ACK is captured", () => {
  drillFar('')
})

test('answers are acknowledged as late as by a distant client', () => {
  drillFar(`${REQUEST}
    +1     target  .   501:1961(1460) ack 110 win 65535
    +1     target  .   1961:3421(1460) ack 110 win 65535
    +10    target  P.  3421:4881(1460) ack 110 win 65535
    +0     nothing
    +89    sent    .   110:110(0) ack 3421
    +50    sent    .   110:110(0) ack 4881
  `)
})

test('the next request acknowledges everything, since the client had read it', () => {
  drillFar(`${REQUEST}
    +1     target  P.  501:601(100) ack 110 win 65535
    +98    source  P.  110:120(10) ack 401 win 64240
    +0     sent    P.  110:120(10) ack 601
    +9     target  .   601:601(0) ack 120 win 65535
    +200   nothing
  `)
})

test('if the target retransmits, it is acknowledged at once, and sooner from then on', () => {
  drillFar(`${REQUEST}
    +1     target  P.  501:3421(2920) ack 110 win 65535
    +20    target  P.  501:1961(1460) ack 110 win 65535
    +0     sent    .   110:110(0) ack 3421
    +9     target  P.  3421:6341(2920) ack 110 win 65535
    +49    sent    .   110:110(0) ack 6341
  `)
})

test('data beyond a gap is reported at once, with everything before the gap acknowledged', () => {
  drillTcp(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460,sackOK>
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 65535 <mss 1460,sackOK>
    +99    source  .   100:100(0) ack 301 win 64240
    +0     sent    .   100:100(0) ack 501
    +1     target  P.  501:601(100) ack 100 win 65535
    +1     target  P.  701:801(100) ack 100 win 65535
    +0     sent    .   100:100(0) ack 601 <nop,nop,sack 701:801>
  `,
    MEASURED
  )
})

test('-R overrides the measured round trip', () => {
  drill(
    `
    +0     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   100:100(0) ack 301 win 64240
    +49    sent    .   100:100(0) ack 501
  `,
    { roundTripMs: 50 }
  )
})

test("the last ACK covers the target's FIN, since no other follows", () => {
  drillFar(`
    +0     source  F.  100:100(0) ack 301 win 64240
    +0     sent    F.  100:100(0) ack 501
    +1     target  F.  501:501(0) ack 101 win 65535
    +0     sent    .   101:101(0) ack 502
    +0     ended   none
    +0     sessions 0
  `)
})

test('a target does not count as quiet while it waits for a delayed ACK', () => {
  drillFar(`${REQUEST}
    +1     target  P.  501:3421(2920) ack 110 win 65535
    +1     source  P.  110:120(10) ack 15000 win 64240
    +90    nothing
    +8     sent    .   110:110(0) ack 3421
  `)
})

test('if an ACK leaves late, the target does not count as quiet until it has received the ACK', () => {
  drillFar(`${REQUEST}
    +1     target  P.  501:3421(2920) ack 110 win 65535
    +1     source  F.  110:110(0) ack 15000 win 64240
    +400   stall
    +0     sent    .   110:110(0) ack 3421
    +198   nothing
    +2     sent    F.  110:110(0) ack 3421
  `)
})

test('without ACKs of clients the first payload measures the round trip, and the shortest of each address is used', () => {
  const connection = (port: number, roundTripMs: number, patienceMs: number) => `
    +0     source  S   99:99(0) win 64240 <mss 1460> from 10.0.0.1:${port} to 10.0.0.2:80
    +${roundTripMs}    source  P.  100:110(10) ack 301 from 10.0.0.1:${port} to 10.0.0.2:80
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 65535 <mss 1460> from 10.0.0.3:8080 to 10.0.0.1:${port}
    +${patienceMs}    sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
    +1     target  .   501:501(0) ack 110 win 65535 from 10.0.0.3:8080 to 10.0.0.1:${port}`
  drillTcp(`${connection(1, 100, 99)}${connection(2, 400, 99)}${connection(3, 20, 19)}${connection(4, 400, 19)}`, {
    ...MEASURED,
    isWithoutAcks: true
  })
})
