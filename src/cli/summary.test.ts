import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counters } from '../core/books/counters.ts'
import { copySummary } from './summary.ts'

test('the statistics line shows the latency as soon as a request has waited', () => {
  const counters = new Counters()
  assert.doesNotMatch(copySummary(counters.report()), /next request/)
  for (let index = 0; index < 100; index++) counters.latency.add(index < 95 ? 50 : 4_000_000)
  assert.match(
    copySummary(counters.report()),
    /; ms from answer to next request p50 0\.05, p90 0\.05, p99 4\d\d0, max 4\d\d0 \(100 waited\); intercept connections 0$/
  )
})
