/**
 * The plan of a simulation: everything that will go wrong, and how often, drawn from the seed. It is plain data, so
 * that a failure can show it. Most things go well in most seeds: a fault is best understood alone.
 */
import { HIBERNATE_AFTER_MS } from '../../core/session/idle-policy.ts'
import type { ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { Framings } from '../../wire/channel/channel-v1.ts'
import type { Random } from './random.ts'

export interface LinkWeather {
  readonly delayMs: number
  /** Added to the delay, evenly from 0 on: what is more than the distance of two packets lets them overtake. */
  readonly jitterMs: number
  /** Probabilities. */
  readonly loss: number
  readonly duplication: number
}

/** A stream of octets: they arrive late and in parts, but they arrive. */
const VERSIONS = ['2 and 2', '2 and 2 with a secret', '1 and 2', '2 and 1'] as const
/** Both of version 1, built otherwise. */
const BUILDS = ['1 and 1 bare', '1 and 1 with payload', '1 and 1 single'] as const
const BUILDS_EVERY = 7

export interface ChannelWeather {
  readonly delayMs: number
  readonly jitterMs: number
  /** Octets that one write or read takes at most. */
  readonly chunkMax: number
  /** Which version tcpcopy and intercept speak, and whether with a secret. */
  readonly versions: (typeof VERSIONS)[number] | (typeof BUILDS)[number]
}

export interface TrafficWeather {
  readonly conversations: number
  readonly clients: number
  readonly firstPort: number
  /** A port is used again so soon after the last packet with it, at most. */
  readonly reuseMs: number
  readonly serverFirst: number
  readonly longestBytes: number
  /** The target's answers are longer or shorter than the source's by this share. */
  readonly answerError: number
  /** Clients that do not read: their window is closed in this share of their packets. */
  readonly closedWindow: number
}

/** What the capture on the source sees of the clients' packets. */
export interface CaptureWeather {
  /** Probability that a client sends some octets once more. */
  readonly repetition: number
  /** Packets of one conversation overtake each other by up to this. */
  readonly disorderMs: number
  /** Largest payload of a captured packet: more than the MSS are super-packets. */
  readonly payloadMax: number
  /** Probability of a bit that is wrong; the client sends such a packet again. */
  readonly corruption: number
  /** Probability that a packet is missed. */
  readonly gaps: number
  /** Times in which all are missed. */
  readonly blackouts: readonly Trouble[]
  /** The kernel's drop counter tells of what is missed. */
  readonly isTold: boolean
  /** What came before was never seen: tcpcopy began in mid-stream. */
  readonly beginsAt: number
}

export interface TargetWeather {
  readonly mss: number
  readonly hasTimestamps: boolean
  readonly windowScale: number
  /** Octets of receive buffer. */
  readonly bufferBytes: number
  /** How long the application takes for an answer, at most. */
  readonly serviceMs: number
  /** Probability that the application stops reading for a while, each time something comes. */
  readonly stalling: number
  /** Probabilities that a connection is closed, or reset, before its client has ended. */
  readonly earlyClose: number
  readonly earlyReset: number
  /** All connections are lost; SYNs are answered by RST meanwhile. */
  readonly restarts: readonly Trouble[]
  /** All connections are lost; nothing is answered meanwhile. */
  readonly outages: readonly Trouble[]
  /** SYNs are answered by RST; connections live on. */
  readonly refusals: readonly Trouble[]
}

interface CopierWeather {
  readonly poolBytes: number
  /** `-n` and `-r`, in millionths. */
  readonly copies: number
  readonly share: number
  /** Probability that the kernel refuses to send a packet. */
  readonly sendRefused: number
  /** Sessions lie down when they have had nothing to do for so long. */
  readonly hibernateAfterMs: number
  /** It does not run. */
  readonly pauses: readonly Trouble[]
}

interface InterceptWeather {
  readonly workers: number
  /** It is stopped, and goes on. */
  readonly pauses: readonly Trouble[]
  /** It ends, and another begins. */
  readonly restarts: readonly Trouble[]
  /** All connections of the channel break. */
  readonly cuts: readonly Trouble[]
}

/** Milliseconds since the start, and how long. */
export interface Trouble {
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
/** Faults begin within this time; most clients are busy then. */
const BUSY_MS = 3000

/** @param seed what the dice begin with */
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
      serverFirst: random.pick([0, 0.2, 0.5] as const),
      longestBytes: random.pick([5000, 20_000, 60_000] as const),
      answerError: random.pick([0, 0, 0, 0.05] as const),
      closedWindow: random.pick([0, 0, 0, 0.1] as const)
    },
    capture: makeCapture(random),
    target: makeTarget(random),
    copier: {
      poolBytes: random.pick([8 << 20, 8 << 20, 8 << 20, 1 << 17, 1 << 15] as const),
      copies: random.pick([1, 1, 1, 1, 1.3, 2, 4] as const) * WHOLE,
      share: random.pick([1, 1, 1, 1, 0.5, 0.3] as const) * WHOLE,
      sendRefused: random.pick([0, 0, 0, 0.02] as const),
      hibernateAfterMs: seed % 2 === 0 ? 1 : HIBERNATE_AFTER_MS,
      pauses: troubles(random, 0.1, 800)
    },
    intercept: {
      // Without routes one worker has all answers.
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

function makeCapture(random: Random): CaptureWeather {
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

function makeTarget(random: Random): TargetWeather {
  return {
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

/** Mostly none, else up to three. */
function troubles(random: Random, probability: number, longestMs: number): Trouble[] {
  if (!random.chance(probability)) return []
  const trouble = (): Trouble => ({ at: random.between(0, BUSY_MS), forMs: random.skewed(0, longestMs) })
  return Array.from({ length: random.between(1, 3) }, trouble)
}

/** What is not at rest, in one line for each place: the plan of a seed at a glance. */
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

/** The versions of the channel as options of the two daemons. */
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
