/** The simulated target: its connections, and its resets for connections that do not exist (RFC 9293 §3.10.7.1). */
import assert from 'node:assert/strict'
import { formatEndpoint } from '../../wire/address.ts'
import { Flaw } from '../../wire/flaw.ts'
import { formatSegment } from '../../wire/packetdrill.ts'
import { ACK, FIN, parseIpv4, RST, Segment, SYN, verifyChecksum } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { writePacket } from '../network/packet.ts'
import type { Conversation } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { TargetWeather, Trouble } from '../scenario/weather.ts'
import { TargetConnection, targetAddressOf } from './target-connection.ts'

export class TargetHost {
  /** All connections since the start, in order. */
  readonly connections: TargetConnection[] = []
  /** By client address and port: the connection that the host knows. */
  readonly #live = new Map<string, TargetConnection>()
  /** By client address and port: the conversation of the latest connection. */
  readonly #lastOf = new Map<string, Conversation>()
  readonly #weather: TargetWeather
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #whose: (syn: Segment) => Conversation | undefined
  readonly #transmit: (packet: Uint8Array) => void
  readonly #segment = new Segment()
  readonly #startedAt: number

  /** @param whose finds the conversation that a SYN would copy */
  constructor(
    weather: TargetWeather,
    scheduler: Scheduler,
    random: Random,
    whose: (syn: Segment) => Conversation | undefined,
    transmit: (packet: Uint8Array) => void
  ) {
    this.#weather = weather
    this.#scheduler = scheduler
    this.#random = random
    this.#whose = whose
    this.#transmit = transmit
    this.#startedAt = scheduler.now()
    for (const { at } of [...weather.restarts, ...weather.outages]) scheduler.after(at, () => this.#forget())
  }

  /** Takes a packet of a session. */
  onPacket(packet: Uint8Array, sentAt: number): void {
    const segment = this.#segment
    assert.equal(parseIpv4(packet, 0, packet.length, packet.length, false, segment), Flaw.None)
    assert.equal(verifyChecksum(segment), Flaw.None)
    if (this.#isIn(this.#weather.outages)) return
    const key = formatEndpoint(segment.fromAddress, segment.fromPort)
    const live = this.#live.get(key)
    const isSyn = (segment.flags & SYN) !== 0
    if (live !== undefined && (!live.isClosed || !isSyn)) live.onSegment(segment, sentAt)
    else if (!isSyn || this.#isIn(this.#weather.restarts) || this.#isIn(this.#weather.refusals)) this.#refuse(segment)
    else this.#open(key, segment, sentAt)
  }

  #open(key: string, syn: Segment, sentAt: number): void {
    const conversation = this.#whose(syn)
    assert.ok(conversation !== undefined, `no client began ${formatSegment(syn)}`)
    const connection = new TargetConnection(
      conversation,
      syn,
      sentAt,
      this.#lastOf.get(key) !== conversation && syn.seq === seq(conversation.iss),
      this.#weather,
      this.#scheduler,
      this.#random,
      this.#transmit
    )
    this.#live.set(key, connection)
    this.#lastOf.set(key, conversation)
    this.connections.push(connection)
    connection.begin()
  }

  #refuse(segment: Segment): void {
    if (segment.flags & RST) return
    const hasAck = (segment.flags & ACK) !== 0
    const length = segment.payloadLength + (segment.flags & SYN ? 1 : 0) + (segment.flags & FIN ? 1 : 0)
    this.#transmit(
      writePacket({
        ...targetAddressOf(),
        toAddress: segment.fromAddress,
        toPort: segment.fromPort,
        flags: hasAck ? RST : RST | ACK,
        seq: hasAck ? segment.ack : 0,
        ack: segment.seq + length,
        window: 0
      })
    )
  }

  #forget(): void {
    for (const connection of this.#live.values()) connection.kill()
    this.#live.clear()
  }

  #isIn(troubles: readonly Trouble[]): boolean {
    const at = this.#scheduler.now() - this.#startedAt
    return troubles.some((one) => at >= one.at && at < one.at + one.forMs)
  }
}
