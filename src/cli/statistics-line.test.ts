import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from '../core/books/counters.ts'
import { Drop } from '../core/books/drop.ts'
import { RequestCount } from '../core/books/request-books.ts'
import { copyParts, fit, interceptParts, StatisticsLine } from './statistics-line.ts'

class Rig {
  readonly counters = new Counters()
  readonly #line = new StatisticsLine(copyParts, 0, () => this.counters.latency.copy())
  #now = 0

  constructor() {
    this.counters.set(Counter.channelsOpen, 2)
  }

  /** Requests that were captured and answered. */
  answer(requests: number): void {
    for (let count = 0; count < requests; count++) this.counters.requests.began(0)
    this.counters.requests.settle(0, RequestCount.Answered, requests)
  }

  after(seconds: number, isFinal = false): string {
    this.#now += seconds * 1000
    return this.#line.next(this.counters.report(), this.#now, isFinal)
  }
}

test('a normal copy has rates since the last line, and nothing else', () => {
  const rig = new Rig()
  const { counters } = rig
  counters.set(Counter.sessionsStarted, 12)
  rig.answer(3000)
  for (let index = 0; index < 100; index++) counters.latency.add(index < 95 ? 400 : 4_000_000)
  assert.equal(
    rig.after(30),
    'statistics: 100 requests/s, 100 % answered, behind by 0.4 ms (p99 4000 ms), 12 connections'
  )
  rig.answer(6)
  for (let index = 0; index < 10; index++) counters.latency.add(800)
  assert.equal(
    rig.after(30),
    'statistics: 0.20 requests/s, 100 % answered, behind by 0.81 ms (p99 0.81 ms), 12 connections'
  )
  assert.equal(rig.after(30), 'statistics: 0 requests/s, 12 connections')
})

test('what is not normal follows, and what is left out by choice does not', () => {
  const rig = new Rig()
  const { counters } = rig
  rig.answer(296)
  const { requests } = counters
  for (let count = 0; count < 4; count++) requests.began(0)
  requests.leaveUnanswered(0, Drop.TargetReset, 1)
  requests.settle(0, RequestCount.AnsweredLate, 2)
  requests.giveUp(0, Drop.Hole)
  counters.set(Counter.channelsOpen, 0)
  counters.set(Counter.captureDropped, 17)
  counters.drop(Drop.Hole, 3, 500)
  counters.drop(Drop.SampledOut, 3, 700)
  assert.equal(
    rig.after(1),
    'statistics: 300 requests/s, 99.3 % answered, 0 connections; 2 requests lost; 1 given up: hole; ' +
      '1 not answered: targetReset; 5 more'
  )
})

test('the last line covers the whole time', () => {
  const rig = new Rig()
  rig.answer(50)
  rig.after(5)
  assert.equal(
    rig.after(5, true),
    'statistics since the start: 50 requests, 5.0 requests/s, 100 % answered, 0 connections'
  )
})

test('a line with its time has at most 160 characters, whatever there is to say', () => {
  const words = Array.from({ length: 30 }, (_, index) => `something bad ${index}`)
  for (let count = 0; count <= 30; count++) {
    const line = fit('statistics', { always: ['a'.repeat(40)], abnormal: words.slice(0, count) })
    assert.ok(line.length <= 135, line)
  }
  assert.ok(fit('statistics', { always: ['a'.repeat(400)], abnormal: words }).length <= 135)
})

test('intercept says what it returns, and what it could not', () => {
  const now = { capturedPackets: 1000, forwardedHeaders: 990, routes: 1, peersOpen: 2, unroutedHeaders: 10 }
  assert.equal(
    fit('statistics', interceptParts({ now, before: {}, seconds: 10 })),
    'statistics: 100 answers/s, 99 returned/s, 1 route, 2 tcpcopy connections; 10 without a route'
  )
})
