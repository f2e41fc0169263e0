/** What the capture saw of one conversation: of what it missed, nobody can ask tcpcopy. */
import { FIN, SYN } from '../../wire/segment.ts'
import { type Conversation, requestLengthOf } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { CaptureWeather } from '../scenario/weather.ts'
import type { PassingPacket } from './traffic.ts'

export class Witness {
  readonly conversation: Conversation
  hasSyn = false
  hasFin = false
  /** Packets that passed unseen, or damaged. */
  missedCount = 0
  /** By offset: 1 where the octet was seen. */
  readonly #seen: Uint8Array
  /** Where the payload of a captured packet began, as offsets. */
  readonly payloadStarts = new Set<number>()

  constructor(conversation: Conversation) {
    this.conversation = conversation
    this.#seen = new Uint8Array(requestLengthOf(conversation))
  }

  /** Every octet, and the SYN. */
  get isWhole(): boolean {
    return this.hasSyn && !this.#seen.includes(0)
  }

  /** Octets [begin, end) were all seen. */
  hasSeen(begin: number, end: number): boolean {
    return !this.#seen.subarray(begin, end).includes(0)
  }

  /** It came without its SYN, after another with the same address and port. */
  isTakenFor({ conversation }: Witness): boolean {
    const { clientAddress, clientPort, beginsAt } = this.conversation
    const isSame = clientAddress === conversation.clientAddress && clientPort === conversation.clientPort
    return isSame && beginsAt > conversation.beginsAt && !this.hasSyn
  }

  sees({ flags, offset, length }: PassingPacket): void {
    if (flags & SYN) this.hasSyn = true
    if (flags & FIN) this.hasFin = true
    this.#seen.fill(1, offset, offset + length)
    if (length > 0) this.payloadStarts.add(offset)
  }
}

/** Whether the capture misses a packet that passes `at` milliseconds after the start. */
export function isMissed(at: number, { gaps, blackouts, beginsAt }: CaptureWeather, random: Random): boolean {
  return at < beginsAt || random.chance(gaps) || blackouts.some((one) => at >= one.at && at < one.at + one.forMs)
}
