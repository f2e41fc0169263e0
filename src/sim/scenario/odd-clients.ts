/** Conversations of clients that do not take turns with their server: half-open ones, and full-duplex ones. */
import { type Caller, type Conversation, Ending, Kind } from './conversation.ts'
import type { Random } from './random.ts'

/** More messages than a session needs to notice that both sides talk at once. */
const DUPLEX_MESSAGES = 40
const DUPLEX_LONGEST = 200
const MSS = 1460
/** Full segments of the source that a duplex client reads between two of its messages. */
const SEGMENTS_EACH = 3
const PAUSE_LONGEST_MS = 30

const QUIET = { roundTripMs: 20, hasTimestamps: false, windowScale: 7, mss: MSS }

/** A client whose handshake never completes. */
export function makeHalfOpen(random: Random, caller: Caller): Conversation {
  const irs = random.between(-(2 ** 31), 2 ** 31 - 1)
  const ending = Ending.StaysOpen
  return { ...caller, ...QUIET, kind: Kind.HalfOpen, irs, exchanges: [], ending }
}

/** A client that sends messages while a long answer arrives. The target says nothing before it has read all of them. */
export function makeDuplex(random: Random, caller: Caller): Conversation {
  const each = SEGMENTS_EACH * MSS
  const exchanges = Array.from({ length: DUPLEX_MESSAGES }, (_, index) => ({
    requestLength: random.between(10, DUPLEX_LONGEST),
    answerLength: each,
    targetLength: index === DUPLEX_MESSAGES - 1 ? each * DUPLEX_MESSAGES : 0,
    // The last segment of the answer before is still on its way.
    hadRead: Math.max(0, index * each - MSS),
    thinkMs: random.between(0, PAUSE_LONGEST_MS)
  }))
  const irs = random.between(-(2 ** 31), 2 ** 31 - 1)
  const ending = Ending.ClientCloses
  return { ...caller, ...QUIET, kind: Kind.Duplex, irs, exchanges, ending }
}
