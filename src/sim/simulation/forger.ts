/**
 * A stranger who sends packets with the addresses and ports of live connections. Most have random numbers; some have
 * all but one right, as if the stranger had seen a part of the traffic. No source would believe any of them.
 */
import { ACK, FIN, PSH, parseIpv4, RST, Segment } from '../../wire/segment.ts'
import { writePacket } from '../network/packet.ts'
import { Random } from '../scenario/random.ts'
import type { PassingPacket } from './traffic.ts'

/** Apart from the draws of the weather, so that seeds without forged packets stay as they were. */
const SEED_MASK = 0x5f04_9e37
/** Most bytes by which a sequence number that is nearly right is wrong. */
const NEAR = 50_000
/** Farther ahead than any flight of a simulated client. */
const FAR = 2 ** 23
/** More than two windows. */
const ACK_FAR = 2 ** 27
const LENGTH_MAX = 1448

const kinds = ['random', 'random', 'ack', 'ahead', 'reset', 'fin'] as const

export class Forger {
  readonly #random: Random
  readonly #probability: number
  readonly #segment = new Segment()

  /** @param probability that a client's packet is preceded by forged ones */
  constructor(seed: number, probability: number) {
    this.#random = new Random(seed ^ SEED_MASK)
    this.#probability = probability
  }

  /**
   * The packets that a stranger sends just before a client's packet with payload, whose addresses and ports they have.
   * @param all the packets of the connection
   */
  before(packet: PassingPacket, all: readonly PassingPacket[]): Uint8Array[] {
    if (this.#probability === 0 || packet.length === 0 || packet.isDamaged || !this.#random.chance(this.#probability))
      return []
    return Array.from({ length: this.#random.between(1, 4) }, () => this.#forge(packet, all))
  }

  #forge({ bytes, offset, length }: PassingPacket, all: readonly PassingPacket[]): Uint8Array {
    const random = this.#random
    const { seq, ack, window, ...ends } = this.#parse(bytes)
    const payload = new Uint8Array(random.between(1, LENGTH_MAX)).fill(0xff)
    const nearby = seq + this.#notABoundary(offset, all) - offset
    switch (random.pick(kinds)) {
      case 'random': {
        const flags = random.pick([PSH | ACK, FIN | ACK, RST, RST | ACK] as const)
        const content = flags & PSH ? payload : undefined
        return writePacket({ ...ends, flags, seq: this.#any(), ack: this.#any(), window, payload: content })
      }
      case 'ack':
        return writePacket({ ...ends, flags: PSH | ACK, seq: nearby, ack: this.#farFrom(ack), window, payload })
      case 'ahead': {
        const ahead = seq + length + random.between(FAR, 2 * FAR)
        return writePacket({ ...ends, flags: PSH | ACK, seq: ahead, ack, window, payload })
      }
      case 'reset':
        return writePacket({ ...ends, flags: RST, seq: nearby, window: 0 })
      case 'fin':
        return writePacket({ ...ends, flags: FIN | ACK, seq: nearby, ack, window })
    }
  }

  #parse(bytes: Uint8Array) {
    const segment = this.#segment
    parseIpv4(bytes, 0, bytes.length, bytes.length, false, segment)
    const { fromAddress, fromPort, toAddress, toPort, seq, ack, window } = segment
    return { fromAddress, fromPort, toAddress, toPort, seq, ack, window }
  }

  #any(): number {
    return this.#random.between(-(2 ** 31), 2 ** 31 - 1)
  }

  #farFrom(ack: number): number {
    return ack + this.#random.between(ACK_FAR, 2 ** 32 - ACK_FAR)
  }

  /** An offset near another where no packet of the client begins or ends: there the source would believe a stranger. */
  #notABoundary(offset: number, all: readonly PassingPacket[]): number {
    for (;;) {
      const at = offset + this.#random.between(-NEAR, NEAR)
      const isFree = all.every((one) => Math.abs(at - one.offset) > 1 && Math.abs(at - one.offset - one.length) > 1)
      if (isFree) return at
    }
  }
}
