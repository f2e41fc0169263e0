/**
 * What a client and the source said to each other: the ground truth of a simulation. The capture is made from it, the
 * simulated target answers by it, and what the target read is compared with it.
 */
import type { Random } from './random.ts'

export interface Exchange {
  /** Octets that the client sends; 0 in the first exchange: the server speaks first. */
  readonly requestLength: number
  /** Octets of answer to it. */
  readonly answerLength: number
  /** Octets of all answers that the client had read when it began to send this. */
  readonly hadRead: number
  /** After the last exchange became possible. */
  readonly thinkMs: number
}

export const Ending = { ClientCloses: 0, ServerCloses: 1, ClientResets: 2, StaysOpen: 3 } as const
export type Ending = (typeof Ending)[keyof typeof Ending]

export interface Conversation {
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

export function makeConversation(
  random: Random,
  clientAddress: number,
  clientPort: number,
  beginsAt: number
): Conversation {
  const exchanges: Exchange[] = []
  const isServerFirst = random.chance(0.2)
  let answered = 0
  let hadRead = 0
  const most = random.pick([1, 3, 8] as const)
  const longest = random.pick([100, 5000, 60_000] as const)
  for (let index = 0; index < most; index++) {
    const isGreeting = index === 0 && isServerFirst
    // Pipelining: a client may speak before it has read all, but what it has read it has read.
    if (index > 0) hadRead = random.chance(0.3) ? random.between(hadRead, answered) : answered
    const answerLength = isGreeting ? random.between(1, 80) : random.skewed(0, longest)
    const requestLength = isGreeting ? 0 : random.skewed(1, longest)
    exchanges.push({ requestLength, answerLength, hadRead, thinkMs: random.skewed(0, 300) })
    answered += answerLength
  }
  return {
    clientAddress,
    clientPort,
    iss: random.chance(0.2) ? random.between(-20_000, -1) : random.between(-(2 ** 31), 2 ** 31 - 1),
    irs: random.between(-(2 ** 31), 2 ** 31 - 1),
    beginsAt,
    roundTripMs: random.skewed(1, 60),
    exchanges,
    ending: random.pick([
      Ending.ClientCloses,
      Ending.ClientCloses,
      Ending.ServerCloses,
      Ending.ClientResets,
      Ending.StaysOpen
    ] as const),
    hasTimestamps: random.chance(0.7),
    windowScale: random.chance(0.7) ? random.between(0, 9) : -1,
    mss: random.pick([1460, 1460, 536, 8960] as const)
  }
}

export function requestLengthOf(conversation: Conversation): number {
  return conversation.exchanges.reduce((total, exchange) => total + exchange.requestLength, 0)
}

export function answerLengthOf(conversation: Conversation): number {
  return conversation.exchanges.reduce((total, exchange) => total + exchange.answerLength, 0)
}

/** The client's octet at an offset of its stream. */
export function clientOctet(conversation: Conversation, offset: number): number {
  return (Math.imul(offset + conversation.iss, 0x9e3779b1) >>> 24) & 255
}

/** Octets of answers that the source, or the target, gives once it has read so many octets of requests. */
export function answerDue(conversation: Conversation, requestOctets: number): number {
  let read = 0
  let answer = 0
  for (const exchange of conversation.exchanges) {
    read += exchange.requestLength
    if (read > requestOctets) return answer
    answer += exchange.answerLength
  }
  return answer
}

/** Octets of answers that the client had read before it sent the octet at this offset. */
export function readBefore(conversation: Conversation, offset: number): number {
  let read = 0
  for (const exchange of conversation.exchanges) {
    read += exchange.requestLength
    if (offset < read) return exchange.hadRead
  }
  return answerLengthOf(conversation)
}
