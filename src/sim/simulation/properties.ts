/**
 * The properties that must hold at the end of every simulation, on each target side and whatever the weather. Each check
 * says how much less is possible after which fault. With few exceptions, only what happened to a connection excuses a
 * loss, and not what tcpcopy reports. What concerns packets alone or streams alone is checked during the run by
 * `objections.ts` and `target-host.ts`, or by `stream-connection.ts` and `stream-lines.ts`.
 */
import assert from 'node:assert/strict'
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { type Conversation, Ending, epochsOf, hasClientFin, Kind, requestLengthOf } from '../scenario/conversation.ts'
import type { Weather } from '../scenario/weather.ts'
import type { Witness } from './witness.ts'

/** One connection of a session, as the target saw it. */
export interface CopiedConnection {
  readonly conversation: Conversation
  /** The address and port of the copy. */
  readonly clientAddress: number
  readonly clientPort: number
  /** The client's bytes that arrived in order: offset of the first, and of the end. */
  readonly start: number
  readonly end: number
  /** End of the bytes that the program has read, or would have read. */
  readonly readTo: number
  readonly hasClientFin: boolean
  /** The target ended the connection before its client did. */
  readonly isCutShort: boolean
  /** A request arrived before the answer that its client had read first. */
  readonly hasOvertaken: boolean
  /** The client's FIN did. */
  readonly hasEndOvertaken: boolean
  /** The client's handshake is complete; on streams, it has sent something. */
  readonly isEstablished: boolean
}

/** A finished run. */
export interface Course {
  readonly weather: Weather
  readonly counters: Counters
  readonly witnesses: readonly Witness[]
  /** All connections of the target. */
  readonly connections: readonly CopiedConnection[]
  /** Bytes of payload in all captured packets. */
  readonly offeredBytes: number
}

const WHOLE = 1_000_000
/** Connections to a target that refuses each of them: two before a pause, and few conversations last for two pauses. */
const REFUSED_MAX = 4

export function checkProperties(course: Course): void {
  checkBooks(course)
  let copies = 0
  let repeats = 0
  for (const witness of course.witnesses) {
    const connections = course.connections.filter((one) => one.conversation === witness.conversation)
    const lives = byCopy(connections)
    for (const life of lives) repeats += checkLife(life, witness, course)
    for (const life of lives) checkCost(life, witness, course)
    for (const life of lives) checkStorm(life, witness, course)
    copies += checkWhole(lives, witness, course)
  }
  checkSelection(copies, course)
  // The counts may differ, because several unacknowledged requests are sent again after one reconnect.
  const continued = course.counters.get(Counter.sessionsContinued)
  assert.ok(repeats === 0 || continued > 0, `${repeats} requests were sent again, but no session reconnected`)
  checkOrder(course)
  checkEnds(course)
  checkHalfOpen(course)
  checkDuplex(course)
}

/** The books close, and nothing is held. */
function checkBooks({ weather, counters, connections, offeredBytes }: Course): void {
  assert.equal(counters.unaccountedBytes(), 0, 'bytes are unaccounted for')
  assert.equal(counters.get(Counter.pendingBytes), 0, 'bytes are pending')
  assert.equal(counters.get(Counter.sessionsEnded), counters.get(Counter.sessionsStarted))
  assert.equal(counters.get(Counter.poolUsedBytes), 0, 'the pool is not empty')
  // With several copies, a byte counts once for each of them.
  if (weather.copier.copies === WHOLE) assert.equal(counters.get(Counter.capturedPayloadBytes), offeredBytes)
  const delivered = counters.get(Counter.deliveredBytes)
  const received = connections.reduce((total, one) => total + one.end - one.start, 0)
  assert.ok(delivered <= received, `${delivered} bytes count as delivered, the target has ${received}`)
}

/** The connections of each copy, in order. Each copy has an address and port of its own. */
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
 * Each connection begins at the beginning of a request, and no request is sent on more than two connections. The target
 * has checked that bytes are right and in order.
 * @returns how many requests were sent again
 */
function checkLife(
  life: readonly CopiedConnection[],
  witness: Witness,
  { weather, witnesses, counters }: Course
): number {
  const epochs = epochsOf(witness.conversation)
  const name = nameOf(witness)
  for (const { start } of life) {
    const isBeginning = start === 0 || epochs.some(({ begin }) => begin === start)
    assert.ok(isBeginning, `${name}: a connection begins at ${start}`)
    // Where the server speaks first, a connection goes on only from its beginning. Who does is known from connections
    // whose first packets were captured, and whose copies were not evicted before.
    const isKnown = witnesses.every(({ missedCount }) => missedCount === 0) && !wasPoolShort(counters)
    const { serverFirst, duplex } = weather.traffic
    const isWholeOnly = serverFirst > 0 && duplex === 0 && isKnown
    assert.ok(start === 0 || !isWholeOnly, `${name}: the server speaks first, but a connection begins at ${start}`)
  }
  let repeats = 0
  for (const { begin, end } of epochs) {
    const sent = life.filter((one) => Math.max(one.start, begin) < Math.min(one.end, end)).length
    assert.ok(sent <= 2, `${name}: the request at ${begin} was sent ${sent} times`)
    if (sent === 2) repeats += 1
  }
  return repeats
}

/** The pool ran short, which the counters show. Then any request may be lost. */
function wasPoolShort(counters: Counters): boolean {
  return counters.droppedBytes(Drop.PoolFull) > 0 || counters.get(Counter.sessionsEvicted) > 0
}

/** The pool ran short, or a copy gave up its port. */
function hasDroppedSome(counters: Counters): boolean {
  return wasPoolShort(counters) || counters.get(Counter.copiesMoved) > 0
}

/** A target that ends each connection gets few of them, and a pause follows. */
function checkStorm(life: readonly CopiedConnection[], witness: Witness, { weather, counters }: Course): void {
  const { earlyClose, earlyReset, restarts, outages, refusing } = weather.target
  const isCalm = earlyClose === 0 && earlyReset === 0 && refusing === 0 && restarts.length + outages.length === 0
  if (isCalm) assert.equal(counters.get(Counter.reconnectPauses), 0, 'a session paused, but its target works')
  if (refusing === 0 || witness.missedCount > 0) return
  const read = life.filter((one) => one.end > one.start).length
  assert.ok(read <= REFUSED_MAX, `${nameOf(witness)}: a target that refuses got ${read} connections`)
}

/**
 * A fault only costs the requests that it affects: the one in flight if the target ended the connection, and the one
 * whose bytes were missed, and also the next one if its beginning is ambiguous.
 */
function checkCost(life: readonly CopiedConnection[], witness: Witness, course: Course): void {
  const { repetition, disorderMs, corruption } = course.weather.capture
  // With retransmitted or late packets the beginning of a request is ambiguous more often, so more requests are lost.
  if (repetition > 0 || disorderMs > 0 || corruption > 0 || hasDroppedSome(course.counters)) return
  // Where the server speaks first, a connection that breaks is given up.
  const isBroken = witness.missedCount > 0 || life.some((one) => one.isCutShort)
  if (course.weather.traffic.serverFirst > 0 && isBroken) return
  if (course.counters.get(Counter.reconnectPauses) > 0) return
  // Without its SYN a connection looks like the continuation of an earlier one.
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
 * If a conversation was captured completely and the target ended no connection early, each copy delivers every byte of
 * it on one connection.
 * @returns how many copies there were
 */
function checkWhole(lives: readonly CopiedConnection[][], witness: Witness, course: Course): number {
  const { conversation } = witness
  const length = requestLengthOf(conversation)
  const started = lives.filter((life) => life.some((one) => one.end > one.start))
  if (isExcused(witness, lives.flat(), course)) return started.length
  const name = nameOf(witness)
  for (const life of started) {
    const readers = life.filter((one) => one.end > one.start)
    assert.ok(readers.length === 1, `${name}: copied on ${readers.length} connections`)
    for (const reader of readers) {
      assert.equal(reader.end, length, `${name}: the target did not get what the client sent`)
      assert.equal(reader.readTo, length, `${name}: the target did not read what the client sent`)
      // A reset of the next connection, whose SYN was missed, looks like one of this connection and ends it.
      if (course.witnesses.some((one) => one.isTakenFor(witness))) continue
      const isClosing = hasClientFin(conversation) && witness.hasFin
      assert.equal(reader.hasClientFin, isClosing, `${name}: the target saw ${isClosing ? 'no FIN' : 'a FIN'}`)
    }
  }
  const { share, copies } = course.weather.copier
  const least = length === 0 || share < WHOLE ? 0 : Math.floor(copies / WHOLE)
  const range = `${least} to ${Math.ceil(copies / WHOLE)}`
  assert.ok(
    started.length >= least && started.length <= Math.ceil(copies / WHOLE),
    `${name}: ${started.length} copies, not ${range}`
  )
  return started.length
}

/** Whether a conversation may be delivered in part, or on more than one connection. */
function isExcused(witness: Witness, connections: readonly CopiedConnection[], { weather, counters }: Course): boolean {
  // Not all of it was captured.
  if (!witness.isWhole) return true
  // If the kernel reports losses, a hole is given up before a damaged packet is retransmitted.
  if (witness.missedCount > 0 && weather.capture.isTold) return true
  // Only exact counts of answers show that a client had read the source's FIN, and missed packets make them inexact.
  if (witness.missedCount > 0 && witness.conversation.ending === Ending.ServerHalfCloses) return true
  // The target ended a connection before its client did.
  if (connections.some((one) => one.isCutShort)) return true
  // It is not known here which connections a full pool or a given-up port affected.
  return hasDroppedSome(counters)
}

/** `-r` chooses exactly its share of connections, and `-n` makes exactly as many copies. */
function checkSelection(copies: number, { weather, counters, witnesses }: Course): void {
  const { share } = weather.copier
  // SYNs of clients that never acknowledge may wait for ever.
  if (weather.traffic.halfOpen > 0) return
  // With missed packets, a connection may be joined more than once, or never be seen.
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
 * No request overtakes the answer that it waits for, unless a counter shows it. This can only be checked if the target
 * answers exactly as the source did, and if every packet was captured, so that the start of the source's answers is
 * known.
 */
function checkOrder({ weather, counters, witnesses, connections }: Course): void {
  if (weather.traffic.answerError > 0 || wasPoolShort(counters)) return
  const known = new Set(witnesses.filter((one) => one.missedCount === 0).map((one) => one.conversation))
  // After one request that was sent early, the counts of answers differ for the rest of its connection.
  const isOrdered = (one: Conversation): boolean => one.kind !== Kind.Duplex && known.has(one)
  const overtaken = connections.filter((one) => one.hasOvertaken && isOrdered(one.conversation)).length
  const excused = counters.get(Counter.epochsQuiet) + counters.get(Counter.epochTimeouts)
  assert.ok(overtaken <= excused, `requests overtook answers on ${overtaken} connections, ${excused} are counted`)
}

/**
 * The FIN of a client that had read everything does not overtake the answer, however slow the target is. After several
 * requests, one that timed out may have been sent early; and a new connection may need the port.
 */
function checkEnds({ weather, counters, witnesses, connections }: Course): void {
  if (weather.traffic.answerError > 0 || wasPoolShort(counters)) return
  const known = new Set(witnesses.filter((one) => one.missedCount === 0).map((one) => one.conversation))
  for (const { conversation, hasEndOvertaken, isCutShort, start } of connections) {
    if (start > 0 || isCutShort || !known.has(conversation) || epochsOf(conversation).length > 1) continue
    // A last byte alone looks like the source's FIN.
    const { exchanges } = conversation
    if (exchanges.length > 1 && exchanges.at(-1)?.answerLength === 1) continue
    const isPortWanted = witnesses.some((one) => isSuccessor(one.conversation, conversation))
    assert.ok(
      !hasEndOvertaken || isPortWanted,
      `the FIN of ${formatEndpoint(conversation.clientAddress, conversation.clientPort)} overtook the answer`
    )
  }
}

/** A copy is not established before its client's connection is. */
function checkHalfOpen({ connections }: Course): void {
  for (const { conversation, isEstablished } of connections) {
    const who = formatEndpoint(conversation.clientAddress, conversation.clientPort)
    assert.ok(
      conversation.kind !== Kind.HalfOpen || !isEstablished,
      `the copy of ${who} is not half-open as its client`
    )
  }
}

/** Where both sides talk at once, messages do not wait for answers, and nowhere else. */
function checkDuplex({ counters, witnesses, connections }: Course): void {
  const ungated = counters.get(Counter.sessionsUngated)
  const duplex = witnesses.filter(({ conversation }) => conversation.kind === Kind.Duplex)
  if (duplex.length === 0) {
    assert.equal(ungated, 0, 'requests did not wait for answers')
    return
  }
  for (const witness of duplex) {
    const own = connections.filter(({ conversation }) => conversation === witness.conversation)
    const isSeen = witness.missedCount === 0 && own.some(({ start, end }) => start === 0 && end > start)
    assert.ok(!isSeen || ungated > 0 || wasPoolShort(counters), `${nameOf(witness)}: messages waited for answers`)
  }
}

function isSuccessor(one: Conversation, before: Conversation): boolean {
  const isSameClient = one.clientAddress === before.clientAddress && one.clientPort === before.clientPort
  return isSameClient && one.beginsAt > before.beginsAt
}

function nameOf({ conversation }: Witness): string {
  return `${formatEndpoint(conversation.clientAddress, conversation.clientPort)} ${conversation.iss >>> 0}`
}
