/** What drills share, whatever they run on: the hosts of a script, the packets of its lines, and lines about counts. */
import assert from 'node:assert/strict'
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop, dropNames } from '../../core/books/drop.ts'
import { type RequestBooks, RequestCount } from '../../core/books/request-books.ts'
import { parseAddress } from '../../wire/address.ts'
import { Flow } from '../../wire/flow.ts'
import { SYN } from '../../wire/segment.ts'
import { encodeOptions, writePacket } from '../network/packet.ts'
import type { Endpoint, PlainLine, SegmentLine } from './drill-script.ts'

export const client: Endpoint = { address: parseAddress('10.0.0.1') ?? 0, port: 40001 }
export const source: Endpoint = { address: parseAddress('10.0.0.2') ?? 0, port: 80 }
export const target: Endpoint = { address: parseAddress('10.0.0.3') ?? 0, port: 8080 }

/** Timers fire on whole milliseconds, and smoothed times have fractions. */
export const TOLERANCE_MS = 1

/** The byte of a stream at a sequence number, where a script does not write the payload. */
export function byteAt(seq: number): number {
  return (Math.imul(seq, 0x9e3779b1) >>> 24) & 255
}

/** The packet of a line, from one endpoint to another where the line does not name them. */
export function packetOf(line: SegmentLine, from: Endpoint, to: Endpoint): Uint8Array {
  const first = line.flags & SYN ? line.seq + 1 : line.seq
  const payload =
    line.text !== undefined
      ? new TextEncoder().encode(line.text)
      : Uint8Array.from({ length: line.length }, (_, index) => byteAt(first + index))
  return writePacket({
    fromAddress: from.address,
    fromPort: from.port,
    toAddress: to.address,
    toPort: to.port,
    flags: line.flags,
    seq: line.seq,
    ack: line.ack,
    window: line.window,
    urgentPointer: line.urgentPointer,
    ipId: line.ipId,
    ttl: line.ttl,
    trafficClass: line.trafficClass,
    options: line.options === undefined ? undefined : encodeOptions(line.options),
    payload
  })
}

/** A worker as drills see it, whatever its target side is. */
interface DrilledWorker {
  readonly now: number
  readonly counters: Counters
  readonly ended: Drop[]
  readonly pool: { readonly usedCount: number }
  readonly sessions: {
    readonly count: number
    shutdown(now: number): void
    onPortTaken(flow: Flow, now: number): void
  }
  step(now: number): void
}

/** A run of a script. */
export interface DrillRun {
  readonly worker: DrilledWorker
  /** The instant of the line at hand. */
  readonly nominal: number
  /** An endpoint of the script as it is in this run. */
  as(endpoint: Endpoint): Endpoint
  /** Sessions hibernate at once, and are settled only when they wake up or end. */
  readonly isHibernating: boolean
  /** Whether this run moves a counter as the script says. */
  counts(counter: Counter): boolean
  fail(message: string): never
}

/** Does what a line says that is not about a packet. */
export function perform(run: DrillRun, line: PlainLine): void {
  const { worker } = run
  const equal = (actual: number | string, expected: number | string, what: string): void => {
    if (actual !== expected) run.fail(`${what}: expected ${expected}, actual ${actual}`)
  }
  switch (line.kind) {
    case 'lost':
      worker.counters.set(Counter.captureDropped, line.value)
      break
    case 'taken': {
      const [from = '', port = ''] = line.name.split(':')
      const taken = run.as({ address: parseAddress(from) ?? 0, port: Number(port) })
      const to = run.as(target)
      worker.sessions.onPortTaken(new Flow().set(taken.address, taken.port, to.address, to.port), worker.now)
      worker.step(worker.now)
      break
    }
    case 'stall':
      worker.step(run.nominal)
      break
    case 'shutdown':
      worker.sessions.shutdown(worker.now)
      break
    case 'counter': {
      const counter = counterOf(line.name)
      if (run.counts(counter)) equal(worker.counters.get(counter), line.value, line.name)
      break
    }
    case 'dropped':
      equal(worker.counters.droppedPackets(reasonOf(line.name)), line.value, `packets ${line.name}`)
      break
    case 'ended':
      equal(dropNames[worker.ended.shift() ?? -1] ?? 'not ended', line.name, 'end')
      break
    case 'sessions':
      equal(worker.sessions.count, line.value, 'sessions')
      break
    case 'pieces':
      equal(worker.pool.usedCount, line.value, 'pieces')
      break
    case 'requests':
      if (run.isHibernating && worker.counters.requests.get(RequestCount.InFlight) > 0) break
      equal(
        outcomesOf(worker.counters.requests),
        line.outcomes
          .split(/ (?=[a-z])/)
          .sort()
          .join(' '),
        'requests'
      )
      break
    case 'nothing':
      break
    default:
      line satisfies never
  }
}

/** Everything that has become of requests, in the notation of scripts. */
function outcomesOf(books: RequestBooks): string {
  const { InFlight, Answered, AnsweredLate, NotAwaited } = RequestCount
  const plain = { InFlight, Answered, AnsweredLate, NotAwaited }
  const counts: [string, number][] = Object.entries(plain).map(([name, what]) => [
    name.charAt(0).toLowerCase() + name.slice(1),
    books.get(what)
  ])
  for (const reason of Object.values(Drop)) {
    counts.push([`notAnswered.${dropNames[reason]}`, books.notAnswered(reason)])
    counts.push([`dropped.${dropNames[reason]}`, books.dropped(reason)])
  }
  const occurred = counts.filter(([, count]) => count !== 0).map(([name, count]) => `${name} ${count}`)
  return occurred.sort().join(' ')
}

function counterOf(name: string): Counter {
  const entry = Object.entries(Counter).find(([known]) => known === name)
  assert.ok(entry !== undefined, `there is no counter ${name}`)
  return entry[1]
}

function reasonOf(name: string): Drop {
  const found = Object.values(Drop).find((reason) => dropNames[reason] === name)
  assert.ok(found !== undefined, `there is no drop reason ${name}`)
  return found
}
