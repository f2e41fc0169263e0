/** Makes the packets that a capture on the source sees of a client: cut, repeated, in disorder, but all of them. */
import { ACK, FIN, PSH, RST, SYN } from '../wire/segment.ts'
import { answerLengthOf, type Conversation, clientOctet, Ending, requestLengthOf } from './conversation.ts'
import { encodeOptions, writePacket } from './packet.ts'
import type { Random } from './random.ts'

export interface CapturedPacket {
  readonly at: number
  readonly bytes: Uint8Array
}

export interface CaptureNoise {
  /** Probability that a packet is captured once more a little later. */
  readonly repetition: number
  /** Packets of one conversation overtake each other by up to this. */
  readonly disorderMs: number
  /** Largest payload of a captured packet: more than the MSS are super-packets. */
  readonly payloadMax: number
}

/** @returns the packets, not sorted, and when the last of them was captured */
export function captureOf(
  conversation: Conversation,
  source: { readonly address: number; readonly port: number },
  noise: CaptureNoise,
  random: Random
): { packets: CapturedPacket[]; endsAt: number } {
  const capture = new ClientCapture(conversation, source, noise, random)
  capture.write()
  return { packets: capture.packets, endsAt: Math.max(...capture.packets.map((packet) => packet.at)) }
}

class ClientCapture {
  readonly packets: CapturedPacket[] = []
  readonly #conversation: Conversation
  readonly #source: { readonly address: number; readonly port: number }
  readonly #noise: CaptureNoise
  readonly #random: Random
  #now: number
  #ipId: number

  constructor(
    conversation: Conversation,
    source: { readonly address: number; readonly port: number },
    noise: CaptureNoise,
    random: Random
  ) {
    this.#conversation = conversation
    this.#source = source
    this.#noise = noise
    this.#random = random
    this.#now = conversation.beginsAt
    this.#ipId = random.between(0, 65535)
  }

  write(): void {
    const { exchanges, roundTripMs } = this.#conversation
    this.#syn()
    this.#now += roundTripMs
    // In its place, or too early payload would be taken for a connection in mid-stream.
    this.#add(ACK, 0, 0, 0, 0)
    let offset = 0
    for (const { requestLength, hadRead, thinkMs } of exchanges) {
      this.#now += roundTripMs + thinkMs
      this.#request(offset, requestLength, hadRead)
      offset += requestLength
    }
    this.#now += roundTripMs + this.#random.skewed(0, 300)
    this.#end(offset)
  }

  #syn(): void {
    const { mss, windowScale, hasTimestamps } = this.#conversation
    const options = [`mss ${mss}`, 'sackOK']
    if (hasTimestamps) options.push(`ts ${this.#tsVal()} 0`)
    if (windowScale >= 0) options.push(`wscale ${windowScale}`)
    this.#emit({ flags: SYN, seq: this.#conversation.iss, window: 64240, options: encodeOptions(options) }, 0)
    if (this.#random.chance(this.#noise.repetition)) {
      this.#emit({ flags: SYN, seq: this.#conversation.iss, window: 64240, options: encodeOptions(options) }, 1)
    }
  }

  #request(from: number, length: number, hadRead: number): void {
    const { payloadMax, repetition, disorderMs } = this.#noise
    const end = from + length
    for (let at = from; at < end; ) {
      const size = Math.min(end - at, this.#random.chance(0.5) ? payloadMax : this.#random.between(1, payloadMax))
      const flags = at + size === end || this.#random.chance(0.1) ? ACK | PSH : ACK
      this.#add(flags, at, size, hadRead, this.#random.next() * disorderMs)
      if (this.#random.chance(repetition)) {
        // The client sends again, cut as it likes, within what it has sent.
        const back = this.#random.between(0, Math.min(at - from, payloadMax))
        const again = Math.min(this.#random.between(1, payloadMax), at + size - (at - back))
        this.#add(ACK, at - back, again, hadRead, disorderMs + this.#random.next() * 5)
      }
      at += size
      this.#now += this.#random.next() * 0.2
    }
    if (this.#random.chance(0.5)) this.#add(ACK, end, 0, hadRead, 2 * disorderMs + 6)
  }

  #end(offset: number): void {
    const { ending } = this.#conversation
    const late = this.#random.next() * this.#noise.disorderMs
    const all = answerLengthOf(this.#conversation)
    if (ending === Ending.StaysOpen) return
    if (ending === Ending.ClientResets) this.#add(RST | ACK, offset, 0, this.#random.between(0, all), late)
    // The source's FIN counts one octet behind its answers.
    else this.#add(FIN | ACK, offset, 0, ending === Ending.ServerCloses ? all + 1 : all, late)
  }

  #add(flags: number, offset: number, length: number, hadRead: number, lateMs: number): void {
    const { iss, irs, hasTimestamps } = this.#conversation
    const payload = Uint8Array.from({ length }, (_, index) => clientOctet(this.#conversation, offset + index))
    const options = hasTimestamps ? encodeOptions(['nop', 'nop', `ts ${this.#tsVal()} 77`]) : undefined
    const window = this.#random.between(200, 65535)
    this.#emit({ flags, seq: iss + 1 + offset, ack: irs + 1 + hadRead, window, options, payload }, lateMs)
  }

  #emit(
    fields: Omit<Parameters<typeof writePacket>[0], 'fromAddress' | 'fromPort' | 'toAddress' | 'toPort'>,
    lateMs: number
  ) {
    const { clientAddress, clientPort } = this.#conversation
    this.#ipId = (this.#ipId + 1) & 0xffff
    const bytes = writePacket({
      fromAddress: clientAddress,
      fromPort: clientPort,
      toAddress: this.#source.address,
      toPort: this.#source.port,
      ipId: this.#ipId,
      ttl: 60,
      ...fields
    })
    this.packets.push({ at: this.#now + lateMs, bytes })
  }

  #tsVal(): number {
    return Math.floor(this.#now) >>> 0
  }
}

/** When all of a conversation's octets count as captured: nothing of them is missing. */
export function capturedOctets(conversations: readonly Conversation[]): number {
  return conversations.reduce((total, conversation) => total + requestLengthOf(conversation), 0)
}
