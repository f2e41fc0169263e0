import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

/** 110:120 is not captured. */
const HOLE = `
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     source  P.  120:130(10) ack 341
    +40    sent    .   110:110(0) ack 541`

test('after a hole the session reconnects with the first request that is certainly complete, and all after it', () => {
  drill(`${HOLE}
    +0     source  P.  130:140(10) ack 381
    +0     source  P.  140:150(10) ack 421
    +1960  sent    R.  110:110(0) ack 541
    +0     sent    S   129:129(0)
    +9     target  S.  900:900(0) ack 130 win 65535
    +0     sent    .   130:130(0) ack 901
    +0     sent    P.  130:140(10) ack 901
    +9     target  P.  901:941(40) ack 140 win 65535
    +0     sent    P.  140:150(10) ack 941
    +9     target  P.  941:981(40) ack 150 win 65535
    +0     source  F.  150:150(0) ack 461
    +0     sent    F.  150:150(0) ack 981
    +1     target  F.  981:981(0) ack 151 win 65535
    +0     sent    .   151:151(0) ack 982
    +0     counter deliveredBytes 30
    +0     counter sessionsContinued 1
    +0     counter epochsSentAgain 0
    +0     sessions 0
  `)
})

test('a hole is given up soon if the capture has lost packets', () => {
  drill(`${HOLE}
    +0     lost    3
    +0     source  P.  130:140(10) ack 381
    +40    sent    R.  110:110(0) ack 541
    +0     sent    S   129:129(0)
  `)
})

test('an unacknowledged request is sent again once if its connection ends', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +1     target  R   541:541(0)
    +0     sent    S   109:109(0)
    +1     target  S.  900:900(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
    +0     counter epochsSentAgain 1
    +1     target  R.  901:901(0) ack 110
    +0     nothing
    +1     source  P.  120:130(10) ack 381
    +0     nothing
    +999   sent    S   119:119(0)
    +1     target  S.  950:950(0) ack 120 win 65535
    +0     sent    .   120:120(0) ack 951
    +0     sent    P.  120:130(10) ack 951
    +0     counter sessionsContinued 2
  `)
})

test('if the target does not know the connection right after its SYN-ACK, the request is sent again once', () => {
  drill(`
    +0     open request 10
    +1     target  R   501:501(0)
    +1000  sent    S   99:99(0)
    +1     target  S.  900:900(0) ack 100 win 65535
    +0     sent    .   100:100(0) ack 901
    +0     sent    P.  100:110(10) ack 901
    +1     target  R   901:901(0)              // it may have read the request before
    +2000  counter sessionsDisowned 2
    +0     dropped targetReset 0 10
  `)
})

test("if the target ends an idle connection, the session reconnects at the client's next request", () => {
  drill(`
    +0     open request 10 answer 40
    +1     target  R   541:541(0)
    +500   source  P.  100:110(10) ack 301
    +0     counter duplicateBytes 10
    +0     nothing
    +500   source  P.  110:120(10) ack 341
    +0     sent    S   109:109(0)
    +1     source  F.  120:120(0) ack 381
    +1     target  S.  900:900(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
  `)
})

test('a session that waits to reconnect ends when the client closes', () => {
  drill(`
    +0     open request 10 answer 40
    +1     target  R   541:541(0)
    +0     sessions 1
    +500   source  F.  110:110(0) ack 341
    +0     nothing
    +0     sessions 0
    +1     source  S   7000:7000(0)
    +0     sent    S   7000:7000(0)
  `)
})

test('a session that waits to reconnect ends at once when its client opens another connection', () => {
  drill(`
    +0     open
    +9     target  R   501:501(0)
    +0     ended   targetReset
    +9     source  S   7000:7000(0) win 64240 <mss 1460>
    +9     source  .   7001:7001(0) ack 301
    +0     sent    S   7000:7000(0)
    +0     ended   none
    +0     sessions 1
  `)
})

test('after a reset the session reconnects with requests beyond a hole, even if the client has closed', () => {
  drill(`
    +0     open request 10 answer 40
    +9     source  P.  120:130(10) ack 341          // 110:120 was not captured
    +0     source  P.  130:140(10) ack 381
    +0     source  F.  140:140(0) ack 421
    +9     target  R   541:541(0)
    +0     sent    S   129:129(0) <mss 1460>
    +0     ended   targetReset
    +9     target  S.  900:900(0) ack 130 win 65535 <mss 1460>
    +0     sent    .   130:130(0) ack 901
    +0     sent    P.  130:140(10) ack 901
  `)
})

test('if the reset of the old connection was lost, it is reset again when the new SYN meets it', () => {
  drillTcp(`
    +0     open request 10
    +9     target  FP. 501:541(40) ack 110 win 65535
    +0     sent    .   110:110(0) ack 542
    +9     source  P.  110:120(10) ack 341
    +0     sent    R.  110:110(0) ack 542              // lost
    +0     sent    S   109:109(0)
    +0     ended   targetClosed
    +9     target  .   542:542(0) ack 110 win 65535
    +0     nothing                                     // it could be a late packet
    +991   sent    S   109:109(0)
    +9     target  .   542:542(0) ack 110 win 65535
    +0     sent    R   110:110(0)
    +1991  sent    S   109:109(0)
    +9     target  S.  900:900(0) ack 110 win 65535 <mss 1460>
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
  `)
})

test('an answer of an earlier connection is recognized by its acknowledgment number, whatever its sequence numbers (RFC 5961 §5)', () => {
  drillTcp(`
    +0     open request 10 answer 40
    +9     target  P.  641:681(40) ack 4294900000 win 65535
    +0     sent    .   110:110(0) ack 541 <>
    +0     dropped answerUnacceptable 1
  `)
})

test('a hole that is reached late is given up at once: its age counts from the first segment beyond it', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +0     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +0     source  P.  130:140(10) ack 421
    +0     source  P.  140:150(10) ack 461
    +0     source  P.  160:170(10) ack 541
    +0     source  P.  170:180(10) ack 581
    +200   sent    P.  110:120(10) ack 541
    +400   sent    P.  110:120(10) ack 541
    +800   sent    P.  110:120(10) ack 541
    +900   target  .   541:541(0) ack 120 win 65535
    +1     sent    R.  120:120(0) ack 541
    +0     sent    S   139:139(0)
    +1     target  S.  900:900(0) ack 140 win 65535
    +0     sent    .   140:140(0) ack 901
    +0     sent    P.  140:150(10) ack 901
    +1     target  P.  901:941(40) ack 150 win 65535
    +1     sent    R.  150:150(0) ack 941
    +0     sent    S   169:169(0)
  `)
})

test('a request that the target partly acknowledged before its reset is not sent again', () => {
  drillTcp(`
    +0     open request 10
    +9     target  P.  501:551(50) ack 110 win 5
    +1     source  P.  110:120(10) ack 351
    +0     sent    .   110:115(5) ack 551
    +9     target  .   551:551(0) ack 115 win 0
    +1     target  R   551:551(0)
    +0     nothing
    +0     counter pendingBytes 0
    +0     counter deliveredBytes 15
  `)
})

test('if the client had closed when a hole was given up, its late packets start no session', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +0     source  F.  120:120(0) ack 301
    +1000  sent    R.  110:110(0)
    +0     ended   hole
    +0     source  P.  110:120(10) ack 301
    +0     dropped afterEnd 1
    +0     sessions 0
  `)
})

const GIVEN_UP = `sent    R.  110:110(0) ack 541`
const HOLES = { timeoutMs: undefined, atEndMs: 1000, afterDropsMs: undefined }

test('a hole is given up after two seconds, or after the configured time', () => {
  drill(`${HOLE}
    +0     source  P.  130:140(10) ack 381
    +1960  ${GIVEN_UP}
    +0     sent    S   129:129(0)
  `)
  drill(
    `${HOLE}
    +0     source  P.  130:140(10) ack 381
    +4960  ${GIVEN_UP}
    +0     sent    S   129:129(0)
  `,
    { holes: { ...HOLES, timeoutMs: 5000 } }
  )
})

test("a client's FIN and capture drops shorten the wait for a hole, as configured", () => {
  drill(
    `${HOLE}
    +0     source  F.  130:130(0) ack 341
    +260   ${GIVEN_UP}
  `,
    { holes: { ...HOLES, atEndMs: 300 } }
  )
  drill(
    `${HOLE}
    +0     lost    3
    +0     source  P.  130:140(10) ack 381
    +260   ${GIVEN_UP}
    +0     sent    S   129:129(0)
  `,
    { holes: { ...HOLES, afterDropsMs: 300 } }
  )
  drill(
    `${HOLE}
    +0     lost    3
    +0     source  P.  130:140(10) ack 381
    +160   ${GIVEN_UP}
    +0     sent    S   129:129(0)
  `,
    { holes: { timeoutMs: 200, atEndMs: 1000, afterDropsMs: 300 } }
  )
})

test('after payload in a SYN (RFC 7413) the first acknowledgment number tells where epochs begin', () => {
  for (const ack of [301, 3_000_000_301]) {
    const opened = `
    +0     source  SP  99:109(10) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   110:110(0) ack ${ack} win 64240
    +0     sent    .   100:100(0) ack 501
    +0     sent    P.  100:110(10) ack 501
    +9     target  P.  501:541(40) ack 110 win 65535
    +1     target  R   541:541(0)`
    drill(`${opened}
    +1     source  P.  110:120(10) ack ${ack + 40}
    +0     sent    S   109:109(0)
    `)
    drill(`${opened}
    +1     source  P.  110:120(10) ack ${ack}      // the rest of a request
    +0     dropped targetReset 1
    +1     source  P.  120:130(10) ack ${ack + 40}
    +0     sent    S   119:119(0)
    `)
  }
})

test('after a connection that was never opened, late packets are answered for the one before it', () => {
  drillTcp(`
    +0     open request 10 answer 40
    +9     source  F.  110:110(0) ack 341
    +0     sent    F.  110:110(0) ack 541
    +9     target  F.  541:541(0) ack 111 win 65535
    +0     sent    .   111:111(0) ack 542
    +99    source  S   1099:1099(0) win 64240 <mss 1460>
    +0     sent    S   1099:1099(0)
    +9     target  S.  900:900(0) ack 1100 win 65535 <mss 1460>
    +1     source  .   1100:1100(0) ack 701
    +0     sent    .   1100:1100(0) ack 901
    +1     target  R   901:901(0)                     // the session waits for bytes to send on another connection
    +1     source  F.  1100:1100(0) ack 701
    +0     sessions 0
    +9     target  S.  900:900(0) ack 1100 win 65535 <mss 1460>
    +0     sent    R   1100:1100(0)                   // not an ACK of 111, which the first connection would get
  `)
})
