/**
 * What must be right at the end of every simulation, on either target side and whatever the weather was. Where a fault makes
 * less possible, it is said here how much less, and why; only what happened to a connection excuses it, never what tcpcopy
 * says of it. What only packets or only streams have to do right their targets see to as they go: `objections.ts` and
 * `target-host.ts`, `stream-connection.ts` and `stream-lines.ts`.
 */
import assert from 'node:assert/strict'
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { type Conversation, Ending, epochsOf, hasClientFin, requestLengthOf } from '../scenario/conversation.ts'
import type { Weather } from '../scenario/weather.ts'
import type { Witness } from './witness.ts'

/** What the target had of one connection of a session. */
export interface CopiedConnection {
  readonly conversation: Conversation
  /** As whom the session speaks. */
  readonly clientAddress: number
  readonly clientPort: number
  /** Of the octets that came, in order and the client's own: offset of the first, and one beyond the last. */
  readonly start: number
  readonly end: number
  /** One beyond the last octet that the program has read, or would have. */
  readonly readTo: number
  readonly hasClientFin: boolean
  /** The target ended it although the client had not. */
  readonly isCutShort: boolean
  /** A request came before the answer that its client had read first. */
  readonly hasOvertaken: boolean
}

/** A run that has ended. */
export interface Course {
  readonly weather: Weather
  readonly counters: Counters
  readonly witnesses: readonly Witness[]
  /** All that the target had. */
  readonly connections: readonly CopiedConnection[]
  /** Octets of payload that the capture was given. */
  readonly offeredBytes: number
}

const WHOLE = 1_000_000

export function checkProperties(course: Course): void {
  checkBooks(course)
  let copies = 0
  let repeats = 0
  for (const witness of course.witnesses) {
    const connections = course.connections.filter((one) => one.conversation === witness.conversation)
    const lives = byCopy(connections)
    for (const life of lives) repeats += checkLife(life, witness, course)
    for (const life of lives) checkCost(life, witness, course)
    copies += checkWhole(lives, witness, course)
  }
  checkSelection(copies, course)
  // A connection may end while several requests are not acknowledged: what is counted are the connections that went on.
  const continued = course.counters.get(Counter.sessionsContinued)
  assert.ok(repeats === 0 || continued > 0, `${repeats} requests were sent again, but no session went on`)
  checkOrder(course)
}

/** Every octet is in exactly one place, and nothing is held. */
function checkBooks({ weather, counters, connections, offeredBytes }: Course): void {
  assert.equal(counters.unaccountedBytes(), 0, 'octets are in no place of the books')
  assert.equal(counters.get(Counter.pendingBytes), 0, 'octets are pending')
  assert.equal(counters.get(Counter.sessionsEnded), counters.get(Counter.sessionsStarted))
  assert.equal(counters.get(Counter.poolUsedBytes), 0, 'the pool is not empty')
  // Of several copies each has its own books.
  if (weather.copier.copies === WHOLE) assert.equal(counters.get(Counter.capturedPayloadBytes), offeredBytes)
  const delivered = counters.get(Counter.deliveredBytes)
  const received = connections.reduce((total, one) => total + one.end - one.start, 0)
  assert.ok(delivered <= received, `${delivered} octets count as delivered, the target has ${received}`)
}

/** The connections of each copy, one after another: each copy speaks with an address and port of its own. */
function byCopy(connections: readonly CopiedConnection[]): CopiedConnection[][] {
  const lives = new Map<string, CopiedConnection[]>()
  for (const connection of connections) {
    const key = formatEndpoint(connection.clientAddress, connection.clientPort)
    const life = lives.get(key)
    if (life === undefined) lives.set(key, [connection])
    else life.push(connection)
  }
  return [...lives.values()]
}

/**
 * On each connection the target got requests from the beginning of one on, in order, once (that they are the client's,
 * in order, the target saw to), and no request on more than two connections.
 * @returns how many requests were sent again
 */
function checkLife(life: readonly CopiedConnection[], witness: Witness, { counters }: Course): number {
  const epochs = epochsOf(witness.conversation)
  const name = nameOf(witness)
  // A copy that joins in mid-stream begins where it can: with a packet whose beginning was missed, or dropped, or after
  // it had given its port away.
  const mayJoin = witness.missedCount > 0 || hasDroppedSome(counters)
  for (const { start } of life) {
    const isBeginning = start === 0 || epochs.some(({ begin }) => begin === start)
    assert.ok(isBeginning || (mayJoin && witness.payloadStarts.has(start)), `${name}: a connection begins at ${start}`)
  }
  let repeats = 0
  for (const { begin, end } of epochs) {
    const sent = life.filter((one) => Math.max(one.start, begin) < Math.min(one.end, end)).length
    assert.ok(sent <= 2, `${name}: the request at ${begin} was sent ${sent} times`)
    if (sent === 2) repeats += 1
  }
  return repeats
}

/** The pool was short: that is said, and costs what it costs. */
function wasPoolShort(counters: Counters): boolean {
  return counters.droppedBytes(Drop.PoolFull) > 0 || counters.get(Counter.sessionsEvicted) > 0
}

/** So it is where a copy gave its port away. */
function hasDroppedSome(counters: Counters): boolean {
  return wasPoolShort(counters) || counters.get(Counter.copiesMoved) > 0
}

/**
 * A fault costs the requests that it touched, and no more: where the target ended a connection, the one that was under
 * way; where octets were missed, those of the request, and the next one if nobody saw where it begins.
 */
function checkCost(life: readonly CopiedConnection[], witness: Witness, course: Course): void {
  const { repetition, disorderMs, corruption } = course.weather.capture
  // Where a request begins is less sure when its packets come twice, or late: then the one after that begins anew.
  if (repetition > 0 || disorderMs > 0 || corruption > 0 || hasDroppedSome(course.counters)) return
  // Without its SYN a connection looks like one in the middle of the one before it.
  if (!witness.hasSyn || course.witnesses.some((one) => one.isTakenFor(witness))) return
  let isBeginningSeen = true
  for (const { begin, end } of epochsOf(witness.conversation)) {
    const isSeen = isBeginningSeen && witness.hasSeen(begin, end)
    isBeginningSeen = witness.hasSeen(end - 1, end)
    const isDelivered = life.some((one) => one.start <= begin && one.end >= end)
    const isCut = life.some((one) => one.isCutShort && one.end >= begin && one.end < end)
    const whose = `${nameOf(witness)}, copied from ${life[0]?.clientPort}`
    assert.ok(!isSeen || isDelivered || isCut, `${whose}: the request at ${begin} was lost`)
  }
}

/**
 * What was captured whole and whose connections the target let live is read whole: every octet, on one connection.
 * @returns how many copies there were of it
 */
function checkWhole(lives: readonly CopiedConnection[][], witness: Witness, course: Course): number {
  const { conversation } = witness
  const octets = requestLengthOf(conversation)
  const started = lives.filter((life) => life.some((one) => one.end > one.start))
  if (isExcused(witness, lives.flat(), course)) return started.length
  const name = nameOf(witness)
  for (const life of started) {
    const readers = life.filter((one) => one.end > one.start)
    assert.ok(readers.length === 1, `${name}: copied on ${readers.length} connections`)
    for (const reader of readers) {
      assert.equal(reader.end, octets, `${name}: the target did not get what the client sent`)
      assert.equal(reader.readTo, octets, `${name}: the target did not read what the client sent`)
      // A packet of the next connection, whose SYN was missed, looks like one of this: its reset ends it.
      if (course.witnesses.some((one) => one.isTakenFor(witness))) continue
      const isClosing = hasClientFin(conversation) && witness.hasFin
      assert.equal(reader.hasClientFin, isClosing, `${name}: the target saw ${isClosing ? 'no FIN' : 'a FIN'}`)
    }
  }
  const { share, copies } = course.weather.copier
  const least = octets === 0 || share < WHOLE ? 0 : Math.floor(copies / WHOLE)
  const range = `${least} to ${Math.ceil(copies / WHOLE)}`
  assert.ok(
    started.length >= least && started.length <= Math.ceil(copies / WHOLE),
    `${name}: ${started.length} copies, not ${range}`
  )
  return started.length
}

/** Why less than all of a conversation may be read, or on more than one connection. */
function isExcused(witness: Witness, connections: readonly CopiedConnection[], { weather, counters }: Course): boolean {
  // Not all of it was captured.
  if (!witness.isWhole) return true
  // Where the kernel tells of losses a hole is given up before a damaged packet has been sent again.
  if (witness.missedCount > 0 && weather.capture.isTold) return true
  // That a client had read the source's FIN is told by the count of answers, and that by packets some of which were missed.
  if (witness.missedCount > 0 && witness.conversation.ending === Ending.ServerHalfCloses) return true
  // The target ended a connection before its client.
  if (connections.some((one) => one.isCutShort)) return true
  // Which connections a full pool, or a port that was given away, cost is not told here.
  return hasDroppedSome(counters)
}

/** `-r` leaves out the share that it says, and `-n` copies as often, exactly. */
function checkSelection(copies: number, { weather, counters, witnesses }: Course): void {
  const { share } = weather.copier
  // A connection in mid-stream may be met more than once, and one whose packets were all missed never.
  if (witnesses.some((witness) => witness.missedCount > 0)) return
  const chosen = witnesses.length - counters.get(Counter.flowsLeftOut)
  const expected = (witnesses.length * share) / WHOLE
  assert.ok(Math.abs(chosen - expected) < 1, `${chosen} of ${witnesses.length} connections are copied`)
  const begun = counters.get(Counter.sessionsStarted) - counters.get(Counter.sessionsContinued)
  assert.ok(copies <= begun, `${copies} copies of ${begun} sessions`)
  if (counters.get(Counter.copiesMoved) > 0 || counters.get(Counter.copiesRefused) > 0) return
  assert.equal(begun - counters.get(Counter.copiesStarted), chosen, 'sessions begun')
}

/**
 * No request overtakes the answer that it waits for, unless that is counted. Only where the target answers as the source
 * did is there such an answer, and only where all was captured is it known where the source's answers begin.
 */
function checkOrder({ weather, counters, witnesses, connections }: Course): void {
  if (weather.traffic.answerError > 0 || wasPoolShort(counters)) return
  const known = new Set(witnesses.filter((one) => one.missedCount === 0).map((one) => one.conversation))
  // One request that went early leaves the counts of answers apart for the rest of its connection.
  const overtaken = connections.filter((one) => one.hasOvertaken && known.has(one.conversation)).length
  const excused = counters.get(Counter.epochsQuiet) + counters.get(Counter.epochTimeouts)
  assert.ok(overtaken <= excused, `requests overtook answers on ${overtaken} connections, ${excused} are counted`)
}

function nameOf({ conversation }: Witness): string {
  return `${formatEndpoint(conversation.clientAddress, conversation.clientPort)} ${conversation.iss >>> 0}`
}
