import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from './drill.ts'
import { parseScript } from './drill-script.ts'

const HANDSHAKE = `
  +0     source  S   99:99(0)  win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
  +0     sent    S   99:99(0)
  +20    target  S.  500:500(0) ack 100 <mss 1460>
  +0     source  .   100:100(0) ack 301 win 65535
  +0     sent    .   100:100(0) ack 501
`

test('a drill passes if all that it says happens', () => {
  drill(HANDSHAKE)
})

test('a drill fails for an unexpected packet', () => {
  assert.throws(
    () => drillTcp(`${HANDSHAKE}\n+1 source P. 100:110(10) ack 301\n+100 nothing`),
    /not expected.*P\. 100:110/
  )
  assert.throws(() => drillTcp(`${HANDSHAKE}\n+1 source P. 100:110(10) ack 301`), /at its end\n.*not expected/)
})

test('a drill fails for a missing, early or late packet', () => {
  assert.throws(() => drillTcp(`${HANDSHAKE}\n+1 sent . 100:100(0) ack 501`), /nothing was sent/)
  const late = HANDSHAKE.replace('+0     sent    S ', '+5     sent    S ')
  assert.throws(() => drillTcp(late), /sent 5 ms too early/)
})

test('a drill shows the expected and the actual packet in the same notation', () => {
  const other = HANDSHAKE.replace('ack 501', 'ack 502 win 7 <ts 1 2>')
  assert.throws(
    () => drill(other),
    /line 6: .*\n {2}expected \. 100:100\(0\) ack 502 win 7 <TS val 1 ecr 2>\n {4}actual \. 100:100\(0\) ack 501 win \d+ <>/
  )
})

test('a drill fails for wrong counters and wrong end reasons', () => {
  assert.throws(() => drill('+0 counter synsSent 1'), /synsSent: expected 1, actual 0/)
  assert.throws(() => drill('+0 ended hole'), /end: expected hole, actual not ended/)
})

test('a drill rejects lines that it does not understand', () => {
  assert.throws(() => drill('+0 source S 99:98(0)'), /99 \+ 0 is not 98/)
  assert.throws(() => drill('+0 source X 99:99(0)'), /not a segment/)
  assert.throws(() => drill('+0 source S 99:99(0) was 3'), /what is "was 3"/)
  assert.throws(() => drill('source S 99:99(0)'), /not a line of a drill/)
})

/** The parsed lines of a script, without their numbers and text. */
function meaning(script: string): object[] {
  return parseScript(script).map((line) => ({ ...line, number: 0, text: '' }))
}

test('`open` stands for the lines of a handshake', () => {
  const opened = `
    +5     source  S   99:99(0) win 64240 <mss 1460>
    +0     sent    S   99:99(0)
    +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
    +0     source  .   100:100(0) ack 301 win 64240
    +0     sent    .   100:100(0) ack 501
  `
  assert.deepEqual(meaning('+5 open'), meaning(opened))
  const others = opened.replaceAll('1460', '1000,sackOK').replace('+20', '+300').replace('65535', '400')
  assert.deepEqual(meaning('+5 open win 400 rtt 300 <mss 1000,sackOK>'), meaning(others))
  assert.deepEqual(meaning('+5 open ack +10'), meaning(opened.replace('+0     source', '+10 source')))
  assert.deepEqual(meaning('+5 open ack none'), meaning(opened).slice(0, -2))
})

test("the client's ACK of `open` has the window and timestamps that both SYNs imply", () => {
  const ackOf = (script: string) => meaning(script).at(-2)
  const ends = (fields: string) => meaning(`+0 source . 100:100(0) ack 301 ${fields}`)[0]
  assert.deepEqual(ackOf('+0 open <ts 100 0,wscale 7> <ts 900 100,wscale 9>'), ends('win 502 <ts 101 1>'))
  assert.deepEqual(ackOf('+0 open <ts 100 0,wscale 7> <mss 1460>'), ends('win 64240'))
})

test('`open` can include the first request and its answer', () => {
  const exchange = `
    +0     source  P.  100:110(10) ack 301
    +0     sent    P.  100:110(10) ack 501
    +9     target  P.  501:541(40) ack 110 win 65535
    +40    sent    .   110:110(0) ack 541
  `
  const open = meaning('+0 open')
  assert.deepEqual(meaning('+0 open request 10 answer 40'), [...open, ...meaning(exchange)])
  assert.deepEqual(meaning('+0 open request 10'), [...open, ...meaning(exchange).slice(0, 2)])
})

test('a drill fails at each line that `open` stands for', () => {
  assert.throws(() => drill('+0 open', { roundTripMs: 50 }), /line 1: \+0 sent \. 100.*\n.*nothing was sent/)
  assert.throws(() => drill('+0 open win 0 request 10'), /line 1: \+0 sent P\. 100.*\n.*nothing was sent/)
  assert.throws(() => drill('+0 open mss 1460'), /what is "mss 1460"/)
  assert.throws(() => drill('+0 open ack 10'), /what is "ack 10"/)
})

test('a drill on a stream fails for bytes that are missing, early, unexpected or wrong', () => {
  const opened = '+0 open\n+1 source P. 100:110(10) ack 301\n'
  const onStream = /drill on a stream/
  assert.throws(() => drill(`${opened}+0 nothing`), { message: /not expected: bytes at 0/ })
  assert.throws(() => drill(`${opened}+0 sent P. 100:120(20) ack 501`), { message: /nothing was done/ })
  assert.throws(() => drill(`${opened}+5 sent P. 100:110(10) ack 501`), { message: /bytes 5 ms too early/ })
  assert.throws(() => drill(`${opened}+0 sent F. 110:110(0) ack 501`), { message: onStream })
  const other = '+0 open\n+1 source P. 100:102(2) ack 301 "ab"\n+0 sent P. 100:102(2) ack 501 "ac"'
  assert.throws(() => drill(other), /"ac"/)
})
