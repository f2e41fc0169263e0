/**
 * Scripts for sessions, in the manner of packetdrill: what is captured, what the target answers, and what has to be
 * sent, each at its time.
 *
 *     +0     source  S   99:99(0)  win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
 *     +0     sent    S   99:99(0)
 *     +1000  sent    S   99:99(0)
 *     +20    target  S.  500:500(0) ack 100 <mss 1460>
 *     +0     sent    .   100:100(0) ack 501
 *
 * `+N`: milliseconds after the line before. `source`: a captured segment of the client. `target`: a header that
 * intercept returned; `target+`: one that comes in the same turn as the next. `sent`: the next packet of the session; it has to leave at that instant, 1 ms earlier or later
 * (timers fire on whole milliseconds, and what is smoothed has fractions). Before any line that is not `sent`, and at
 * the end, all packets sent must have been named. `nothing`: only that check. `stall`: since the line before tcpcopy had
 * no processor; what was due goes out only now. `counter NAME VALUE`;
 * `dropped REASON PACKETS`; `ended REASON`: the next session that ended did so for it; `sessions N`: as many live;
 * `pieces N`: as many of the send pool are in use; `lost N`: the capture says so; `taken A:P`: intercept says that another
 * tcpcopy has this client; `shutdown`.
 *
 * A segment is flags, `first:last(length)`, and what matters of `ack N win N urg N id N ttl N tos N "payload" <options>
 * from A:P to A:P`; what is not written is not compared (of options also their order and NOPs). Payload that is not
 * written is a function of its sequence number, which every packet sent is held to. Text behind `//` is a comment.
 *
 * Each script runs once with each version of the channel. Every packet is real bytes with real checksums. After every script the books must be closed and, after a shutdown,
 * nothing may be held any more.
 */
import assert from 'node:assert/strict'
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop, dropNames } from '../../core/books/drop.ts'
import type { AddressRange } from '../../core/selection/mapping.ts'
import { formatAddress, formatEndpoint, parseAddress } from '../../wire/address.ts'
import { u8 } from '../../wire/bytes.ts'
import { formatFlags, formatOptions, formatSegment } from '../../wire/packetdrill.ts'
import { ACK, Segment, SYN, urgentPointer } from '../../wire/segment.ts'
import { encodeOptions, normalOption, writePacket } from '../network/packet.ts'
import { type Endpoint, type Line, parseScript, type SegmentLine } from './drill-script.ts'
import { type SentPacket, SimulatedWorker, type SimulatedWorkerOptions } from './simulated-worker.ts'

export interface DrillOptions extends Partial<SimulatedWorkerOptions> {
  /** `-c` */
  readonly ranges?: readonly AddressRange[]
  /** Addresses of the script stand for such of IPv6, and packets are longer by what its header is. */
  readonly isIpv6?: boolean
}

const client: Endpoint = { address: parseAddress('10.0.0.1') ?? 0, port: 40001 }
const source: Endpoint = { address: parseAddress('10.0.0.2') ?? 0, port: 80 }
const target: Endpoint = { address: parseAddress('10.0.0.3') ?? 0, port: 8080 }

/** In front of the octets of an IPv4 address that one of IPv6 stands for. */
const PREFIX_6 = '2001:db8::'
/** Of the worker; and by how much the header of IPv6 is longer. */
const MTU = 1500
const LONGER_6 = 20

const TOLERANCE_MS = 1
/** Steps of the clock that a second may have: more means that a session spins. */
const STEPS_PER_SECOND = 100

/**
 * Runs a script: with a sender that takes super-packets and with one that does not, with both versions of the channel,
 * unless one is given, over IPv6, and with sessions that lie down whenever they may: what is on the wire is to be the same.
 * @returns the counters, for what a script cannot say
 */
export function drill(script: string, options: DrillOptions = {}): Counters {
  const run = (variant: DrillOptions): Counters =>
    new Drill({ ...variant, ...options }, !script.includes('"')).run(parseScript(script))
  if (options.channelVersion === undefined) run({ canSegment: true, channelVersion: 1 })
  if (isOfEitherVersion(options)) run({ canSegment: true, channelVersion: 2, isIpv6: true })
  run({ canSegment: false, channelVersion: 2, hibernateAfterMs: 0 })
  return run({ canSegment: false, channelVersion: 2 })
}

/** Whether a script means the same over IPv6: options with addresses, or that count octets of packets, do not. */
function isOfEitherVersion({ maps, ranges, bytesPerSecondMax, channelVersion }: DrillOptions): boolean {
  return [maps, ranges, bytesPerSecondMax, channelVersion].every((option) => option === undefined)
}

/** The octet of a stream at a sequence number, where a script does not write the payload. */
function octetAt(seq: number): number {
  return (Math.imul(seq, 0x9e3779b1) >>> 24) & 255
}

class Drill {
  readonly #worker: SimulatedWorker
  readonly #isPatterned: boolean
  readonly #isIpv6: boolean
  readonly #segment = new Segment()
  readonly #begun: number
  #nominal: number
  #steps = 0
  #line: Line | undefined

  constructor(options: DrillOptions, isPatterned: boolean) {
    this.#isIpv6 = options.isIpv6 === true
    const { port: targetPort, address } = this.#as(target)
    this.#worker = new SimulatedWorker({
      maps: [{ sourceAddress: 0, sourcePort: source.port, targetAddress: address, targetPort }],
      ...options,
      ...(this.#isIpv6 ? { mtuBytes: (options.mtuBytes ?? MTU) + LONGER_6 } : {})
    })
    this.#isPatterned = isPatterned
    this.#begun = this.#worker.now
    this.#nominal = this.#worker.now
  }

  run(lines: readonly Line[]): Counters {
    const worker = this.#worker
    for (const line of lines) {
      this.#line = line
      this.#nominal += line.afterMs
      if (line.kind === 'sent') this.#expect(line.segment)
      else {
        if (line.kind !== 'stall') this.#advance(this.#nominal)
        this.#allNamed()
        this.#perform(line)
      }
    }
    this.#line = undefined
    this.#allNamed()
    const books = worker.counters.unaccountedBytes()
    assert.equal(books, 0, `${books} octets are in no place of the books`)
    worker.close()
    return worker.counters
  }

  #perform(line: Line): void {
    const worker = this.#worker
    switch (line.kind) {
      case 'source':
        worker.source(this.#packet(line.segment, client, source))
        break
      case 'target':
      case 'target+':
        worker.target(this.#packet(line.segment, target, client), line.kind === 'target+')
        break
      case 'lost':
        worker.counters.set(Counter.captureDropped, line.value)
        break
      case 'taken': {
        const [from = '', port = ''] = line.name.split(':')
        const { address, port: targetPort } = this.#as(target)
        const taken = this.#as({ address: parseAddress(from) ?? 0, port: Number(port) })
        worker.sessions.onPortTaken(taken.address, taken.port, address, targetPort, worker.now)
        worker.step(worker.now)
        break
      }
      case 'stall':
        worker.step(this.#nominal)
        break
      case 'shutdown':
        worker.sessions.shutdown(worker.now)
        break
      case 'counter':
        this.#counter(line.name, line.value)
        break
      case 'dropped':
        this.#equal(worker.counters.droppedPackets(reasonOf(line.name)), line.value, `packets ${line.name}`)
        break
      case 'ended':
        this.#equal(dropNames[worker.ended.shift() ?? -1] ?? 'not ended', line.name, 'end')
        break
      case 'sessions':
        this.#equal(worker.sessions.count, line.value, 'sessions')
        break
      case 'pieces':
        this.#equal(worker.pool.usedCount, line.value, 'pieces')
        break
      case 'sent':
      case 'nothing':
        break
      default:
        line satisfies never
    }
  }

  #counter(name: string, expected: number): void {
    const entry = Object.entries(Counter).find(([known]) => known === name)
    if (entry === undefined) this.#fail(`there is no counter ${name}`)
    this.#equal(this.#worker.counters.get(entry[1]), expected, name)
  }

  #packet(line: SegmentLine, from: Endpoint, to: Endpoint): Uint8Array {
    const first = line.flags & SYN ? line.seq + 1 : line.seq
    const payload =
      line.text !== undefined
        ? new TextEncoder().encode(line.text)
        : Uint8Array.from({ length: line.length }, (_, index) => octetAt(first + index))
    return writePacket({
      fromAddress: this.#as(line.from ?? from).address,
      fromPort: (line.from ?? from).port,
      toAddress: this.#as(line.to ?? to).address,
      toPort: (line.to ?? to).port,
      flags: line.flags,
      seq: line.seq,
      ack: line.ack,
      window: line.window,
      urgentPointer: line.urgentPointer,
      ipId: line.ipId,
      ttl: line.ttl,
      trafficClass: line.trafficClass,
      options: line.options === undefined ? undefined : encodeOptions(line.options),
      payload
    })
  }

  /** Steps the sessions through all that is due up to an instant, or until something is sent. */
  #advance(until: number, isOver: () => boolean = () => false): void {
    const worker = this.#worker
    while (!isOver() && worker.deadline <= until) {
      worker.step(worker.deadline)
      this.#steps += 1
      const seconds = 1 + (worker.now - this.#begun) / 1000
      if (this.#steps > seconds * STEPS_PER_SECOND) this.#fail(`the session spins: ${this.#steps} steps`)
    }
    if (!isOver()) worker.step(until)
  }

  /** An endpoint of the script as it is in this run. */
  #as({ address, port }: Endpoint): Endpoint {
    return { address: this.#isIpv6 ? (parseAddress(PREFIX_6 + formatAddress(address)) ?? 0) : address, port }
  }

  /** What a line says that can be seen in this run: over IPv6 there are no ids. */
  #visible(line: SegmentLine): SegmentLine {
    if (!this.#isIpv6) return line
    const { from, to } = line
    const ends = { from: from && this.#as(from), to: to && this.#as(to) }
    return { ...line, ...ends, ipId: undefined }
  }

  #expect(said: SegmentLine): void {
    const expected = this.#visible(said)
    const worker = this.#worker
    this.#advance(this.#nominal + TOLERANCE_MS, () => worker.sent.length > 0)
    const packet = worker.sent.shift()
    if (packet === undefined) this.#fail('nothing was sent')
    const early = this.#nominal - packet.at
    if (early > TOLERANCE_MS) this.#fail(`sent ${early} ms too early: ${this.#describe(packet, expected)}`)
    const actual = this.#describe(packet, expected)
    const wanted = describe(expected)
    if (actual !== wanted) this.#fail(`expected ${wanted}\n    actual ${actual}`)
    this.#checkPayload(packet)
  }

  /** The packet in the words of the line: what the line does not say is left out. */
  #describe(packet: SentPacket, line: SegmentLine): string {
    const segment = this.#segment
    packet.parse(segment)
    return describe({
      flags: segment.flags,
      seq: segment.seq >>> 0,
      length: segment.payloadLength,
      ack: line.ack === undefined ? undefined : segment.flags & ACK ? segment.ack >>> 0 : -1,
      window: line.window === undefined ? undefined : segment.window,
      urgentPointer: line.urgentPointer === undefined ? undefined : urgentPointer(segment),
      ipId: line.ipId === undefined ? undefined : segment.ipId,
      ttl: line.ttl === undefined ? undefined : segment.ttl,
      trafficClass: line.trafficClass === undefined ? undefined : segment.trafficClass,
      options: line.options === undefined ? undefined : formatOptions(segment),
      text:
        line.text === undefined
          ? undefined
          : Buffer.from(segment.bytes.buffer, segment.payloadAt, segment.payloadLength).toString('latin1'),
      from: line.from === undefined ? undefined : { address: segment.fromAddress, port: segment.fromPort },
      to: line.to === undefined ? undefined : { address: segment.toAddress, port: segment.toPort }
    })
  }

  #checkPayload(packet: SentPacket): void {
    const segment = this.#segment
    packet.parse(segment)
    for (let index = 0; index < segment.payloadLength && this.#isPatterned; index++) {
      if (u8(segment.bytes, segment.payloadAt + index) === octetAt(segment.seq + index)) continue
      this.#fail(`the payload is not the client's from ${(segment.seq + index) >>> 0} on`)
    }
  }

  #allNamed(): void {
    const packet = this.#worker.sent[0]
    if (packet === undefined) return
    packet.parse(this.#segment)
    const late = Math.round((packet.at - this.#begun) * 1000) / 1000
    this.#fail(`not expected, sent ${late} ms after the start: ${formatSegment(this.#segment)}`)
  }

  #equal(actual: number | string, expected: number | string, what: string): void {
    if (actual !== expected) this.#fail(`${what}: expected ${expected}, actual ${actual}`)
  }

  #fail(message: string): never {
    const where = this.#line === undefined ? 'drill, at its end' : `drill line ${this.#line.number}: ${this.#line.text}`
    assert.fail(`${where}\n  ${message}`)
  }
}

function reasonOf(name: string): Drop {
  const found = Object.values(Drop).find((reason) => dropNames[reason] === name)
  assert.ok(found !== undefined, `there is no drop reason ${name}`)
  return found
}

/** A segment in packetdrill notation with the fields that are known, so that two texts differ where they do. */
function describe(line: SegmentLine): string {
  const { flags, seq, length } = line
  const parts = [formatFlags(flags), `${seq}:${(seq + length) >>> 0}(${length})`]
  const { ack, window: win, urgentPointer: urg, ipId: id, ttl, trafficClass: tos } = line
  const numbers = { ack, win, urg, id, ttl, tos }
  for (const [name, value] of Object.entries(numbers)) if (value !== undefined) parts.push(`${name} ${value}`)
  if (line.text !== undefined) parts.push(JSON.stringify(line.text))
  if (line.options !== undefined) {
    const options = line.options.map(normalOption).filter((option) => option !== 'nop')
    parts.push(`<${options.sort().join(',')}>`)
  }
  if (line.from !== undefined) parts.push(`from ${formatEndpoint(line.from.address, line.from.port)}`)
  if (line.to !== undefined) parts.push(`to ${formatEndpoint(line.to.address, line.to.port)}`)
  return parts.join(' ')
}
