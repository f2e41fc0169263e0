/**
 * Simulates both daemons in one process on a fake clock, with a simulated capture, networks that lose, duplicate and
 * reorder packets, and a simulated target, all from one seed. `weather.ts` says what may go wrong, `properties.ts` what
 * must hold nevertheless.
 */
import assert from 'node:assert/strict'
import { Counter, Counters } from '../../core/books/counters.ts'
import { ALL_FLOWS } from '../../core/selection/sampling.ts'
import { SELECTION_DEFAULTS } from '../../core/selection/settings.ts'
import { SESSION_DEFAULTS } from '../../core/session/settings.ts'
import { copyMemoryLength, LIMIT_DEFAULTS } from '../../core/sessions/assembly.ts'
import { Copier } from '../../daemon/copier/copier.ts'
import type { CopierSettings } from '../../daemon/copier/settings.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { Flaw } from '../../wire/flaw.ts'
import { formatSegment } from '../../wire/packetdrill.ts'
import { parseIpv4, Segment } from '../../wire/segment.ts'
import { Link } from '../network/link.ts'
import { MemoryNetwork } from '../network/memory-network.ts'
import { countingCryptography, MemoryCapture, MemorySender, NotingWaiter, Runner } from '../network/memory-ports.ts'
import { type Conversation, makeConversation } from '../scenario/conversation.ts'
import { Random } from '../scenario/random.ts'
import { Scheduler } from '../scenario/scheduler.ts'
import { channelOptions, describe, makeWeather, type Weather } from '../scenario/weather.ts'
import { targetAddressOf } from '../target/target-connection.ts'
import { TargetHost } from '../target/target-host.ts'
import { InterceptHost } from './intercept-host.ts'
import { checkProperties } from './properties.ts'
import { type PassingPacket, packetsOf } from './traffic.ts'
import { isMissed, Witness } from './witness.ts'

const SOURCE = { address: 0x0a000002, port: 80 }
const CLIENT_ADDRESS = 0x0a000100
const START = 1_000_000
const TIMEOUT_MS = 600_000
const KEEP_ALIVE_MS = 60_000
/** Limits of simulated time and of events, after which a run fails because it does not end. */
const RUN_MAX_MS = 4 * 3600_000
const EVENTS_MAX = 3_000_000
/**
 * Distance between the initial sequence numbers of conversations, so that a sequence number identifies its
 * conversation.
 */
const SEQ_STRIDE = 2 ** 26

export interface Outcome {
  readonly seed: number
  readonly connections: number
  readonly deliveredBytes: number
  readonly retransmissions: number
  readonly packets: number
  readonly continued: number
  readonly simulatedMs: number
}

/** Runs a simulation. @throws Error if a property does not hold, with the seed and its weather */
export function simulate(seed: number, trace?: (line: string) => void): Outcome {
  const random = new Random(seed)
  const weather = makeWeather(random, seed)
  try {
    return new Simulation(seed, weather, random, trace).run()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    const repeat = `  npm run sim -- --seed ${seed} --trace`
    throw new Error(`seed ${seed}: ${message}\n${describe(weather)}\n${repeat}`, { cause })
  }
}

class Simulation {
  readonly #seed: number
  readonly #trace: ((line: string) => void) | undefined
  readonly #random: Random
  readonly #weather: Weather
  readonly #scheduler = new Scheduler(START)
  readonly #witnesses: Witness[] = []
  readonly #firstIss: number
  readonly #counters = new Counters()
  readonly #capture = new MemoryCapture()
  readonly #copier: Copier
  readonly #copierRunner: Runner
  readonly #intercept: InterceptHost
  readonly #target: TargetHost
  readonly #segment = new Segment()
  #captureEndsAt = START
  #packets = 0
  /** Bytes of payload in all captured packets. */
  #offeredBytes = 0

  constructor(seed: number, weather: Weather, random: Random, trace?: (line: string) => void) {
    this.#seed = seed
    this.#trace = trace
    this.#random = random
    this.#weather = weather
    const scheduler = this.#scheduler
    const { conversations } = weather.traffic
    // Sequence numbers wrap in half of the runs, mostly soon after the start.
    const wrapping = random.between(0, conversations - 1) * SEQ_STRIDE + random.skewed(1, 100_000)
    this.#firstIss = random.chance(0.5) ? -wrapping | 0 : random.between(-(2 ** 31), 2 ** 31 - 1)
    const wakeCopier = (): void => this.#copierRunner.poke()
    const network = new MemoryNetwork(scheduler, random, weather.channel, wakeCopier, () => this.#intercept.poke())
    this.#intercept = new InterceptHost(weather, scheduler, network)
    const toAssistant = new Link(scheduler, random, weather.toAssistant, (packet) => this.#intercept.onPacket(packet))
    this.#target = new TargetHost(
      weather.target,
      scheduler,
      random,
      (syn) => this.#conversationAt(syn.seq),
      (answer) => {
        this.#print('target', answer)
        toAssistant.send(answer)
      }
    )
    const toTarget = new Link(scheduler, random, weather.toTarget, (packet, sentAt) =>
      this.#target.onPacket(packet, sentAt)
    )
    const sender = new MemorySender(
      (packet) => {
        this.#print('sent', packet)
        toTarget.send(packet)
      },
      () => random.chance(weather.copier.sendRefused)
    )
    const waiter = new NotingWaiter()
    const cryptography = countingCryptography()
    const ports = {
      capture: this.#capture,
      sender,
      network,
      cryptography,
      clock: scheduler,
      waiter,
      notices: new Notices(),
      log: () => {}
    }
    const settings = settingsOf(weather)
    const memory = new Uint8Array(copyMemoryLength(settings.limits))
    this.#copier = new Copier(ports, settings, { memory, counters: this.#counters })
    const hasInput = (): boolean => this.#capture.waiting.length > 0 || network.hasInputForClient
    this.#copierRunner = new Runner(scheduler, waiter, () => this.#copier.turn(), hasInput)
    for (const { at, forMs } of weather.copier.pauses) scheduler.after(at, () => this.#copierRunner.pause(forMs))
  }

  run(): Outcome {
    this.#planTraffic()
    this.#copierRunner.poke()
    this.#intercept.poke()
    const scheduler = this.#scheduler
    let events = 0
    while (scheduler.now() <= this.#captureEndsAt + 1 || this.#copier.sessions.count > 0) {
      assert.ok(scheduler.step(), 'nothing is due, but sessions live')
      assert.ok(scheduler.now() - START < RUN_MAX_MS, `${this.#copier.sessions.count} sessions do not end`)
      assert.ok(++events < EVENTS_MAX, `${EVENTS_MAX} events and no end: something spins`)
    }
    // Packets in flight arrive, and the target's timers expire.
    const until = scheduler.now() + 120_000
    while (scheduler.now() < until && scheduler.step()) {}
    this.#copier.stop()
    this.#forget()
    checkProperties({
      weather: this.#weather,
      counters: this.#counters,
      witnesses: this.#witnesses,
      connections: this.#target.connections,
      offeredBytes: this.#offeredBytes
    })
    return {
      seed: this.#seed,
      connections: this.#witnesses.length,
      deliveredBytes: this.#counters.get(Counter.deliveredBytes),
      retransmissions: this.#counters.get(Counter.retransmissions),
      packets: this.#packets,
      continued: this.#counters.get(Counter.sessionsContinued),
      simulatedMs: scheduler.now() - START
    }
  }

  /** Lets everything expire that is remembered about ended connections. */
  #forget(): void {
    const { sessions } = this.#copier
    sessions.onTimer(this.#scheduler.now() + TIMEOUT_MS + 1)
    assert.equal(sessions.entryCount, 0, 'tables are not empty')
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
      const endsAt = Math.max(...packets.map((packet) => packet.at))
      freeAt[client] = endsAt + this.#random.between(0, traffic.reuseMs)
      this.#captureEndsAt = Math.max(this.#captureEndsAt, endsAt)
      for (const packet of packets) this.#scheduler.at(packet.at, () => this.#pass(packet, witness))
    }
  }

  /** Takes a packet of a client that passes the capture on the source. */
  #pass(packet: PassingPacket, witness: Witness): void {
    const { capture } = this.#weather
    const at = packet.at - START
    if (isMissed(at, capture, this.#random)) {
      this.#print('missed', packet.bytes)
      witness.missedCount += 1
      if (capture.isTold && at >= capture.beginsAt) this.#capture.lostCount += 1
      return
    }
    this.#print(packet.isDamaged ? 'damaged' : 'source', packet.bytes)
    if (packet.isDamaged) witness.missedCount += 1
    else witness.sees(packet)
    const { bytes } = packet
    if (parseIpv4(bytes, 0, bytes.length, bytes.length, false, this.#segment) === Flaw.None)
      this.#offeredBytes += this.#segment.payloadLength
    this.#capture.waiting.push(bytes)
    this.#copierRunner.poke()
  }

  #conversationAt(sequence: number): Conversation | undefined {
    return this.#witnesses[Math.floor(((sequence - this.#firstIss) >>> 0) / SEQ_STRIDE)]?.conversation
  }

  #print(what: string, packet: Uint8Array): void {
    this.#packets += 1
    if (this.#trace === undefined) return
    const segment = new Segment()
    parseIpv4(packet, 0, packet.length, packet.length, false, segment)
    const client = what === 'target' ? segment.toPort : segment.fromPort
    this.#trace(`${(this.#scheduler.now() - START).toFixed(3)} ${client} ${what} ${formatSegment(segment)}`)
  }
}

function settingsOf({ copier, channel }: Weather): CopierSettings {
  const { fromAddress, fromPort } = targetAddressOf()
  const map = { sourceAddress: 0, sourcePort: SOURCE.port, targetAddress: fromAddress, targetPort: fromPort }
  const { share, copies, poolBytes, hibernateAfterMs } = copier
  return {
    selection: { ...SELECTION_DEFAULTS, maps: [map], sampling: { ...ALL_FLOWS, share, copies } },
    session: { ...SESSION_DEFAULTS, timeoutMs: TIMEOUT_MS, keepAliveMs: KEEP_ALIVE_MS, hibernateAfterMs },
    limits: { ...LIMIT_DEFAULTS, poolBytes, sessionsMax: 4096 },
    packets: { mtuBytes: 1500, mssBytes: undefined },
    channel: {
      intercepts: [{ address: 0x0a000004, port: 36524 }],
      connectionsEach: 2,
      options: channelOptions(channel).copier
    }
  }
}
