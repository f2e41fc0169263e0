import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counters } from '../core/books/counters.ts'
import { Drop } from '../core/books/drop.ts'
import { RequestCount } from '../core/books/request-books.ts'
import { copySummary, requestsByMap } from './summary.ts'

test('the statistics line shows the latency as soon as a request has waited', () => {
  const counters = new Counters()
  assert.doesNotMatch(copySummary(counters.report()), /next request/)
  for (let index = 0; index < 100; index++) counters.latency.add(index < 95 ? 50 : 4_000_000)
  assert.match(
    copySummary(counters.report()),
    /; ms from answer to next request p50 0\.05, p90 0\.05, p99 4\d\d0, max 4\d\d0 \(100 waited\); intercept connections 0$/
  )
})

test('the statistics line names every outcome of requests that occurred, and why requests were lost', () => {
  const counters = new Counters()
  const { requests } = counters
  assert.match(copySummary(counters.report()), /; requests 0, 0 answered, 0 in flight, lost 0; /)
  for (let count = 0; count < 9; count++) requests.began(0)
  requests.settle(0, RequestCount.Answered, 3)
  requests.settle(0, RequestCount.AnsweredLate, 1)
  requests.leaveUnanswered(0, Drop.TargetReset, 2)
  requests.giveUp(0, Drop.Hole)
  requests.leaveUnanswered(0, Drop.Shutdown, 1)
  requests.refuse(0, Drop.SampledOut)
  assert.match(
    copySummary(counters.report()),
    /; requests 10, 3 answered, 1 answered late, 1 left out, 1 in flight at the stop, 1 in flight, lost 3 \(not answered: targetReset 2, given up: hole 1\); /
  )
  assert.equal(requests.lost(), 3)
  assert.equal(requests.unaccounted(), 0)
})

test('bytes that are left out or were pending at the stop are not lost; losses have their reasons', () => {
  const counters = new Counters()
  for (const reason of [Drop.SampledOut, Drop.Shutdown, Drop.Hole]) counters.drop(reason, 1, 10)
  assert.match(copySummary(counters.report()), /lost 10 B \(hole 10 B\); .*; dropped hole 1, shutdown 1, sampledOut 1$/)
})

test('with several -x, each has books of its own in the statistics', () => {
  const { requests } = new Counters()
  const map = { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 }
  requests.began(1)
  assert.deepEqual(requestsByMap(requests, [map]), {})
  const fields = requestsByMap(requests, [map, { ...map, sourceAddress: 0x0a000002, sourcePort: 81 }])
  assert.equal(fields['map.80-10.0.0.3:8080.requestsCaptured'], 0)
  assert.equal(fields['map.10.0.0.2:81-10.0.0.3:8080.requestsCaptured'], 1)
})
