/**
 * A conversation is what a client and the source said to each other, the ground truth of a simulation. The captured
 * packets and the simulated target's answers follow from it, and what the target reads is compared with it.
 */
import { distance, type Seq, seq } from '../../wire/seq.ts'
import type { Random } from './random.ts'
import type { TrafficWeather } from './weather.ts'

interface Exchange {
  /** Bytes that the client sends; 0 in the first exchange if the server speaks first. */
  readonly requestLength: number
  /** Bytes of the source's answer. */
  readonly answerLength: number
  /** Bytes of the target's answer. */
  readonly targetLength: number
  /**
   * Bytes of all answers that the client had read when it began to send the request; the source's FIN counts as one.
   */
  readonly hadRead: number
  /** Pause before the request, on top of the round trip. */
  readonly thinkMs: number
}

export const Ending = {
  ClientCloses: 0,
  ServerCloses: 1,
  ClientResets: 2,
  StaysOpen: 3,
  /** The client closes before it has read the last answer. */
  ClientHalfCloses: 4,
  /** The server closes, and then the client sends a last request, which is not answered. */
  ServerHalfCloses: 5
} as const
export type Ending = (typeof Ending)[keyof typeof Ending]

/** What kind of client leads a conversation. */
export const Kind = {
  /** It sends requests, and reads answers. */
  Ordinary: 0,
  /** It never acknowledges the source's SYN-ACK. */
  HalfOpen: 1,
  /** Both sides send whenever they like. */
  Duplex: 2
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

export interface Conversation {
  readonly kind: Kind
  readonly clientAddress: number
  readonly clientPort: number
  readonly iss: number
  readonly irs: number
  readonly beginsAt: number
  readonly roundTripMs: number
  readonly exchanges: readonly Exchange[]
  readonly ending: Ending
  readonly hasTimestamps: boolean
  readonly windowScale: number
  readonly mss: number
}

/** The client of a conversation, and when it begins. */
export interface Caller {
  readonly clientAddress: number
  readonly clientPort: number
  readonly iss: number
  readonly beginsAt: number
}

export function makeConversation(random: Random, caller: Caller, weather: TrafficWeather): Conversation {
  const ending = makeEnding(random)
  return {
    ...caller,
    kind: Kind.Ordinary,
    irs: random.between(-(2 ** 31), 2 ** 31 - 1),
    roundTripMs: random.skewed(1, 60),
    exchanges: makeExchanges(random, ending, weather),
    ending,
    hasTimestamps: random.chance(0.7),
    windowScale: random.chance(0.7) ? random.between(0, 9) : -1,
    mss: random.pick([1460, 1460, 536, 8960] as const)
  }
}

function makeEnding(random: Random): Ending {
  const { ClientCloses, ServerCloses, ClientResets, StaysOpen, ClientHalfCloses, ServerHalfCloses } = Ending
  const often = [ClientCloses, ClientCloses, ClientCloses, ServerCloses, ServerCloses] as const
  return random.pick([...often, ClientResets, StaysOpen, ClientHalfCloses, ServerHalfCloses])
}

function makeExchanges(random: Random, ending: Ending, weather: TrafficWeather): Exchange[] {
  const exchanges: Exchange[] = []
  const isServerFirst = random.chance(weather.serverFirst)
  let answered = 0
  let hadRead = 0
  const most = random.pick([1, 3, 8] as const)
  const longest = random.pick([100, 5000, weather.longestBytes] as const)
  for (let index = 0; index < most; index++) {
    const isGreeting = index === 0 && isServerFirst
    // Pipelining: a client may send before it has read everything, but it never has read less than before.
    if (index > 0) hadRead = random.chance(0.3) ? random.between(hadRead, answered) : answered
    const answerLength = isGreeting ? random.between(1, 80) : random.skewed(0, longest)
    const requestLength = isGreeting ? 0 : random.skewed(1, longest)
    // Only the count of answer bytes shows that the client had read the source's FIN, so it must be exact.
    const error = ending === Ending.ServerHalfCloses ? 0 : weather.answerError
    const targetLength = answerLength + answerError(random, answerLength, error)
    exchanges.push({ requestLength, answerLength, targetLength, hadRead, thinkMs: random.skewed(0, 300) })
    answered += answerLength
  }
  if (ending !== Ending.ServerHalfCloses) return exchanges
  const thinkMs = random.skewed(0, 300)
  const last = { requestLength: random.skewed(1, longest), answerLength: 0, targetLength: 0, thinkMs }
  return [...exchanges, { ...last, hadRead: answered + 1 }]
}

/** By how much a target's answer is longer or shorter, as if it had another id or date. */
function answerError(random: Random, length: number, error: number): number {
  if (error === 0 || length < 2) return 0
  const most = Math.max(1, Math.floor(length * error))
  return Math.max(1 - length, random.between(-most, most))
}

export function requestLengthOf(conversation: Conversation): number {
  return conversation.exchanges.reduce((total, exchange) => total + exchange.requestLength, 0)
}

export function answerLengthOf(conversation: Conversation): number {
  return conversation.exchanges.reduce((total, exchange) => total + exchange.answerLength, 0)
}

/** The offset in the client's stream of a sequence number; −1 is the SYN. */
export function offsetOf(conversation: Conversation, sequence: Seq): number {
  return distance(sequence, seq(conversation.iss)) - 1
}

/** The client's byte at an offset of its stream. */
export function clientByte(conversation: Conversation, offset: number): number {
  return (Math.imul(offset + conversation.iss, 0x9e3779b1) >>> 24) & 255
}

/**
 * Bytes of answers that the target sends on a connection once it has read up to `readTo`: the answers to all requests
 * that ended there, and the greeting, which it sends on each connection. Both parameters are offsets.
 */
export function answerDue(conversation: Conversation, start: number, readTo: number): number {
  let end = 0
  let answer = 0
  for (const { requestLength, targetLength } of conversation.exchanges) {
    end += requestLength
    if (end > readTo) return answer
    if (end > start || requestLength === 0) answer += targetLength
  }
  return answer
}

/** Bytes of answers that the client had read before it sent the byte at this offset. */
export function readBefore(conversation: Conversation, offset: number): number {
  let end = 0
  for (const exchange of conversation.exchanges) {
    end += exchange.requestLength
    if (offset < end) return exchange.hadRead
  }
  return answerLengthOf(conversation)
}

/** Offset up to which the source has read when it closes first; Infinity: it does not close first. */
export function serverClosesAt(conversation: Conversation): number {
  const length = requestLengthOf(conversation)
  if (conversation.ending === Ending.ServerCloses) return length
  const last = conversation.exchanges.at(-1)
  return conversation.ending === Ending.ServerHalfCloses ? length - (last?.requestLength ?? 0) : Infinity
}

/**
 * The client's requests as ranges of offsets: bytes sent after it had read the same amount of answer are one request.
 */
export function epochsOf(conversation: Conversation): { readonly begin: number; readonly end: number }[] {
  const epochs: { begin: number; end: number; hadRead: number }[] = []
  let begin = 0
  for (const { requestLength, hadRead } of conversation.exchanges) {
    const last = epochs.at(-1)
    const end = begin + requestLength
    if (last?.hadRead === hadRead) last.end = end
    else if (requestLength > 0) epochs.push({ begin, end, hadRead })
    begin = end
  }
  return epochs
}

/** True if the client ends with a FIN. */
export function hasClientFin({ ending }: Conversation): boolean {
  return ending !== Ending.ClientResets && ending !== Ending.StaysOpen
}
