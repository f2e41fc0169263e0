/**
 * The weather is the plan of a simulation: everything that goes wrong, and how often, drawn from the seed. It is plain
 * data, so that a failure can print it. In most seeds few things go wrong, because a single fault is easier to
 * understand.
 */
import { HALF_OPEN_DEFAULT } from '../../core/admission/half-open.ts'
import { HIBERNATE_AFTER_MS } from '../../core/session/idle-policy.ts'
import type { SessionSettings } from '../../core/session/settings.ts'
import type { ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { Framings } from '../../wire/channel/channel-v1.ts'
import type { Random } from './random.ts'

export interface LinkWeather {
  readonly delayMs: number
  /** Upper limit of a random addition to the delay. Packets that are closer to each other may overtake. */
  readonly jitterMs: number
  /** Probabilities. */
  readonly loss: number
  readonly duplication: number
}

/** Versions of the channel in tcpcopy and intercept. */
const VERSIONS = ['2 and 2', '2 and 2 with a secret', '1 and 2', '2 and 1'] as const
/** Both with version 1, but other builds of 1.x. */
const BUILDS = ['1 and 1 bare', '1 and 1 with payload', '1 and 1 single'] as const
const BUILDS_EVERY = 7

/** The streams of the channel, whose bytes arrive late and in parts, but in order and completely. */
export interface ChannelWeather {
  readonly delayMs: number
  readonly jitterMs: number
  /** Most bytes that one read or write takes. */
  readonly chunkMax: number
  /** The versions that tcpcopy and intercept speak, and whether with a secret. */
  readonly versions: (typeof VERSIONS)[number] | (typeof BUILDS)[number]
}

export interface TrafficWeather {
  readonly conversations: number
  readonly clients: number
  readonly firstPort: number
  /** Longest time until a port is used again after its last packet. */
  readonly reuseMs: number
  readonly serverFirst: number
  readonly longestBytes: number
  /** Largest share by which the target's answers are longer or shorter than the source's. */
  readonly answerError: number
  /** Share of clients' packets whose window is closed, as of clients that do not read. */
  readonly closedWindow: number
  /** Number of further clients that never complete their handshake. */
  readonly halfOpen: number
  /** Number of further connections on which both sides talk at once. */
  readonly duplex: number
}

/** What the capture on the source sees of the clients' packets. Probabilities are for each packet. */
export interface CaptureWeather {
  /** Probability that a client retransmits some bytes. */
  readonly repetition: number
  /** Limit by which packets of one conversation overtake each other. */
  readonly disorderMs: number
  /** Largest payload of a captured packet. Above the MSS these are super-packets. */
  readonly payloadMax: number
  /** Probability of a wrong bit. The client sends such a packet again. */
  readonly corruption: number
  /** Probability that a packet is missed. */
  readonly gaps: number
  /** Times in which all packets are missed. */
  readonly blackouts: readonly Trouble[]
  /** The kernel's drop counter includes missed packets. */
  readonly isTold: boolean
  /** Packets before this time are missed, because tcpcopy was not running yet. */
  readonly beginsAt: number
  /** Probability that a stranger's packets precede a client's packet. */
  readonly forging: number
}

export interface TargetWeather {
  readonly mss: number
  readonly hasTimestamps: boolean
  readonly windowScale: number
  /** Size of the receive buffer. */
  readonly bufferBytes: number
  /** Longest time that the application takes for an answer. */
  readonly serviceMs: number
  /** 1: the application ends each connection as soon as it has read something, and answers nothing. */
  readonly refusing: number
  /** Probability that the application stops reading for a while, each time something arrives. */
  readonly stalling: number
  /** Probability that a connection is closed before its client has ended. */
  readonly earlyClose: number
  /** Probability that a connection is reset before its client has ended. */
  readonly earlyReset: number
  /** All connections are lost, and SYNs are answered by RST meanwhile. */
  readonly restarts: readonly Trouble[]
  /** All connections are lost, and nothing is answered meanwhile. */
  readonly outages: readonly Trouble[]
  /** SYNs are answered by RST, but existing connections stay. */
  readonly refusals: readonly Trouble[]
}

interface CopierWeather {
  readonly poolBytes: number
  readonly halfOpenMax: number
  /** `-n` and `-r`, in millionths. */
  readonly copies: number
  readonly share: number
  /** Probability that the kernel refuses to send a packet. */
  readonly sendRefused: number
  /** What differs from the settings of every run. */
  readonly session: Partial<SessionSettings>
  /** tcpcopy does not run. */
  readonly pauses: readonly Trouble[]
}

interface InterceptWeather {
  readonly workers: number
  /** intercept does not run. */
  readonly pauses: readonly Trouble[]
  /** intercept is killed and started again. */
  readonly restarts: readonly Trouble[]
  /** All connections of the channel break. */
  readonly cuts: readonly Trouble[]
}

/** A fault that lasts for a time. */
export interface Trouble {
  /** Milliseconds since the start. */
  readonly at: number
  readonly forMs: number
}

export interface Weather {
  readonly toTarget: LinkWeather
  readonly toAssistant: LinkWeather
  readonly channel: ChannelWeather
  readonly traffic: TrafficWeather
  readonly capture: CaptureWeather
  readonly target: TargetWeather
  readonly copier: CopierWeather
  readonly intercept: InterceptWeather
}

const WHOLE = 1_000_000
/** Strangers forge packets in one seed of so many. */
const FORGING_EVERY = 7
const FORGING_AT = 2
/** Of so many seeds, one has a target that refuses, and one a target that is slower than the longest wait for an answer. */
const REFUSING_EVERY = 19
/** The same for half-open clients, and connections on which both sides talk at once. */
const HALF_OPEN_EVERY = 11
const DUPLEX_EVERY = 17
const HALF_OPEN_CLIENTS = 5
const SLOW_EVERY = 13
const SLOW_MS = 8000
/** Faults begin within this time, while most clients are busy. */
const BUSY_MS = 3000

/** @param seed the seed of `random`, which also chooses what must be evenly distributed */
export function makeWeather(random: Random, seed: number): Weather {
  const versions = versionsOf(seed)
  return {
    toTarget: makeLink(random),
    toAssistant: makeLink(random),
    channel: {
      delayMs: random.skewed(0, 20) + 0.05,
      jitterMs: random.pick([0, 0, 5] as const),
      chunkMax: random.pick([16384, 16384, 1448, 77] as const),
      versions
    },
    traffic: {
      conversations: random.between(1, 20),
      clients: random.between(1, 12),
      firstPort: random.pick([40_000, 40_000, 2000] as const),
      reuseMs: random.pick([50, 50, 0, 500] as const),
      serverFirst: random.pick([0, 0, 1] as const),
      longestBytes: random.pick([5000, 20_000, 60_000] as const),
      answerError: random.pick([0, 0, 0, 0.05] as const),
      closedWindow: random.pick([0, 0, 0, 0.1] as const),
      halfOpen: seed % HALF_OPEN_EVERY === 3 ? HALF_OPEN_CLIENTS : 0,
      duplex: seed % DUPLEX_EVERY === 6 ? 1 : 0
    },
    capture: { ...makeCapture(random), forging: seed % FORGING_EVERY === FORGING_AT ? 0.3 : 0 },
    target: makeTarget(random, seed),
    copier: {
      // With few, further SYNs wait for their clients.
      halfOpenMax: seed % (2 * HALF_OPEN_EVERY) === 3 ? 2 : HALF_OPEN_DEFAULT,
      poolBytes: random.pick([8 << 20, 8 << 20, 8 << 20, 1 << 17, 1 << 15] as const),
      copies: random.pick([1, 1, 1, 1, 1.3, 2, 4] as const) * WHOLE,
      share: random.pick([1, 1, 1, 1, 0.5, 0.3] as const) * WHOLE,
      sendRefused: random.pick([0, 0, 0, 0.02] as const),
      session: { hibernateAfterMs: seed % 2 === 0 ? 1 : HIBERNATE_AFTER_MS },
      pauses: troubles(random, 0.1, 800)
    },
    intercept: {
      // `--single` works without routes, so one worker gets all answers.
      workers: versions.endsWith('single') ? 1 : 1 + (Math.floor(seed / VERSIONS.length) % 3),
      pauses: troubles(random, 0.15, 4000),
      restarts: troubles(random, 0.15, 3000),
      cuts: troubles(random, 0.2, 0)
    }
  }
}

function makeLink(random: Random): LinkWeather {
  return {
    delayMs: random.skewed(0, 50) + 0.05,
    jitterMs: random.pick([0, 0, 0.5, 5] as const),
    loss: random.pick([0, 0, 0.01, 0.05] as const),
    duplication: random.pick([0, 0, 0.02] as const)
  }
}

function makeCapture(random: Random): Omit<CaptureWeather, 'forging'> {
  return {
    repetition: random.pick([0, 0, 0.1] as const),
    disorderMs: random.pick([0, 0, 0.3, 3] as const),
    payloadMax: random.pick([100, 1448, 20_000, 65_000] as const),
    corruption: random.pick([0, 0, 0, 0.01] as const),
    gaps: random.pick([0, 0, 0, 0, 0.01, 0.05] as const),
    blackouts: troubles(random, 0.1, 500),
    isTold: random.chance(0.5),
    beginsAt: random.chance(0.1) ? random.between(0, BUSY_MS) : 0
  }
}

function makeTarget(random: Random, seed: number): TargetWeather {
  const drawn = drawTarget(random)
  if (seed % REFUSING_EVERY === 2) return { ...drawn, refusing: 1 }
  return seed % SLOW_EVERY === 5 ? { ...drawn, serviceMs: SLOW_MS } : drawn
}

function drawTarget(random: Random): TargetWeather {
  return {
    refusing: 0,
    mss: random.pick([1460, 1460, 536, 8960] as const),
    hasTimestamps: random.chance(0.8),
    windowScale: random.pick([-1, 0, 7, 9] as const),
    bufferBytes: random.pick([2000, 65_535, 65_535, 1 << 20] as const),
    serviceMs: random.pick([0.2, 2, 20] as const),
    stalling: random.pick([0, 0, 0.05] as const),
    earlyClose: random.pick([0, 0, 0, 0.1] as const),
    earlyReset: random.pick([0, 0, 0, 0.1] as const),
    restarts: troubles(random, 0.12, 2000),
    outages: troubles(random, 0.08, 4000),
    refusals: troubles(random, 0.1, 2000)
  }
}

/** Mostly no faults, otherwise up to three. */
function troubles(random: Random, probability: number, longestMs: number): Trouble[] {
  if (!random.chance(probability)) return []
  const trouble = (): Trouble => ({ at: random.between(0, BUSY_MS), forMs: random.skewed(0, longestMs) })
  return Array.from({ length: random.between(1, 3) }, trouble)
}

/** The weather as text: one line for each place, without values that are 0 or empty. */
export function describe(weather: Weather): string {
  return Object.entries(weather)
    .map(([place, facts]: [string, object]) => {
      const said = Object.entries(facts).filter(
        ([, value]) => value !== 0 && !(Array.isArray(value) && value.length === 0)
      )
      return `  ${place}: ${said.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(', ')}`
    })
    .join('\n')
}

function versionsOf(seed: number): ChannelWeather['versions'] {
  const turn = Math.floor(seed / BUILDS_EVERY)
  const build = seed % BUILDS_EVERY === 0 ? BUILDS[turn % BUILDS.length] : undefined
  return build ?? VERSIONS[seed % VERSIONS.length] ?? VERSIONS[0]
}

/** The versions of the channel as options of both daemons. */
export function channelOptions({ versions }: ChannelWeather): {
  readonly copier: ChannelOptions
  readonly intercept: ChannelOptions
} {
  const secret = versions.endsWith('secret') ? new TextEncoder().encode('sixteen octets at least') : undefined
  const framings = { bare: Framings.Bare, payload: Framings.WithPayload }
  const found = Object.entries(framings).find(([name]) => versions.endsWith(name))
  const both = { secret, framing: found?.[1] ?? Framings.Combined, isSingle: versions.endsWith('single') }
  const [copier, intercept] = versions.split(' and ')
  return {
    copier: { version: Number(copier), ...both },
    intercept: { version: Number.parseInt(intercept ?? '', 10), ...both }
  }
}
