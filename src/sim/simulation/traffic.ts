/**
 * Makes the packets of one client as they pass the source: segmented, retransmitted, damaged and reordered, but
 * complete. A damaged packet is sent again, as a client would.
 */
import { ACK, FIN, PSH, RST, SYN } from '../../wire/segment.ts'
import { encodeOptions, writePacket } from '../network/packet.ts'
import { answerLengthOf, type Conversation, clientByte, Ending, Kind } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { CaptureWeather } from '../scenario/weather.ts'

export interface PassingPacket {
  readonly at: number
  readonly bytes: Uint8Array
  readonly flags: number
  /** Offset of its payload in the client's stream. */
  readonly offset: number
  readonly length: number
  readonly isDamaged: boolean
}

export interface Place {
  readonly address: number
  readonly port: number
}

/** The faults of the capture, and the share of packets with a closed window. */
interface Noise extends CaptureWeather {
  readonly closedWindow: number
}

/** @returns the packets in no particular order */
export function packetsOf(conversation: Conversation, source: Place, noise: Noise, random: Random): PassingPacket[] {
  const capture = new ClientCapture(conversation, source, noise, random)
  if (conversation.kind === Kind.HalfOpen) capture.knock()
  else capture.write()
  return capture.packets
}

/** Nothing goes wrong in the capture. */
export const QUIET: Noise = {
  repetition: 0,
  disorderMs: 0,
  payloadMax: 1448,
  corruption: 0,
  gaps: 0,
  blackouts: [],
  isTold: false,
  beginsAt: 0,
  forging: 0,
  closedWindow: 0
}

class ClientCapture {
  readonly packets: PassingPacket[] = []
  readonly #conversation: Conversation
  readonly #source: Place
  readonly #noise: Noise
  readonly #random: Random
  #now: number
  #ipId: number

  constructor(conversation: Conversation, source: Place, noise: Noise, random: Random) {
    this.#conversation = conversation
    this.#source = source
    this.#noise = noise
    this.#random = random
    this.#now = conversation.beginsAt
    this.#ipId = random.between(0, 65535)
  }

  write(): void {
    const { exchanges, roundTripMs, kind, mss } = this.#conversation
    this.#syn()
    this.#now += roundTripMs
    // Never reordered, otherwise early payload would look like a connection in mid-stream.
    this.#add(ACK, 0, 0, 0, 0)
    let offset = 0
    for (const { requestLength, hadRead, thinkMs } of exchanges) {
      this.#now += kind === Kind.Duplex ? thinkMs : roundTripMs + thinkMs
      this.#request(offset, requestLength, hadRead)
      offset += requestLength
      // The answer to the message before goes on.
      if (kind === Kind.Duplex && hadRead > 0) this.#add(ACK, offset, 0, hadRead + mss, 0)
    }
    if (this.#conversation.ending !== Ending.ClientHalfCloses) this.#now += roundTripMs + this.#random.skewed(0, 300)
    this.#end(offset)
  }

  /** Sends the SYN again and again, since nothing else follows. */
  knock(): void {
    for (const pauseMs of [0, 1000, 2000]) {
      this.#now += pauseMs
      this.#syn()
    }
  }

  #syn(): void {
    const { mss, windowScale, hasTimestamps } = this.#conversation
    const options = [`mss ${mss}`, 'sackOK']
    if (hasTimestamps) options.push(`ts ${this.#tsVal()} 0`)
    if (windowScale >= 0) options.push(`wscale ${windowScale}`)
    const syn = { flags: SYN, seq: this.#conversation.iss, window: 64240, options: encodeOptions(options) }
    this.#emit(syn, 0, 0)
    if (this.#random.chance(this.#noise.repetition)) this.#emit(syn, 0, 1)
  }

  #request(from: number, length: number, hadRead: number): void {
    const { payloadMax, repetition, disorderMs } = this.#noise
    const end = from + length
    for (let at = from; at < end; ) {
      const size = Math.min(end - at, this.#random.chance(0.5) ? payloadMax : this.#random.between(1, payloadMax))
      const flags = at + size === end || this.#random.chance(0.1) ? ACK | PSH : ACK
      this.#add(flags, at, size, hadRead, this.#random.next() * disorderMs)
      if (this.#random.chance(repetition)) {
        // The client retransmits any part of what it has sent.
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
    const { ending, exchanges, roundTripMs } = this.#conversation
    const late = this.#random.next() * this.#noise.disorderMs
    const all = answerLengthOf(this.#conversation)
    // The source's FIN counts as one byte after its answers.
    const hasServerClosed = ending === Ending.ServerCloses || ending === Ending.ServerHalfCloses
    if (ending === Ending.StaysOpen) return
    if (ending === Ending.ClientResets) this.#add(RST | ACK, offset, 0, this.#random.between(0, all), late)
    else if (ending === Ending.ClientHalfCloses) {
      this.#add(FIN | ACK, offset, 0, exchanges.at(-1)?.hadRead ?? 0, late)
      this.#now += roundTripMs
      // The client has read the last answer and the source's FIN.
      this.#add(ACK, offset + 1, 0, all + 1, this.#noise.disorderMs)
    } else this.#add(FIN | ACK, offset, 0, hasServerClosed ? all + 1 : all, late)
  }

  #add(flags: number, offset: number, length: number, hadRead: number, lateMs: number): void {
    const { iss, irs, hasTimestamps } = this.#conversation
    const payload = Uint8Array.from({ length }, (_, index) => clientByte(this.#conversation, offset + index))
    const options = hasTimestamps ? encodeOptions(['nop', 'nop', `ts ${this.#tsVal()} 77`]) : undefined
    const window = this.#random.chance(this.#noise.closedWindow) ? 0 : this.#random.between(200, 65535)
    this.#emit({ flags, seq: iss + 1 + offset, ack: irs + 1 + hadRead, window, options, payload }, offset, lateMs)
  }

  #emit(
    fields: Omit<Parameters<typeof writePacket>[0], 'fromAddress' | 'fromPort' | 'toAddress' | 'toPort'>,
    offset: number,
    lateMs: number
  ) {
    const { clientAddress, clientPort } = this.#conversation
    const { flags } = fields
    const length = fields.payload?.length ?? 0
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
    if (this.#random.chance(this.#noise.corruption)) {
      const wrong = bytes.slice()
      const bit = this.#random.between(0, bytes.length * 8 - 1)
      wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      this.packets.push({ at: this.#now + lateMs, bytes: wrong, flags, offset, length, isDamaged: true })
      if ((flags & (SYN | FIN)) === 0 && length === 0) return
      // The client does not continue before it has sent the packet again.
      this.#now += lateMs + this.#random.between(200, 400)
    }
    this.packets.push({ at: this.#now + lateMs, bytes, flags, offset, length, isDamaged: false })
  }

  #tsVal(): number {
    return Math.floor(this.#now) >>> 0
  }
}
