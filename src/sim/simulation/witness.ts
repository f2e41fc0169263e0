/** A witness records what the capture saw of one conversation. Only such bytes can be required of the copy. */
import { FIN, SYN } from '../../wire/segment.ts'
import { type Conversation, requestLengthOf } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { CaptureWeather } from '../scenario/weather.ts'
import type { PassingPacket } from './traffic.ts'

export class Witness {
  readonly conversation: Conversation
  hasSyn = false
  hasFin = false
  /** Packets that were missed or damaged. */
  missedCount = 0
  /** By offset: 1 if the byte was seen. */
  readonly #seen: Uint8Array

  constructor(conversation: Conversation) {
    this.conversation = conversation
    this.#seen = new Uint8Array(requestLengthOf(conversation))
  }

  /** The SYN and every byte were seen. */
  get isWhole(): boolean {
    return this.hasSyn && !this.#seen.includes(0)
  }

  /** All bytes [begin, end) were seen. */
  hasSeen(begin: number, end: number): boolean {
    return !this.#seen.subarray(begin, end).includes(0)
  }

  /** Its SYN was missed, and it follows the other one with the same address and port, so it looks like a part of it. */
  isTakenFor({ conversation }: Witness): boolean {
    const { clientAddress, clientPort, beginsAt } = this.conversation
    const isSame = clientAddress === conversation.clientAddress && clientPort === conversation.clientPort
    return isSame && beginsAt > conversation.beginsAt && !this.hasSyn
  }

  sees({ flags, offset, length }: PassingPacket): void {
    if (flags & SYN) this.hasSyn = true
    if (flags & FIN) this.hasFin = true
    this.#seen.fill(1, offset, offset + length)
  }
}

/** Whether the capture misses a packet that passes `at` milliseconds after the start. */
export function isMissed(at: number, { gaps, blackouts, beginsAt }: CaptureWeather, random: Random): boolean {
  return at < beginsAt || random.chance(gaps) || blackouts.some((one) => at >= one.at && at < one.at + one.forMs)
}
