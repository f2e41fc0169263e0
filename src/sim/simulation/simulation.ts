/**
 * Simulates a copy on a fake clock, between a simulated capture on the source and a simulated target, all from one seed.
 * `weather.ts` says what may go wrong, `properties.ts` what must hold nevertheless. Each seed runs on two target sides:
 * with packets through both daemons (`packet-copying.ts`), and on byte streams (`stream-copying.ts`).
 */
import assert from 'node:assert/strict'
import { Counter, Counters } from '../../core/books/counters.ts'
import { Flaw } from '../../wire/flaw.ts'
import { parseIpv4, Segment } from '../../wire/segment.ts'
import { type Conversation, makeConversation } from '../scenario/conversation.ts'
import { makeDuplex, makeHalfOpen } from '../scenario/odd-clients.ts'
import { Random } from '../scenario/random.ts'
import { Scheduler } from '../scenario/scheduler.ts'
import { describe, makeWeather, type Weather } from '../scenario/weather.ts'
import { type Copying, type Scene, SOURCE } from './copying.ts'
import { Diary } from './diary.ts'
import { Forger } from './forger.ts'
import { PacketCopying } from './packet-copying.ts'
import { checkProperties } from './properties.ts'
import { checkRequests } from './request-properties.ts'
import { StreamCopying } from './stream-copying.ts'
import { type PassingPacket, packetsOf, QUIET } from './traffic.ts'
import { isMissed, Witness } from './witness.ts'

const CLIENT_ADDRESS = 0x0a000100
const START = 1_000_000
/** Limits of simulated time and of events, after which a run fails because it does not end. */
const RUN_MAX_MS = 4 * 3600_000
const EVENTS_MAX = 3_000_000
/**
 * Distance between the initial sequence numbers of conversations, so that a sequence number identifies its
 * conversation.
 */
const SEQ_STRIDE = 2 ** 26
/** Apart from the draws of the weather, so that seeds without odd clients stay as they were. */
const ODD_MASK = 0x3c6e_f372
/** Their address. Each has a port of its own. */
const ODD_ADDRESS = CLIENT_ADDRESS + 8
const ODD_PORT = 60_000

/** The target sides, by name. */
const COPYING = {
  packets: (scene: Scene): Copying => new PacketCopying(scene),
  streams: (scene: Scene): Copying => new StreamCopying(scene)
}
export type Side = keyof typeof COPYING
export const SIDES: readonly Side[] = ['packets', 'streams']

interface Outcome {
  readonly seed: number
  readonly side: Side
  readonly connections: number
  readonly deliveredBytes: number
  readonly retransmissions: number
  /** Packets, or steps on streams. */
  readonly packets: number
  readonly continued: number
  readonly simulatedMs: number
}

/** Runs a simulation. @throws Error if a property does not hold, with the seed, the target side and the weather */
export function simulate(seed: number, side: Side, trace?: (line: string) => void): Outcome {
  const random = new Random(seed)
  const weather = makeWeather(random, seed)
  try {
    return new Simulation(seed, side, weather, random, trace).run()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    const repeat = `  npm run sim -- --seed ${seed} --side ${side} --trace`
    throw new Error(`seed ${seed} on ${side}: ${message}\n${describe(weather)}\n${repeat}`, { cause })
  }
}

class Simulation {
  readonly #seed: number
  readonly #side: Side
  readonly #random: Random
  readonly #weather: Weather
  readonly #scheduler = new Scheduler(START)
  readonly #diary: Diary
  readonly #witnesses: Witness[] = []
  readonly #firstIss: number
  readonly #counters = new Counters()
  readonly #copying: Copying
  readonly #forger: Forger
  readonly #segment = new Segment()
  #captureEndsAt = START
  /** Bytes of payload in all captured packets. */
  #offeredBytes = 0

  constructor(seed: number, side: Side, weather: Weather, random: Random, trace?: (line: string) => void) {
    this.#seed = seed
    this.#side = side
    this.#random = random
    this.#weather = weather
    this.#forger = new Forger(seed, weather.capture.forging)
    this.#diary = new Diary(this.#scheduler, trace)
    const { conversations } = weather.traffic
    // Sequence numbers wrap in half of the runs, mostly soon after the start.
    const wrapping = random.between(0, conversations - 1) * SEQ_STRIDE + random.skewed(1, 100_000)
    this.#firstIss = random.chance(0.5) ? -wrapping | 0 : random.between(-(2 ** 31), 2 ** 31 - 1)
    this.#copying = COPYING[side]({
      weather,
      scheduler: this.#scheduler,
      random,
      counters: this.#counters,
      diary: this.#diary,
      conversationAt: (sequence) => this.#conversationAt(sequence)
    })
  }

  run(): Outcome {
    this.#planTraffic()
    this.#planOddClients()
    const copying = this.#copying
    copying.begin()
    const scheduler = this.#scheduler
    let events = 0
    while (scheduler.now() <= this.#captureEndsAt + 1 || copying.sessionCount > 0) {
      assert.ok(scheduler.step(), 'nothing is due, but sessions live')
      assert.ok(scheduler.now() - START < RUN_MAX_MS, `${copying.sessionCount} sessions do not end`)
      assert.ok(++events < EVENTS_MAX, `${EVENTS_MAX} events and no end: something spins`)
    }
    // Packets in flight arrive, and the target's timers expire.
    const until = scheduler.now() + 120_000
    while (scheduler.now() < until && scheduler.step()) {}
    copying.stop()
    const course = {
      weather: this.#weather,
      counters: this.#counters,
      witnesses: this.#witnesses,
      connections: copying.connections,
      offeredBytes: this.#offeredBytes
    }
    checkProperties(course)
    checkRequests(course)
    return {
      seed: this.#seed,
      side: this.#side,
      connections: this.#witnesses.length,
      deliveredBytes: this.#counters.get(Counter.deliveredBytes),
      retransmissions: this.#counters.get(Counter.retransmissions),
      packets: this.#diary.count,
      continued: this.#counters.get(Counter.sessionsContinued),
      simulatedMs: scheduler.now() - START
    }
  }

  #planTraffic(): void {
    const { capture, traffic } = this.#weather
    const freeAt = new Array<number>(traffic.clients).fill(START + 100)
    for (let serial = 0; serial < traffic.conversations; serial++) {
      const client = this.#random.between(0, traffic.clients - 1)
      const caller = {
        clientAddress: CLIENT_ADDRESS + (client % 3),
        clientPort: traffic.firstPort + client,
        iss: (this.#firstIss + serial * SEQ_STRIDE) | 0,
        beginsAt: (freeAt[client] ?? START) + this.#random.skewed(1, 500)
      }
      const conversation = makeConversation(this.#random, caller, traffic)
      const noise = { ...capture, closedWindow: traffic.closedWindow }
      const packets = packetsOf(conversation, SOURCE, noise, this.#random)
      const witness = new Witness(conversation)
      this.#witnesses.push(witness)
      freeAt[client] = this.#send(witness, packets) + this.#random.between(0, traffic.reuseMs)
    }
  }

  /** Clients that do not take turns with their server. */
  #planOddClients(): void {
    const { halfOpen, duplex } = this.#weather.traffic
    const random = new Random(this.#seed ^ ODD_MASK)
    for (let serial = 0; serial < halfOpen + duplex; serial++) {
      const caller = {
        clientAddress: ODD_ADDRESS,
        clientPort: ODD_PORT + serial,
        iss: (this.#firstIss + this.#witnesses.length * SEQ_STRIDE) | 0,
        beginsAt: START + 100 + random.skewed(1, 2000)
      }
      const conversation = serial < halfOpen ? makeHalfOpen(random, caller) : makeDuplex(random, caller)
      const witness = new Witness(conversation)
      this.#witnesses.push(witness)
      this.#send(witness, packetsOf(conversation, SOURCE, QUIET, random))
    }
  }

  /** Plans the packets of a client. @returns when the last one passes */
  #send(witness: Witness, packets: readonly PassingPacket[]): number {
    const endsAt = Math.max(...packets.map((packet) => packet.at))
    this.#captureEndsAt = Math.max(this.#captureEndsAt, endsAt)
    for (const packet of packets) this.#scheduler.at(packet.at, () => this.#pass(packet, packets, witness))
    return endsAt
  }

  /** Takes a packet of a client that passes the capture on the source. */
  #pass(packet: PassingPacket, all: readonly PassingPacket[], witness: Witness): void {
    const { capture } = this.#weather
    const at = packet.at - START
    if (isMissed(at, capture, this.#random)) {
      this.#diary.packet('missed', packet.bytes)
      witness.missedCount += 1
      if (capture.isTold && at >= capture.beginsAt) this.#copying.missed()
      return
    }
    // A flow that nobody has seen begins with a client's packet.
    for (const forged of witness.hasSyn ? this.#forger.before(packet, all) : []) {
      this.#diary.packet('forged', forged)
      this.#capture(forged)
    }
    this.#diary.packet(packet.isDamaged ? 'damaged' : 'source', packet.bytes)
    if (packet.isDamaged) witness.missedCount += 1
    else witness.sees(packet)
    this.#capture(packet.bytes)
  }

  #capture(bytes: Uint8Array): void {
    if (parseIpv4(bytes, 0, bytes.length, bytes.length, false, this.#segment) === Flaw.None)
      this.#offeredBytes += this.#segment.payloadLength
    this.#copying.captured(bytes)
  }

  #conversationAt(sequence: number): Conversation | undefined {
    return this.#witnesses[Math.floor(((sequence - this.#firstIss) >>> 0) / SEQ_STRIDE)]?.conversation
  }
}
