import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'

const ASKED = `
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535`

test('a FIN waits for the answer of a slow target', () => {
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 341
    +50000 target  P.  501:541(40) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 541
    +0     counter epochTimeouts 0
  `)
})

test('a FIN waits for 60 s at most', () => {
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 341
    +59990 nothing
    +10    sent    F.  110:110(0) ack 501
    +0     counter epochTimeouts 1
  `)
})

test('a FIN waits as long as --epoch-timeout if that is longer', () => {
  drill(
    `${ASKED}
    +1     source  F.  110:110(0) ack 341
    +90000 sent    F.  110:110(0) ack 501
  `,
    { epochTimeoutMs: 90_000 }
  )
})

test('so does a RST', () => {
  drill(`${ASKED}
    +1     source  R.  110:110(0) ack 341
    +50000 target  P.  501:541(40) ack 110 win 65535
    +0     sent    R.  110:110(0)
    +0     ended   none
  `)
  drill(`${ASKED}
    +1     source  R.  110:110(0) ack 341
    +60000 sent    R.  110:110(0)
    +0     ended   none
  `)
})

test('a FIN waits for no answer of which the client had read nothing', () => {
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 301
    +0     sent    F.  110:110(0) ack 501
  `)
})

test('a FIN waits only for --epoch-timeout while a new connection needs the port', () => {
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 341
    +1000  source  S   1099:1099(0) win 64240 <mss 1460>
    +2000  sent    F.  110:110(0) ack 501
    +9     target  F.  501:501(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 502
    +0     sent    S   1099:1099(0)
  `)
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 341
    +9000  source  S   1099:1099(0) win 64240 <mss 1460>
    +0     sent    F.  110:110(0) ack 501
    +9     target  F.  501:501(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 502
    +0     sent    S   1099:1099(0)
  `)
})

test("after a slow answer a FIN still waits for the target's FIN if the source closed first", () => {
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 342
    +9000  target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +900   target  F.  541:541(0) ack 110 win 65535
    +0     sent    F.  110:110(0) ack 542
    +0     counter epochTimeouts 0
  `)
  drill(`${ASKED}
    +1     source  F.  110:110(0) ack 342
    +9000  target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
    +961   sent    F.  110:110(0) ack 541
    +0     counter epochTimeouts 1
  `)
})
