/** Sessions without a daemon: clients and a target in memory, which run as fast as the core. */
import { Counters } from '../../src/core/books/counters.ts'
import { POOL_PAGE } from '../../src/core/memory/send-pool.ts'
import type { Outbox } from '../../src/core/packets/outbox.ts'
import { SELECTION_DEFAULTS } from '../../src/core/selection/settings.ts'
import { HIBERNATE_AFTER_MS } from '../../src/core/session/idle-policy.ts'
import { SESSION_DEFAULTS } from '../../src/core/session/settings.ts'
import { assembleCopy, type Copy, copyMemoryLength, LIMIT_DEFAULTS } from '../../src/core/sessions/assembly.ts'
import type { Sessions } from '../../src/core/sessions/sessions.ts'
import { copyOctets } from '../../src/io/linux/system/native-copy.ts'
import { encodeOptions, type PacketFields, writePacket } from '../../src/sim/network/packet.ts'
import { i32, put32 } from '../../src/wire/bytes.ts'
import {
  AnswerRecord,
  ageMs,
  fillAnswer,
  fillFromRecord,
  parseAnswerRecord,
  putAnswerRecord
} from '../../src/wire/channel/answer-records.ts'
import { HEADER_LENGTH, parseRecord, putHeader } from '../../src/wire/channel/channel-v1.ts'
import { flowLength, RECORD_HEAD, RECORD_MAX, shapeOf } from '../../src/wire/channel/channel-v2.ts'
import { ACK, IPV4_HEADER, PSH, parseIpv4, Segment, SYN } from '../../src/wire/segment.ts'
import { seq } from '../../src/wire/seq.ts'

const SOURCE = 0x0a000001
const TARGET = 0x0a000002
const PORT = 80
const FRAMES_MAX = 1024
const POOL_PAGES = 256
const TCP_AT = IPV4_HEADER
/** Offsets in an answer record over IPv4: after the flow; after acknowledgment, window, counts and timestamps. */
const ACK_AT = RECORD_HEAD + flowLength(shapeOf(TARGET))
const RANGE_AT = ACK_AT + 16
const OPTIONS = encodeOptions(['nop', 'nop', 'ts 1 1'])
/** Between a batch of requests and the batch of their answers. */
const HALF_ROUND_TRIP_MS = 0.05

/** Maximum payload of a segment, in bytes: MSS 1460 with timestamps. */
const SEGMENT_MAX = 1448

/** Offset and length of a packet in the rig's memory. */
interface Placed {
  readonly at: number
  readonly length: number
}

/** The packets of a connection. */
interface Talk {
  /** The request's segments. */
  readonly request: readonly Placed[]
  /** Offset of intercept's record of the answer. */
  readonly answerAt: number
}

const PACKETS_LENGTH = 64 << 20
/** There is no intercept. */
const NOBODY = { announce: () => {}, withdraw: () => {} }

/** In each turn, every connection sends one request, all in one batch, and receives its answer in another. */
export class Rig {
  now = 1000
  readonly counters = new Counters()
  readonly #talks: Talk[] = []
  /** All packets, as in a capture ring. */
  readonly #packets = new Uint8Array(PACKETS_LENGTH)
  #packetsEnd = 0
  readonly #requestLength: number
  readonly #answerLength: number
  readonly #copy: Copy<Segment>
  readonly #outbox: Outbox
  readonly #sessions: Sessions<Segment>
  readonly #segment = new Segment()
  readonly #answers = new AnswerRecord()
  /** Maximum number of sessions that were not hibernated while idle ones were opened. */
  awakeMost = 0
  /** Flushed frames. */
  sentCount = 0

  /** Sessions that have not ended, hibernated ones included. */
  get sessionCount(): number {
    return this.#sessions.count
  }

  /** @param requestLength payload in bytes, in as few segments as possible. @param answerLength of one segment */
  constructor(connections: number, requestLength: number, answerLength: number) {
    this.#requestLength = requestLength
    this.#answerLength = answerLength
    const map = { sourceAddress: 0, sourcePort: PORT, targetAddress: TARGET, targetPort: PORT }
    const limits = { ...LIMIT_DEFAULTS, poolBytes: POOL_PAGES * POOL_PAGE, framesMax: FRAMES_MAX }
    const selection = { ...SELECTION_DEFAULTS, maps: [map] }
    const settings = { selection, session: { ...SESSION_DEFAULTS, roundTripMs: 0 }, limits }
    const means = {
      memory: new Uint8Array(copyMemoryLength(limits)),
      counters: this.counters,
      copy: copyOctets,
      flush: () => this.#flush(),
      canSegment: () => true,
      mtu: () => 1500
    }
    this.#copy = assembleCopy(settings, means, this.now)
    this.#outbox = this.#copy.outbox
    this.#sessions = this.#copy.sessions
    for (let index = 0; index < connections; index++) {
      this.#open(index)
      // Many connections in a row without a request would be held as possible copies that came back.
      this.turn()
    }
  }

  /** One request of every connection, and its answer. */
  turn(): void {
    const bytes = this.#packets
    for (const { request } of this.#talks) {
      for (const { at, length } of request) this.#source(bytes, at, length)
    }
    this.#settle()
    for (const { request, answerAt } of this.#talks) {
      put32(bytes, answerAt + ACK_AT, i32(bytes, answerAt + ACK_AT) + this.#requestLength)
      this.#answer(bytes, answerAt)
      put32(bytes, answerAt + RANGE_AT, i32(bytes, answerAt + RANGE_AT) + this.#answerLength)
      for (const { at } of request) {
        put32(bytes, at + TCP_AT + 4, i32(bytes, at + TCP_AT + 4) + this.#requestLength)
        put32(bytes, at + TCP_AT + 8, i32(bytes, at + TCP_AT + 8) + this.#answerLength)
      }
    }
    this.#settle()
  }

  /** Opens more connections, each idle after one request; the rig keeps no packets of them. */
  openIdle(count: number): void {
    for (let index = 0; index < count; index++) {
      this.#open(index)
      this.turn()
      this.#talks.pop()
      this.#packetsEnd = 0
      this.awakeMost = Math.max(this.awakeMost, this.#copy.idlePolicy.count)
    }
    // Runs what is due some time after an answer.
    this.now += HIBERNATE_AFTER_MS
    this.#settle()
  }

  #open(index: number): void {
    const client = { fromAddress: 0x0b000000 + (index >>> 14), fromPort: 1024 + (index & 0x3fff), toPort: PORT }
    const toClient = { fromAddress: TARGET, fromPort: PORT, toAddress: client.fromAddress, toPort: client.fromPort }
    // Clients of other addresses with the same number or requests would be copies that came back.
    const first = 100 + ((index >>> 14) << 16)
    const synOptions = encodeOptions(['mss 1460', 'sackOK', 'ts 1 0', 'nop', 'wscale 7'])
    const syn = { ...client, toAddress: SOURCE, flags: SYN, seq: first - 1, options: synOptions }
    this.#sourceOnce(syn)
    const synAck = { ...toClient, flags: SYN | ACK, seq: 499, ack: first, options: synOptions }
    this.#synAck(writePacket(synAck))
    const fromClient = { ...client, toAddress: SOURCE, seq: first, ack: 300, options: OPTIONS }
    this.#sourceOnce({ ...fromClient, flags: ACK })
    const request: Placed[] = []
    for (let from = 0; from < this.#requestLength; from += SEGMENT_MAX) {
      const payload = new Uint8Array(Math.min(SEGMENT_MAX, this.#requestLength - from)).fill(7 + (index >>> 14))
      const flags = from + payload.length === this.#requestLength ? ACK | PSH : ACK
      const packet = writePacket({ ...fromClient, seq: first + from, flags, payload })
      request.push({ at: this.#place(packet), length: packet.length })
    }
    this.#talks.push({ request, answerAt: this.#place(this.#record(client.fromAddress, client.fromPort, first)) })
  }

  /** The record of the answer to a client's first request, which is one segment. */
  #record(clientAddress: number, clientPort: number, first: number): Uint8Array {
    const answers = new AnswerRecord()
    answers.flow.set(clientAddress, clientPort, TARGET, PORT)
    const times = { hasTimestamps: true, tsVal: seq(1), tsEcr: seq(1), age: 1 }
    Object.assign(answers, times, { flags: ACK, ack: seq(first), window: 65_535, rangeCount: 1 })
    answers.setRange(0, seq(500), this.#answerLength, PSH)
    const record = new Uint8Array(RECORD_MAX)
    return record.subarray(0, putAnswerRecord(answers, record, 0))
  }

  /** Keeps a packet for all turns, aligned to 16 bytes as in a ring. @returns its offset */
  #place(packet: Uint8Array): number {
    const at = this.#packetsEnd
    this.#packets.set(packet, at)
    this.#packetsEnd = (at + packet.length + 15) & ~15
    return at
  }

  #sourceOnce(fields: PacketFields): void {
    const packet = writePacket(fields)
    this.#source(packet, 0, packet.length)
    this.#settle()
  }

  #source(bytes: Uint8Array, at: number, length: number): void {
    parseIpv4(bytes, at, length, length, false, this.#segment)
    this.#sessions.onSource(this.#segment, this.now)
  }

  #synAck(packet: Uint8Array): void {
    const record = new Uint8Array(HEADER_LENGTH)
    putHeader(packet, 0, record, 0)
    parseRecord(record, 0, this.#segment)
    this.#sessions.onTarget(this.#segment, this.now)
  }

  /** Takes a record as tcpcopy's end of the channel does. */
  #answer(bytes: Uint8Array, at: number): void {
    parseAnswerRecord(bytes, at, this.#answers)
    fillFromRecord(this.#answers, this.#segment)
    fillAnswer(this.#answers, 0, this.#segment)
    this.#segment.arrivedAt = this.now - ageMs(this.#answers.age)
    this.#sessions.onTarget(this.#segment, this.now)
  }

  #settle(): void {
    this.#sessions.settle(this.now)
    this.#sessions.onTimer(this.now)
    this.#flush()
    this.now += HALF_ROUND_TRIP_MS
  }

  #flush(): void {
    this.sentCount += this.#outbox.count
    this.#outbox.clear()
    this.#copy.routes.drain(NOBODY)
    const { latency } = this.#copy
    if (latency.hasDepartures) latency.departed(this.now)
  }
}

/** A client's packet with this much payload, for measurements without a session. */
export function sampleRequest(length: number): Uint8Array {
  const fields = { fromAddress: 0x0b000001, fromPort: 4000, toAddress: SOURCE, toPort: PORT, flags: ACK | PSH }
  return writePacket({ ...fields, seq: 100, ack: 300, options: OPTIONS, payload: new Uint8Array(length).fill(7) })
}
