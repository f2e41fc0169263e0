/** The books of tcpcopy: its final statistics, in which every captured byte is accounted for. */
import assert from 'node:assert/strict'
import { lastStatistics } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { stopCleanly, untilCounter } from './waiting.ts'

export type Books = Readonly<Record<string, number>>

/** Every way in which a request can end. */
const OUTCOMES = [
  'requestsAnswered',
  'requestsAnsweredLate',
  'requestsNotAwaited',
  'requestsNotAnswered',
  'requestsGivenUp',
  'requestsLeftOut',
  'requestsAtStop'
]

/** The value of a counter, or a condition on it. */
type Expectation = number | ((count: number, books: Books) => boolean)

/** What a test expects of the counters it names. */
export type ExpectedBooks = Readonly<Record<string, Expectation>>

/** A copy loses nothing unless its test says otherwise. */
const NOTHING_LOST: ExpectedBooks = { droppedBytes: 0 }
/** Where no bytes are lost, no request is. */
const ALL_ANSWERED: ExpectedBooks = { requestsNotAnswered: 0, requestsGivenUp: 0 }

/** Whether something was counted. */
export const some = (count: number): boolean => count > 0

/** Accepts every count, where losses are part of the test. */
export const unchecked = (): boolean => true

/** Of droppedBytes: nothing was dropped but what `-r` leaves out. */
export const onlySampledOut = (count: number, books: Books): boolean => count === books['dropped.sampledOut.bytes']

/**
 * Waits until the target has acknowledged everything: that it has the last request does not mean that its acknowledgment
 * came back.
 */
export async function untilSettled(tcpcopy: Program): Promise<void> {
  await untilCounter(tcpcopy, 'pendingBytes', (count) => count === 0)
}

/** Stops tcpcopy once nothing is pending, and checks its books. */
export async function finishCopy(tcpcopy: Program, expected: ExpectedBooks = {}): Promise<Books> {
  await untilSettled(tcpcopy)
  return await stopCopy(tcpcopy, expected)
}

/** Stops tcpcopy at once, and checks its books. */
export async function stopCopy(tcpcopy: Program, expected: ExpectedBooks = {}): Promise<Books> {
  await stopCleanly(tcpcopy)
  const entries = Object.entries(lastStatistics(tcpcopy.stderr) ?? {})
  const books = Object.fromEntries(entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number'))
  assertClosed(books)
  const requests = expected.droppedBytes === undefined ? ALL_ANSWERED : {}
  const all = { ...NOTHING_LOST, ...requests, ...expected }
  for (const [name, expectation] of Object.entries(all)) check(books, name, expectation)
  return books
}

/** Every captured byte and request is in one account, and nothing is left open. */
function assertClosed(books: Books): void {
  const sum = (names: readonly string[]): number => names.reduce((total, name) => total + (books[name] ?? 0), 0)
  const drops = Object.keys(books).filter((name) => /^dropped\..*\.bytes$/.test(name))
  assert.equal(books.unaccountedBytes, 0, JSON.stringify(books))
  assert.equal(books.capturedPayloadBytes, sum(['deliveredBytes', 'duplicateBytes', 'pendingBytes', ...drops]))
  assert.equal(books.pendingBytes, 0)
  assert.equal(books.unaccountedRequests, 0, JSON.stringify(books))
  assert.equal(books.requestsCaptured, sum(OUTCOMES), JSON.stringify(books))
  assert.equal(books.requestsInFlight, 0)
  assert.equal(books.poolUsedBytes, 0)
  assert.equal(books.sessionsStarted, books.sessionsEnded)
}

function check(books: Books, name: string, expectation: Expectation): void {
  // tcpcopy lists a reason for drops only where it applied.
  const count = books[name] ?? (name.startsWith('dropped.') ? 0 : Number.NaN)
  const message = `${name} is ${count} in ${JSON.stringify(books)}`
  if (typeof expectation === 'number') assert.equal(count, expectation, message)
  else assert.ok(expectation(count, books), message)
}
