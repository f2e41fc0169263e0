/** Which requests count towards latency, and from when to when. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DrillOptions, drillTcp } from '../../sim/drill/drill.ts'
import { Counters } from './counters.ts'
import { Latency } from './latency.ts'

const AGE_MS = 4

/** The latencies of a script whose answers spent 4 ms at the assistant. */
function latencies(script: string, options: DrillOptions = {}): readonly number[] {
  const { latency } = drillTcp(`+0 open request 10${script}`, { channelVersion: 2, answerAgeMs: AGE_MS, ...options })
  return latency.count === 0 ? [] : [latency.count, latency.quantile(0.5) / 1000, latency.most / 1000]
}

test('a request that waited for an answer counts once, with the time that the answer spent at the assistant', () => {
  const [count, median = 0, most = 0] = latencies(`
    +1     source  P.  110:120(10) ack 351
    +10    target  P.  501:551(50) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
    +3     source  P.  120:130(10) ack 351
    +0     sent    P.  120:130(10) ack 551
  `)
  assert.equal(count, 1)
  for (const ms of [median, most]) assert.ok(Math.abs(ms - AGE_MS) < AGE_MS / 8, `${ms}`)
})

test('latency counts from the last segment of the answer, and includes the wait for a window that opens late', () => {
  const [count, median = 0] = latencies(`
    +1     source  P.  110:120(10) ack 351
    +10    target  .   501:531(30) ack 110 win 65535
    +5     target  P.  531:551(20) ack 110 win 0
    +0     nothing
    +6     target  .   551:551(0) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
  `)
  assert.equal(count, 1)
  assert.ok(Math.abs(median - AGE_MS - 6) < 1, `${median}`)
})

test('requests that did not wait, or waited for something else, do not count', () => {
  const scripts = [
    // The answer arrived first.
    `
    +10    target  P.  501:551(50) ack 110 win 65535
    +5     source  P.  110:120(10) ack 351
    +0     sent    P.  110:120(10) ack 551
    `,
    // The request does not follow an answer.
    `
    +1     source  P.  110:120(10) ack 301
    +0     sent    P.  110:120(10) ack 501
    `,
    // The target became quiet.
    `
    +1     source  P.  110:120(10) ack 351
    +9     target  P.  501:540(39) ack 110 win 65535
    +37    sent    P.  110:120(10) ack 540
    `
  ]
  for (const script of scripts) assert.deepEqual(latencies(script), [])
})

test('requests do not count if intercept reports no age', () => {
  const waiting = `
    +1     source  P.  110:120(10) ack 351
    +10    target  P.  501:551(50) ack 110 win 65535
    +0     sent    P.  110:120(10) ack 551
  `
  assert.deepEqual(latencies(waiting, { answerAgeMs: Number.NaN }), [])
  assert.deepEqual(latencies(waiting, { channelVersion: 1 }), [])
})

test('requests count once the outbox has been sent, each once, and at most as many as it holds', () => {
  const counters = new Counters()
  const latency = new Latency(counters.latency, 2)
  assert.deepEqual(counters.report()['latency.requests'], 0)
  for (const arrivedAt of [10, 12, 13]) latency.departs(arrivedAt)
  assert.equal(latency.hasDepartures, true)
  latency.departed(20)
  latency.departed(500)
  assert.equal(latency.hasDepartures, false)
  const report = counters.report()
  assert.equal(report['latency.requests'], 2)
  assert.ok(Math.abs((report['latency.p50'] ?? 0) - 8) < 0.25)
  assert.ok(Math.abs((report['latency.max'] ?? 0) - 10) < 0.32)
})
