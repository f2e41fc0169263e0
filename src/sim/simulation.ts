/**
 * Both daemons in one process, on a fake clock, between a simulated capture on the source, a network that loses,
 * repeats and overtakes, and a simulated target; all from one seed.
 *
 * For every connection whose client octets were all captured, the target reads exactly these, in order, once; no
 * request overtakes the answer it waits for, unless that is counted; the books close; nothing is held at the end; and
 * there is an end.
 */
import assert from 'node:assert/strict'
import { Counter, Counters } from '../core/counters.ts'
import { InterceptCounters } from '../core/intercept-counters.ts'
import { Mapping } from '../core/mapping.ts'
import { ALL_FLOWS } from '../core/sampling.ts'
import { Copier, copierMemoryLength } from '../daemon/copier.ts'
import { Interceptor } from '../daemon/interceptor.ts'
import { formatEndpoint } from '../wire/address.ts'
import { Flaw } from '../wire/flaw.ts'
import { formatSegment } from '../wire/packetdrill.ts'
import { parseIpv4, Segment, SYN, verifyChecksum } from '../wire/segment.ts'
import { type Conversation, Ending, makeConversation, requestLengthOf } from './conversation.ts'
import { Link, type LinkOptions } from './link.ts'
import { MemoryCapture, MemoryNetwork, MemorySender, NotingWaiter, Runner } from './memory-ports.ts'
import { Random } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { TargetConnection, type TargetOptions, targetAddressOf } from './target-connection.ts'
import { type CaptureNoise, captureOf } from './traffic.ts'

const SOURCE = { address: 0x0a000002, port: 80 }
const CLIENT_ADDRESS = 0x0a000100
const START = 1_000_000
const POOL_BYTES = 8 << 20
const TIMEOUT_MS = 600_000
const KEEP_ALIVE_MS = 60_000
/** Simulated time after which a run counts as one that does not end. */
const RUN_MAX_MS = 4 * 3600_000

export interface Outcome {
  readonly seed: number
  readonly connections: number
  readonly octets: number
  readonly retransmissions: number
  readonly packets: number
  readonly simulatedMs: number
}

interface World {
  readonly toTarget: LinkOptions
  readonly toAssistant: LinkOptions
  readonly noise: CaptureNoise
  readonly target: TargetOptions
  readonly conversations: number
  readonly clients: number
  readonly channelDelayMs: number
  /** Probability that the kernel refuses a packet. */
  readonly refusal: number
  /** How often the channel is cut. */
  readonly cuts: number
}

/** @returns what happened; throws what a property found wrong, with the seed */
export function simulate(seed: number, trace?: (line: string) => void): Outcome {
  try {
    return new Simulation(seed, trace).run()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`seed ${seed}: ${message}\n  npm run sim -- --seed ${seed} --trace`, { cause })
  }
}

function makeWorld(random: Random): World {
  const link = (): LinkOptions => ({
    delayMs: random.skewed(0, 50) + 0.05,
    jitterMs: random.pick([0, 0, 0.5, 5] as const),
    loss: random.pick([0, 0, 0.01, 0.05] as const),
    duplication: random.pick([0, 0, 0.02] as const)
  })
  return {
    toTarget: link(),
    toAssistant: link(),
    noise: {
      repetition: random.pick([0, 0, 0.1] as const),
      disorderMs: random.pick([0, 0, 0.3, 3] as const),
      payloadMax: random.pick([100, 1448, 20_000, 65_000] as const)
    },
    target: {
      mss: random.pick([1460, 1460, 536, 8960] as const),
      hasTimestamps: random.chance(0.8),
      windowScale: random.pick([-1, 0, 7, 9] as const),
      bufferBytes: random.pick([2000, 65_535, 65_535, 1 << 20] as const),
      serviceMs: random.pick([0.2, 2, 20] as const),
      stalling: random.pick([0, 0, 0.05] as const)
    },
    conversations: random.between(1, 25),
    clients: random.between(1, 12),
    channelDelayMs: random.skewed(0, 20) + 0.05,
    refusal: random.pick([0, 0, 0, 0.02] as const),
    cuts: random.pick([0, 0, 0, 1, 3] as const)
  }
}

class Simulation {
  readonly #seed: number
  readonly #trace: ((line: string) => void) | undefined
  readonly #random: Random
  readonly #scheduler = new Scheduler(START)
  readonly #world: World
  readonly #conversations: Conversation[] = []
  readonly #connections: TargetConnection[] = []
  /** By client address and port: the connection that the target holds. */
  readonly #live = new Map<string, TargetConnection>()
  readonly #counters = new Counters()
  readonly #capture = new MemoryCapture()
  readonly #returned = new MemoryCapture()
  readonly #copier: Copier
  readonly #copierRunner: Runner
  readonly #interceptRunner: Runner
  readonly #network: MemoryNetwork
  readonly #toAssistant: Link
  readonly #segment = new Segment()
  #captureEndsAt = START
  #packets = 0

  constructor(seed: number, trace?: (line: string) => void) {
    this.#seed = seed
    this.#trace = trace
    this.#random = new Random(seed)
    const world = makeWorld(this.#random)
    this.#world = world
    const scheduler = this.#scheduler
    const copierWaiter = new NotingWaiter()
    const interceptWaiter = new NotingWaiter()
    const wakeCopier = (): void => this.#copierRunner.poke()
    const wakeIntercept = (): void => this.#interceptRunner.poke()
    this.#network = new MemoryNetwork(scheduler, world.channelDelayMs, wakeCopier, wakeIntercept)
    const toTarget = new Link(scheduler, this.#random, world.toTarget, (packet) => this.#onTarget(packet))
    this.#toAssistant = new Link(scheduler, this.#random, world.toAssistant, (packet) => {
      this.#returned.waiting.push(packet)
      wakeIntercept()
    })
    const sender = new MemorySender(
      (packet) => {
        this.#print('sent', packet)
        toTarget.send(packet)
      },
      () => this.#random.chance(world.refusal)
    )
    const log = (): void => {}
    const ports = {
      capture: this.#capture,
      sender,
      network: this.#network,
      clock: scheduler,
      waiter: copierWaiter,
      log
    }
    const memory = new Uint8Array(copierMemoryLength(POOL_BYTES))
    this.#copier = new Copier(ports, copierOptions(), memory, this.#counters)
    const interceptor = new Interceptor(
      { captures: [this.#returned], listener: this.#network, clock: scheduler, waiter: interceptWaiter, log },
      { delayMax: 1024, recordsMax: 16 },
      new InterceptCounters()
    )
    this.#copierRunner = new Runner(scheduler, copierWaiter, () => this.#copier.turn())
    this.#interceptRunner = new Runner(scheduler, interceptWaiter, () => interceptor.turn())
  }

  run(): Outcome {
    this.#planTraffic()
    this.#copierRunner.poke()
    this.#interceptRunner.poke()
    const scheduler = this.#scheduler
    while (scheduler.now() <= this.#captureEndsAt + 1 || this.#copier.sessions.count > 0) {
      assert.ok(scheduler.step(), 'nothing is due, but sessions live')
      assert.ok(scheduler.now() - START < RUN_MAX_MS, `${this.#copier.sessions.count} sessions do not end`)
    }
    // What is still on its way arrives, and the target's timers run out.
    const until = scheduler.now() + 120_000
    while (scheduler.now() < until && scheduler.step()) {}
    this.#copier.stop()
    this.#check()
    return {
      seed: this.#seed,
      connections: this.#conversations.length,
      octets: this.#counters.get(Counter.deliveredBytes),
      retransmissions: this.#counters.get(Counter.retransmissions),
      packets: this.#packets,
      simulatedMs: scheduler.now() - START
    }
  }

  #planTraffic(): void {
    const { noise, conversations, clients, cuts } = this.#world
    const freeAt = new Array<number>(clients).fill(START + 100)
    for (let index = 0; index < conversations; index++) {
      const client = this.#random.between(0, clients - 1)
      const beginsAt = (freeAt[client] ?? START) + this.#random.skewed(1, 500)
      const conversation = makeConversation(
        this.#random,
        index,
        CLIENT_ADDRESS + (client % 3),
        40_000 + client,
        beginsAt
      )
      const { packets, endsAt } = captureOf(conversation, SOURCE, noise, this.#random)
      freeAt[client] = endsAt + 50
      this.#conversations.push(conversation)
      this.#captureEndsAt = Math.max(this.#captureEndsAt, endsAt)
      for (const { at, bytes } of packets) {
        this.#scheduler.at(at, () => {
          this.#print('source', bytes)
          this.#capture.waiting.push(bytes)
          this.#copierRunner.poke()
        })
      }
    }
    for (let cut = 0; cut < cuts; cut++) {
      this.#scheduler.at(START + this.#random.between(0, 3000), () => this.#network.cut())
    }
  }

  /** A packet of a session has reached the target. */
  #onTarget(packet: Uint8Array): void {
    const segment = this.#segment
    assert.equal(parseIpv4(packet, 0, packet.length, packet.length, false, segment), Flaw.None)
    assert.equal(verifyChecksum(segment), Flaw.None)
    const key = formatEndpoint(segment.fromAddress, segment.fromPort)
    const live = this.#live.get(key)
    if (live !== undefined && (!live.isClosed || (segment.flags & SYN) === 0)) {
      live.onSegment(segment)
      return
    }
    if ((segment.flags & SYN) === 0) return
    const conversation = this.#conversations.find(
      (one) =>
        one.iss === segment.seq && one.clientPort === segment.fromPort && one.clientAddress === segment.fromAddress
    )
    assert.ok(conversation !== undefined, `no client began ${formatSegment(segment)}`)
    const connection = new TargetConnection(
      conversation,
      segment,
      this.#world.target,
      this.#scheduler,
      this.#random,
      (answer) => {
        this.#print('target', answer)
        this.#toAssistant.send(answer)
      }
    )
    this.#live.set(key, connection)
    this.#connections.push(connection)
    connection.begin()
  }

  #check(): void {
    const counters = this.#counters
    assert.equal(counters.unaccountedBytes(), 0, 'octets are in no place of the books')
    assert.equal(counters.get(Counter.pendingBytes), 0, 'octets are pending')
    assert.equal(counters.get(Counter.sessionsEnded), counters.get(Counter.sessionsStarted))
    assert.equal(counters.get(Counter.poolUsedBytes), 0, 'the pool is not empty')
    let overtaken = 0
    for (const conversation of this.#conversations) {
      const name = `${formatEndpoint(conversation.clientAddress, conversation.clientPort)} ${conversation.iss >>> 0}`
      const copies = this.#connections.filter((one) => one.conversation === conversation && one.readBytes > 0)
      const octets = requestLengthOf(conversation)
      if (octets > 0) assert.equal(copies.length, 1, `${name}: copied ${copies.length} times`)
      for (const copy of copies) {
        assert.equal(copy.readBytes, octets, `${name}: the target did not read what the client sent`)
        // One request that went early leaves the counts of answers apart for the rest of its connection.
        if (copy.hasOvertaken) overtaken += 1
        const closes = conversation.ending === Ending.ClientCloses || conversation.ending === Ending.ServerCloses
        if (closes) assert.ok(copy.hasClientFin, `${name}: the target saw no FIN`)
        else assert.ok(!copy.hasClientFin, `${name}: the target saw a FIN`)
      }
    }
    const excused = counters.get(Counter.epochsQuiet) + counters.get(Counter.epochTimeouts)
    assert.ok(overtaken <= excused, `requests overtook answers on ${overtaken} connections, ${excused} are counted`)
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

function copierOptions() {
  const { fromAddress, fromPort } = targetAddressOf()
  return {
    mapping: new Mapping([
      { sourceAddress: 0, sourcePort: SOURCE.port, targetAddress: fromAddress, targetPort: fromPort }
    ]),
    selection: ALL_FLOWS,
    portShift: 0,
    intercepts: [{ address: 0x0a000004, port: 36524 }],
    connectionsEach: 2,
    poolBytes: POOL_BYTES,
    sessionsMax: 4096,
    timeoutMs: TIMEOUT_MS,
    keepAliveMs: KEEP_ALIVE_MS,
    mtuBytes: 1500,
    clientRttMs: undefined,
    epochs: { isWaiting: true, timeoutMs: 3000 },
    holes: { timeoutMs: undefined, atEndMs: 1000, afterDropsMs: undefined },
    isWithoutAcks: false,
    bytesPerSecondMax: Number.POSITIVE_INFINITY
  }
}
