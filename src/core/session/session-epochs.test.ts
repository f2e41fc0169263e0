import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'

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

test('without waiting (-W) requests go as they come', () => {
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

test('a server that speaks first is waited for', () => {
  drill(`
    +0     open
    +5     source  P.  100:110(10) ack 331
    +0     nothing
    +5     target  P.  501:531(30) ack 100 win 65535
    +0     sent    P.  100:110(10) ack 531
    +0     counter epochs 1
  `)
})

test('requests of one epoch go one behind the other', () => {
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

test('an answer that is shorter is taken for whole once the target has been quiet', () => {
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

test('a target that pauses between the parts of its answer is waited for twice as long as it paused', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 801       // its client had read 500 octets
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

test('an answer that came in parts and stays shorter is taken for whole after twice its longest pause', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 501
    +8     target  .   501:501(0) ack 110 win 65535
    +11    target  P.  501:581(80) ack 110 win 65535
    +30    target  P.  581:661(80) ack 110 win 65535
    +10    sent    .   110:110(0) ack 661
    +50    sent    P.  110:120(10) ack 661
    +0     counter epochsQuiet 1
    +1     source  P.  120:130(10) ack 551       // what an answer was like says nothing of the next
    +9     target  P.  661:710(49) ack 120 win 65535
    +36    sent    P.  120:130(10) ack 710
    +0     counter epochsQuiet 2
  `)
})

test('a slow answer in one part that is a byte shorter costs no more than a moment', () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  .   501:501(0) ack 110 win 65535
    +190   target  P.  501:550(49) ack 110 win 65535
    +37    sent    P.  110:120(10) ack 550       // 2 × round trip
    +0     counter epochsQuiet 1
  `)
})

test('a target that is quiet without PSH, or has not taken everything, is still at work', () => {
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

test('an answer that is longer moves what the next one is measured by', () => {
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

test('an epoch whose answer never comes goes after the time-out, counted', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  P.  110:120(10) ack 351
    +3000  sent    P.  110:120(10) ack 501
    +0     counter epochTimeouts 1
    +0     counter epochs 2
  `)
})

test('a target that closes early is not waited for: the next request goes on a new connection', () => {
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

test("a retransmission's newer acknowledgment moves nothing", () => {
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

test("an answer's lost part is asked for and does not release the next request", () => {
  drill(`
    +0     open request 10
    +1     source  P.  110:120(10) ack 351
    +9     target  P.  541:551(10) ack 110 win 65535
    +0     sent    .   110:110(0) ack 501
    +0     nothing
    +9     target  .   501:541(40) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
  `)
})

test('answers are acknowledged after 40 ms, or at once when two segments came', () => {
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

test('an acknowledgment rides on the next request', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:541(40) ack 110 win 65535
    +9     source  P.  110:120(10) ack 341
    +0     sent    P.  110:120(10) ack 541
    +9     target  .   541:541(0) ack 120 win 65535
    +999   nothing
  `)
})

test('octets that the target sends again are acknowledged at once', () => {
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

test('the window that is advertised never shrinks while an answer comes', () => {
  drill(`
    +0     source  S   99:99(0) win 8000 <mss 1460>
    +0     sent    S   99:99(0) win 65535
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     sent    .   100:100(0) ack 501 win 65535
    +0     source  P.  100:110(10) ack 301 win 8000
    +0     sent    P.  100:110(10) ack 501 win 65535
    +9     target  .   501:1961(1460) ack 110 win 65535
    +0     source  P.  110:120(10) ack 301 win 8000
    +0     sent    P.  110:120(10) ack 1961 win 64075
  `)
})

test('the books close wherever a session stands that waits to go on', () => {
  // More than 2³¹ octets behind the client's first: a number before that would look later than what is held.
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     target  R   501:501(0)
    +0     source  .   1500000000:1500000010(10) ack 301
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

test('a target that opens no window and resets each connection is given up in the end', () => {
  const connection = `
    +0     sent    S   99:99(0)
    +1     target  S.  500:500(0) ack 100 win 0 <mss 1460>
    +0     sent    .   100:100(0) ack 501
    +9     target  R   501:501(0)
  `
  const again = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60].map((seconds) => `+${seconds * 1000} nothing ${connection}`)
  drill(`
    +0     source  S   99:99(0) win 64240 <mss 1460>
    ${connection.replace('+9', '+0     source  P.  100:110(10) ack 301\n    +0     source  F.  110:110(0) ack 301\n    +9')}
    ${again.join('').replaceAll(/(\d000) nothing\s+\+0 /g, '$1 ')}
    +0     sessions 0
    +0     dropped targetReset 0
  `)
})

test('a request waits for an answer that is longer than sequence numbers reach', () => {
  drill(`
    +0     open request 10
    +9     target  .   501:501(0) ack 110 win 65535
    +1     source  .   110:110(0) ack 1250000301
    +1     source  P.  110:120(10) ack 2500000301
    +100   nothing
  `)
})
