import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

test('a request waits until the target has answered as much as the source had', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +0     nothing
    +9     target  .   501:501(0) ack 110 win 65535
    +1     target  .   501:541(40) ack 110 win 65535
    +0     nothing
    +1     target  P.  541:551(10) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
    +0     counter epochs 2
    +0     counter epochsQuiet 0
    +0     counter epochTimeouts 0
  `)
})

test('with -W, requests are sent as soon as they are captured', () => {
  drill(
    `
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +0     sent    P.  110:120(10) ack 501
    +1     source  F.  120:120(0) ack 401
    +0     sent    F.  120:120(0) ack 501
  `,
    { isWaiting: false }
  )
})

test('if the server sends first, the first request waits for as much from the target', () => {
  drill(`
    +0     open
    +5     source  P.  100:110(10) ack 331
    +0     nothing
    +5     target  P.  501:531(30) ack 100 win 65535
    +0     sent    P.  100:110(10) ack 531
    +0     counter epochs 1
  `)
})

test('requests of one epoch do not wait for each other', () => {
  drill(`
    +0     open request 10
    +0     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    +5     source  P.  120:130(10) ack 341
    +0     source  P.  130:140(10) ack 381
    +0     nothing
    +5     target  P.  501:541(40) ack 110 win 65535
    +0     sent    P.  120:130(10) ack 541
    +5     target  P.  541:581(40) ack 120 win 65535
    +0     sent    P.  130:140(10) ack 581
    +0     counter epochs 3
  `)
})

test('a shorter answer counts as complete once the target has been quiet', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  P.  501:540(39) ack 110 win 65535
    +37    sent    P.  110:120(10) ack 540 // 2 × round trip, smoothed 20, 20, …, then 10
    +0     counter epochsQuiet 1
    +1     source  P.  120:130(10) ack 401
    +9     target  P.  540:590(50) ack 120 win 65535
    +0     sent    P.  120:130(10) ack 590
    +0     counter epochsQuiet 1
  `)
})

test('if the target pauses within its answer, the next request waits for twice as long as the pause', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 801       // its client had read 500 bytes
    +99    target  P.  501:601(100) ack 110 win 65535
    +40    sent    .   110:110(0) ack 601
    +60    target  P.  601:701(100) ack 110 win 65535
    +40    sent    .   110:110(0) ack 701
    +60    target  P.  701:801(100) ack 110 win 65535
    +40    sent    .   110:110(0) ack 801
    +60    target  P.  801:901(100) ack 110 win 65535
    +40    sent    .   110:110(0) ack 901
    +60    target  P.  901:1001(100) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 1001
    +0     counter epochsQuiet 0
  `)
})

test('a shorter answer that arrived in parts counts as complete after twice its longest pause', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 501
    +8     target  .   501:501(0) ack 110 win 65535
    +11    target  P.  501:581(80) ack 110 win 65535
    +30    target  P.  581:661(80) ack 110 win 65535
    +10    sent    .   110:110(0) ack 661
    +50    sent    P.  110:120(10) ack 661
    +0     counter epochsQuiet 1
    +1     source  P.  120:130(10) ack 551       // the pauses of one answer do not affect the next
    +9     target  P.  661:710(49) ack 120 win 65535
    +36    sent    P.  120:130(10) ack 710
    +0     counter epochsQuiet 2
  `)
})

test('a slow answer that is one byte shorter delays the next request by two round trips only', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  .   501:501(0) ack 110 win 65535
    +190   target  P.  501:550(49) ack 110 win 65535
    +37    sent    P.  110:120(10) ack 550       // 2 × round trip
    +0     counter epochsQuiet 1
  `)
})

test('a quiet target is still answering if its last segment had no PSH or it has not acknowledged everything', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  .   501:540(39) ack 110 win 65535
    +40    sent    .   110:110(0) ack 540
    +60    nothing
    +9     target  P.  540:551(11) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
  `)
})

test('after a longer answer, the next one is counted from its end', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:552(51) ack 110 win 65535
    +1     source  P.  110:120(10) ack 351
    +0     sent    P.  110:120(10) ack 552
    +1     source  P.  120:130(10) ack 401
    +9     target  .   552:601(49) ack 120 win 65535
    +0     nothing
    +0     target  P.  601:602(1) ack 120 win 65535
    +0     sent    P.  120:130(10) ack 602
    +0     counter epochsQuiet 0
  `)
})

test('a request is sent after the timeout if the answer before it never comes, and counted', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  P.  110:120(10) ack 351
    +3000  sent    P.  110:120(10) ack 501
    +0     counter epochTimeouts 1
    +0     counter epochs 2
  `)
})

test('if the target closes early, the session reconnects for the next request', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  F.  501:501(0) ack 110 win 65535
    +0     sent    R.  110:110(0) ack 502
    +0     sent    S   109:109(0)
    +0     ended   targetClosed
    +9     target  S.  900:900(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 901
    +0     sent    P.  110:120(10) ack 901
    +0     counter sessionsContinued 1
  `)
})

test("a newer acknowledgment number in a client's retransmission does not start an epoch", () => {
  drill(`
    +0     open
    +0     source  P.  110:120(10) ack 301
    +5     source  P.  110:120(10) ack 351
    +5     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +0     sent    P.  110:120(10) ack 501
    +0     counter duplicateBytes 10
  `)
})

test('a gap in the answer is answered by a duplicate ACK and does not release the next request', () => {
  drillTcp(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  P.  541:551(10) ack 110 win 65535
    +0     sent    .   110:110(0) ack 501
    +0     nothing
    +9     target  .   501:541(40) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
  `)
})

test('answers are acknowledged after 40 ms, or at once after two full segments', () => {
  drill(`
    +0     open request 10 answer 40
    +9     target  .   541:2001(1460) ack 110 win 65535
    +0     nothing
    +9     target  .   2001:3461(1460) ack 110 win 65535
    +0     sent    .   110:110(0) ack 3461
    +9     target  .   3461:3471(10) ack 110 win 65535
    +20    target  .   3471:3481(10) ack 110 win 65535
    +20    sent    .   110:110(0) ack 3481
    +99    nothing
  `)
})

test('the next request carries the acknowledgment of the answer', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +9     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  .   541:541(0) ack 120 win 65535
    +999   nothing
  `)
})

test('bytes that the target retransmits are acknowledged at once', () => {
  drill(`
    +0     open
    +9     target  P.  501:541(40) ack 100 win 65535
    +40    sent    .   100:100(0) ack 541
    +99    target  P.  501:541(40) ack 100 win 65535
    +0     sent    .   100:100(0) ack 541
    +99    target  .   531:551(20) ack 100 win 65535
    +40    sent    .   100:100(0) ack 551
  `)
})

test("the target's keep-alive probes are answered", () => {
  drill(`
    +0     open
    +9000  target  .   500:500(0) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501
    +9000  target  .   500:501(1) ack 100 win 65535
    +0     sent    .   100:100(0) ack 501
  `)
})

test('the right edge of the advertised window does not move back while an answer arrives', () => {
  drill(`
    +0     source  S   99:99(0) win 8000 <mss 1460>
    +0     sent    S   99:99(0) win 65535
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   100:100(0) ack 301
    +0     sent    .   100:100(0) ack 501 win 65535
    +0     source  P.  100:110(10) ack 301 win 8000
    +0     sent    P.  100:110(10) ack 501 win 65535
    +9     target  .   501:1961(1460) ack 110 win 65535
    +0     source  P.  110:120(10) ack 301 win 8000
    +0     sent    P.  110:120(10) ack 1961 win 64075
  `)
})

test('the books balance wherever a session stands that waits to reconnect', () => {
  // More than 2³¹ bytes after the client's first one: a number before it would look later than the held bytes.
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     target  R   501:501(0)
    +0     source  .   1500000000:1500000010(10) ack 301
    +0     source  .   1500000010:1500000010(0) ack 301
    +0     source  P.  3000000000:3000000010(10) ack 301
    +0     source  P.  3000000010:3000000020(10) ack 351
    +0     sent    S   3000000009:3000000009(0)
    +9     target  S.  700:700(0) ack 3000000010 win 65535 <mss 1460>
    +0     sent    .   3000000010:3000000010(0) ack 701
    +0     sent    P.  3000000010:3000000020(10) ack 701
    +1     source  P.  3000000020:3000000030(10) ack 401
    +1     target  R   701:701(0)
    +9     shutdown
    +0     counter pendingBytes 0
  `)
})

test('a session ends if the target resets each of its connections without opening the window', () => {
  const connection = `
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 0 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +9     target  R   501:501(0)
  `
  const again = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map((seconds) => `+${seconds * 1000} nothing ${connection}`)
  drillTcp(`
    +0     source  S   99:99(0) win 64240 <mss 1460>
    ${connection.replace('+0     sent    .', '+0     source  .   100:100(0) ack 301\n    +0     sent    .').replace('+9', '+0     source  P.  100:110(10) ack 301\n    +0     source  F.  110:110(0) ack 301\n    +9')}
    ${again.join('').replaceAll(/(\d000) nothing\s+\+0 /g, '$1 ')}
    +0     sessions 0
    +0     dropped targetReset 0
  `)
})

test('a request waits for an answer of more than 2³¹ bytes', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  .   110:110(0) ack 1250000301
    +1     source  .   110:110(0) ack 1250000341
    +1     source  P.  110:120(10) ack 2500000301
    +1     source  .   120:120(0) ack 2500000341
    +0     dropped implausible 2
    +0     dropped pureAck 3
    +100   nothing
  `)
})
