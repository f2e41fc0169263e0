/**
 * `npm run bench:micro`: wire, core and intercept's loop alone, in ns per packet, compared with the committed figures.
 *
 * Machines differ, and this one may be busy, so each figure is compared as a multiple of the time of a fixed loop that is
 * measured with it. `--write` commits the figures of this run to bench/micro.json.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { FlowTable } from '../src/core/memory/flow-table.ts'
import { int32At } from '../src/wire/bytes.ts'
import { HEADER_LENGTH, parseRecord, putHeader } from '../src/wire/channel/channel-v1.ts'
import { copyAndSum } from '../src/wire/checksum.ts'
import { Flow } from '../src/wire/flow.ts'
import { parseIpv4, Segment, verifyChecksum } from '../src/wire/segment.ts'
import { InterceptRig } from './micro/intercept-rig.ts'
import { Rig, sampleRequest } from './micro/rig.ts'

/** dist/bench/micro.js → bench/micro.json of the checkout. */
const figuresFile = new URL('../../bench/micro.json', import.meta.url)
const ROUNDS = 150
/** Shorter than a time slice, so that some rounds run without interruption. */
const ROUND_MS = 2
const CONNECTIONS = 50
const FLOWS = 100_000

/** ns of one turn of the work and of the fixed loop, each the minimum of several rounds. */
interface Figure {
  readonly ns: number
  readonly yardstickNs: number
}

interface Work {
  readonly name: string
  /** Does it `count` times. */
  readonly run: (count: number) => void
}

function segmentWorks(): Work[] {
  const segment = new Segment()
  const short = sampleRequest(64)
  const long = sampleRequest(1448)
  const record = new Uint8Array(HEADER_LENGTH)
  const store = new Uint8Array(2048)
  const repeat = (step: () => void) => (count: number) => {
    for (let index = 0; index < count; index++) step()
  }
  parseIpv4(long, 0, long.length, long.length, false, segment)
  const whole = new Segment()
  parseIpv4(long, 0, long.length, long.length, false, whole)
  return [
    { name: 'parse a segment', run: repeat(() => parseIpv4(short, 0, short.length, short.length, false, segment)) },
    { name: 'verify the checksum of 1448 octets', run: repeat(() => verifyChecksum(whole)) },
    { name: 'copy and sum 64 octets', run: repeat(() => copyAndSum(short, 52, store, 0, 64)) },
    { name: 'write a record of the channel, and read it', run: repeat(() => roundTrip(short, record, segment)) }
  ]
}

function roundTrip(packet: Uint8Array, record: Uint8Array, segment: Segment): void {
  putHeader(packet, 0, record, 0)
  parseRecord(record, 0, segment)
}

function flowWork(): Work {
  const table = new FlowTable()
  const key = new Flow()
  for (let flow = 0; flow < FLOWS; flow++) table.set(key.set(flow * 7919, flow & 0xffff, 1, 80), flow)
  let found = 0
  let at = 0
  const run = (count: number): void => {
    for (let index = 0; index < count; index++) {
      at = (at + 48_271) % FLOWS
      found += table.get(key.set(at * 7919, at & 0xffff, 1, 80))
    }
    if (found < 0) throw new Error('a flow was not found')
  }
  return { name: `find one of ${FLOWS} flows`, run }
}

function sessionWork(octets: number): Work {
  const rig = new Rig(CONNECTIONS, octets, 5)
  const run = (count: number): void => {
    for (let turn = 0; turn < count / CONNECTIONS; turn++) rig.turn()
  }
  return { name: `a request of ${octets} octets and its answer through a session`, run }
}

/** @param segments of each answer. @param packets taken in each turn, whose fixed cost is included */
function interceptWork(segments: number, packets: number): Work {
  const rig = new InterceptRig(CONNECTIONS, segments)
  const run = (count: number): void => {
    for (let turn = 0; turn < count / packets; turn++) rig.turn(packets)
  }
  const answers = segments === 1 ? 'single segments' : `answers of ${segments} segments`
  return { name: `intercept, a packet: ${answers}, ${packets} packets a turn`, run }
}

const yardstick = new Int32Array(4096).map((_, index) => index * 0x9e3779b1)
let yardstickSum = 0

/** A loop that never changes: arithmetic in the first-level cache. */
function runYardstick(count: number): void {
  for (let turn = 0; turn < count; turn++) {
    for (let index = 0; index < 256; index++) yardstickSum = (yardstickSum + int32At(yardstick, index)) | 0
  }
}

function nsOf(run: (count: number) => void, count: number): number {
  const begun = process.hrtime.bigint()
  run(count)
  return Number(process.hrtime.bigint() - begun) / count
}

/** How many repetitions take about one round. */
function calibrate(run: (count: number) => void): number {
  let count = 1000
  while (nsOf(run, count) * count < ROUND_MS * 1e6) count *= 2
  return count
}

function measure({ run }: Work): Figure {
  const count = calibrate(run)
  const yardstickCount = calibrate(runYardstick)
  let ns = Number.POSITIVE_INFINITY
  let yardstickNs = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    yardstickNs = Math.min(yardstickNs, nsOf(runYardstick, yardstickCount))
    ns = Math.min(ns, nsOf(run, count))
  }
  return { ns: Math.round(ns * 10) / 10, yardstickNs: Math.round(yardstickNs * 10) / 10 }
}

function readFigures(): Record<string, Figure> {
  try {
    // as: this program wrote the file.
    return JSON.parse(readFileSync(figuresFile, 'utf8')) as Record<string, Figure>
  } catch {
    return {}
  }
}

const { values } = parseArgs({ options: { write: { type: 'boolean' }, json: { type: 'boolean' } } })
const committed = readFigures()
const works = [
  ...segmentWorks(),
  flowWork(),
  sessionWork(64),
  sessionWork(1448),
  sessionWork(20_000),
  interceptWork(14, 70),
  interceptWork(1, 35),
  interceptWork(1, 1)
]
const figures = Object.fromEntries(works.map((work) => [work.name, measure(work)]))
const rows = Object.entries(figures).map(([name, { ns, yardstickNs }]) => {
  const before = committed[name]
  const ratio = before === undefined ? undefined : ns / yardstickNs / (before.ns / before.yardstickNs)
  return { name, ns, committedNs: before?.ns, ratio }
})
if (values.json === true) console.log(JSON.stringify(rows))
else {
  console.log(`${'ns'.padStart(8)} ${'before'.padStart(8)} ${'ratio'.padStart(6)}`)
  for (const { name, ns, committedNs, ratio } of rows) {
    const cells = [ns.toFixed(0).padStart(8), (committedNs?.toFixed(0) ?? '').padStart(8)]
    console.log(...cells, (ratio?.toFixed(2) ?? '').padStart(6), ` ${name}`)
  }
}
if (values.write === true) writeFileSync(figuresFile, `${JSON.stringify(figures, undefined, 2)}\n`)
