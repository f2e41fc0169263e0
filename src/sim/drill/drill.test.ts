import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill } from './drill.ts'

const HANDSHAKE = `
  +0     source  S   99:99(0)  win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
  +0     sent    S   99:99(0)
  +20    target  S.  500:500(0) ack 100 <mss 1460>
  +0     sent    .   100:100(0) ack 501
`

test('a drill that comes true passes', () => {
  drill(HANDSHAKE)
})

test('a drill fails for a packet that is not expected', () => {
  assert.throws(
    () => drill(`${HANDSHAKE}\n+1 source P. 100:110(10) ack 501\n+100 nothing`),
    /not expected.*P\. 100:110/
  )
  assert.throws(() => drill(`${HANDSHAKE}\n+1 source P. 100:110(10) ack 501`), /at its end\n.*not expected/)
})

test('a drill fails for a packet that is missing, too early or too late', () => {
  assert.throws(() => drill(`${HANDSHAKE}\n+1 sent . 100:100(0) ack 501`), /nothing was sent/)
  const late = HANDSHAKE.replace('+0     sent    S ', '+5     sent    S ')
  assert.throws(() => drill(late), /sent 5 ms too early/)
})

test('a drill shows what was expected and what was sent in the same words', () => {
  const other = HANDSHAKE.replace('ack 501', 'ack 502 win 7 <ts 1 2>')
  assert.throws(
    () => drill(other),
    /line 5: .*\n {2}expected \. 100:100\(0\) ack 502 win 7 <TS val 1 ecr 2>\n {4}actual \. 100:100\(0\) ack 501 win \d+ <>/
  )
})

test('a drill fails for wrong counters and wrong ends', () => {
  assert.throws(() => drill('+0 counter synsSent 1'), /synsSent: expected 1, actual 0/)
  assert.throws(() => drill('+0 ended hole'), /end: expected hole, actual not ended/)
})

test('a drill refuses lines that it does not understand', () => {
  assert.throws(() => drill('+0 source S 99:98(0)'), /99 \+ 0 is not 98/)
  assert.throws(() => drill('+0 source X 99:99(0)'), /not a segment/)
  assert.throws(() => drill('+0 source S 99:99(0) was 3'), /what is "was 3"/)
  assert.throws(() => drill('source S 99:99(0)'), /no line of a drill/)
})
