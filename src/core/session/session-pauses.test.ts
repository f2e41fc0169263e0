import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'
import { Drop } from '../books/drop.ts'

/** Each request has 10 bytes, and its client reads 40 bytes of answer before the next one. */
const ackAt = (request: number): number => 301 + 40 * request
const bytesAt = (request: number): string => `${100 + 10 * request}:${110 + 10 * request}(10)`
const endAt = (request: number): string => `${110 + 10 * request}:${110 + 10 * request}(0)`
const startAt = (request: number): string => `${100 + 10 * request}:${100 + 10 * request}(0)`

/** The target's first sequence number on the connection that begins with a request. */
const answersFrom = (request: number): number => (request === 0 ? 501 : 1001 + 1000 * request)

const captured = (request: number): string => `source P. ${bytesAt(request)} ack ${ackAt(request)}`

/** A connection that begins with a request, which was captured. */
function connection(request: number): string {
  if (request === 0) return '+0 open request 10'
  const from = answersFrom(request)
  return `
    +0     sent    S   ${99 + 10 * request}:${99 + 10 * request}(0)
    +9     target  S.  ${from - 1}:${from - 1}(0) ack ${100 + 10 * request} win 65535
    +0     sent    .   ${startAt(request)} ack ${from}
    +0     sent    P.  ${bytesAt(request)} ack ${from}`
}

/** The target answers a connection's first request with some bytes and closes; then the client's next one comes. */
function closes(request: number, bytes: number): string {
  const from = answersFrom(request)
  const flags = bytes === 0 ? 'F.' : 'FP.'
  return `
    +9     target  ${flags} ${from}:${from + bytes}(${bytes}) ack ${110 + 10 * request} win 65535
    +0     sent    .   ${endAt(request)} ack ${from + bytes + 1}
    +9     ${captured(request + 1)}
    +0     sent    R.  ${endAt(request)} ack ${from + bytes + 1}`
}

/** The target answers a connection's first request and resets before the client has read the source's answer. */
function resets(request: number, bytes: number): string {
  const from = answersFrom(request)
  const end = from + bytes
  return `
    +9     target  P. ${from}:${end}(${bytes}) ack ${110 + 10 * request} win 65535
    +1     target  R.  ${end}:${end}(0) ack ${110 + 10 * request}
    +0     ended   targetReset
    +9     ${captured(request + 1)}`
}

test('after two connections in a row without an answer a session pauses for 10 s, then for 20 s', () => {
  const counters = drill(`
    ${connection(0)}
    ${closes(0, 0)}
    ${connection(1)}
    ${closes(1, 0)}
    +0     counter reconnectPauses 1
    +5000  ${captured(3)}
    +4999  ${captured(4)}
    +0     nothing
    +0     dropped reconnectPaused 2
    +2     ${captured(5)}
    ${connection(5)}
    ${closes(5, 0)}
    +0     counter reconnectPauses 2
    +19999 ${captured(7)}
    +0     nothing
    +2     ${captured(8)}
    ${connection(8)}
    +0     counter sessionsContinued 3
  `)
  assert.equal(counters.droppedBytes(Drop.ReconnectPaused), 50)
  assert.equal(counters.droppedBytes(Drop.TargetClosed), 0)
})

test('a pause lasts at most 10 minutes, also with a shorter -t', () => {
  let [script, request] = [`${connection(0)} ${closes(0, 0)} ${connection(1)} ${closes(1, 0)}`, 2]
  for (const seconds of [10, 20, 40, 80, 160, 320, 600, 600]) {
    script += `
    +${seconds * 1000 - 1} ${captured(request + 1)}
    +0     nothing
    +2     ${captured(request + 2)}
    ${connection(request + 2)}
    ${closes(request + 2, 0)}`
    request += 3
  }
  drill(script, { timeoutMs: 60_000 })
})

test('an answer that is much shorter than what the client had read is of no use', () => {
  drill(`
    ${connection(0)}
    ${closes(0, 19)}
    ${connection(1)}
    ${closes(1, 19)}
    +0     counter reconnectPauses 1
  `)
  drill(`
    ${connection(0)}
    ${closes(0, 81)}
    ${connection(1)}
    ${closes(1, 81)}
    +0     counter reconnectPauses 1
  `)
})

test('a target that closes after each answer is not throttled', () => {
  for (const bytes of [20, 40, 80]) {
    const rounds = [0, 1, 2, 3, 4].map((request) => connection(request) + closes(request, bytes))
    drill(`${rounds.join('\n')} ${connection(5)}
    +0     counter reconnectPauses 0
    `)
  }
})

test('a target that resets after each answer is not throttled: its answers are judged when the client has read them', () => {
  const rounds = [0, 1, 2, 3, 4].map((request) => connection(request) + resets(request, 40))
  drill(`${rounds.join('\n')} ${connection(5)}
    +0     counter reconnectPauses 0
  `)
  drill(`
    ${connection(0)}
    ${resets(0, 10)}
    ${connection(1)}
    ${resets(1, 10)}
    +0     nothing
    +0     counter reconnectPauses 1
  `)
})

/** Two requests on a connection, both answered with 5 bytes; then the target closes. */
function answersTwice(request: number): string {
  const from = answersFrom(request)
  return `
    ${connection(request)}
    +9     target  P.  ${from}:${from + 5}(5) ack ${110 + 10 * request} win 65535
    +40    sent    .   ${endAt(request)} ack ${from + 5}
    +900   ${captured(request + 1)}
    +0     sent    P.  ${bytesAt(request + 1)} ack ${from + 5}
    +9     target  FP. ${from + 5}:${from + 10}(5) ack ${120 + 10 * request} win 65535
    +0     sent    .   ${endAt(request + 1)} ack ${from + 11}
    +900   ${captured(request + 2)}
    +0     sent    R.  ${endAt(request + 1)} ack ${from + 11}`
}

test('two answered requests are of use, whatever the answers are like', () => {
  drill(`
    ${[0, 2, 4, 6].map(answersTwice).join('')}
    ${connection(8)}
    +0     counter reconnectPauses 0
  `)
})

test('one connection of use between others is enough', () => {
  drill(`
    ${connection(0)}
    ${closes(0, 0)}
    ${connection(1)}
    ${closes(1, 40)}
    ${connection(2)}
    ${closes(2, 0)}
    ${connection(3)}
    ${closes(3, 40)}
    ${connection(4)}
    ${closes(4, 0)}
    ${connection(5)}
    +0     counter reconnectPauses 0
  `)
})

test('refused SYNs do not count: a target that restarts is not throttled', () => {
  drillTcp(`
    ${connection(0)}
    ${closes(0, 0)}
    +0     sent    S   109:109(0)
    +1     target  R.  0:0(0) ack 110
    +1000  sent    S   109:109(0)
    +1     target  R.  0:0(0) ack 110
    +1999  sent    S   109:109(0)
    +9     target  S.  2000:2000(0) ack 110 win 65535
    +0     sent    .   110:110(0) ack 2001
    +0     sent    P.  110:120(10) ack 2001
    +0     counter reconnectPauses 0
    ${closes(1, 40)}
    ${connection(2)}
    +0     counter reconnectPauses 0
  `)
})

test('a session whose client closes during the pause ends', () => {
  drill(`
    ${connection(0)}
    ${closes(0, 0)}
    ${connection(1)}
    ${closes(1, 0)}
    +99    ${captured(3)}
    +99    source  F.  140:140(0) ack 461
    +0     sessions 0
    +0     pieces  0
  `)
  drill(`
    ${connection(0)}
    ${closes(0, 0)}
    ${connection(1)}
    ${closes(1, 0).replace('source P.', 'source FP.')}
    +0     sessions 0
    +0     pieces  0
  `)
})

test('after the pause the copy continues with a request that is certainly complete', () => {
  drill(`
    ${connection(0)}
    ${closes(0, 0)}
    ${connection(1)}
    ${closes(1, 0)}
    +9000  source  .   130:140(10) ack ${ackAt(3)}
    +2000  source  P.  140:150(10) ack ${ackAt(3)}     // the rest of a request
    +0     nothing
    +9     ${captured(5)}
    ${connection(5)}
  `)
})

test('with -W the answers of a connection are compared in all', () => {
  const rounds = [0, 1, 2, 3].map((request) => connection(request) + closes(request, 40))
  drill(
    `${rounds.join('\n')} ${connection(4)}
    +0     counter reconnectPauses 0
  `,
    { isWaiting: false }
  )
  drill(
    `
    ${connection(0)}
    ${closes(0, 5)}
    ${connection(1)}
    ${closes(1, 5)}
    +0     counter reconnectPauses 1
  `,
    { isWaiting: false }
  )
})
