/** The properties of the books of requests, held against what clients sent and the target read. */
import assert from 'node:assert/strict'
import { Counter } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { RequestCount } from '../../core/books/request-books.ts'
import { epochsOf } from '../scenario/conversation.ts'
import type { CopiedConnection, Course } from './properties.ts'

const WHOLE = 1_000_000

export function checkRequests(course: Course): void {
  const { requests } = course.counters
  assert.equal(requests.unaccounted(), 0, 'requests are unaccounted for')
  assert.equal(requests.get(RequestCount.InFlight), 0, 'requests are in flight')
  checkAnswered(course)
  checkCaptured(course)
}

/** No request counts as answered that the target has not read. */
function checkAnswered({ counters, witnesses, connections }: Course): void {
  const { requests } = counters
  let read = 0
  for (const { conversation } of witnesses) {
    const own = connections.filter((one) => one.conversation === conversation)
    for (const life of copiesOf(own)) {
      read += epochsOf(conversation).filter(({ begin, end }) =>
        life.some((one) => one.start <= begin && one.readTo >= end)
      ).length
    }
  }
  const answered = requests.get(RequestCount.Answered) + requests.get(RequestCount.AnsweredLate)
  assert.ok(answered <= read, `${answered} requests count as answered, the target has read ${read}`)
}

/** The connections of each copy. */
function copiesOf(connections: readonly CopiedConnection[]): CopiedConnection[][] {
  const keyOf = (one: CopiedConnection): string => `${one.clientAddress} ${one.clientPort}`
  return [...new Set(connections.map(keyOf))].map((key) => connections.filter((one) => keyOf(one) === key))
}

/** If everything was captured, so was every request. */
function checkCaptured({ weather, counters, witnesses }: Course): void {
  if (weather.copier.copies !== WHOLE || witnesses.some((one) => one.missedCount > 0)) return
  // Packets of connections that are left out are counted without being judged, so forged ones count as well.
  if (weather.capture.forging > 0 && weather.copier.share < WHOLE) return
  if (counters.droppedBytes(Drop.PoolFull) > 0 || counters.get(Counter.sessionsEvicted) > 0) return
  const sent = witnesses.reduce((total, one) => total + epochsOf(one.conversation).length, 0)
  assert.equal(counters.requests.get(RequestCount.Captured), sent, 'requests captured')
}
