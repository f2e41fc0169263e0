/**
 * Runs drills: scripts that test sessions in the style of packetdrill. They say what is captured, what the target
 * answers, and what the session must send, each at its time.
 *
 * ```
 * +0     source  S   99:99(0) win 64240 <mss 1460,sackOK,ts 100 0,wscale 7>
 * +0     sent    S   99:99(0)
 * +1000  sent    S   99:99(0)
 * +20    target  S.  500:500(0) ack 100 <mss 1460>
 * +0     sent    .   100:100(0) ack 501
 * ```
 *
 * `+N` is the time since the previous line, in milliseconds. Text after `//` is a comment. The words:
 *
 * - `source SEGMENT`: the client's segment is captured.
 * - `target SEGMENT`: intercept returns the header of the target's segment. `target+`: the next line follows in the
 * same turn.
 * - `sent SEGMENT`: the next packet of the session. It must be sent at that instant, give or take 1 ms, because timers
 * fire on whole milliseconds, and smoothed times have fractions. Every packet sent must be listed before the next line
 * that is not `sent`, and before the end.
 * - `nothing`: only checks that no packet was sent.
 * - `open`: a connection is opened (see below).
 * - `stall`: tcpcopy did not run since the previous line, so what was due is done only now.
 * - `lost N`: the capture reports N lost packets. `taken A:P`: intercept reports that another tcpcopy has this client.
 * - `shutdown`: tcpcopy is stopped.
 * - `counter NAME VALUE`, `dropped REASON PACKETS`, `sessions N` (alive), `pieces N` (in use in the send pool): the
 * counts that are expected. `ended REASON`: the expected reason of the next end of a connection.
 * - `requests OUTCOME COUNT ...`: what has become of all requests so far, such as `requests answered 2 inFlight 1`. Other
 * outcomes are answeredLate, notAwaited, notAnswered.REASON and dropped.REASON. What is not listed must not have occurred.
 * Where sessions hibernate at once, it is checked only while nothing is in flight.
 *
 * A segment is its flags, `first:last(length)`, and any of `ack N win N urg N id N ttl N tos N "payload" <options> from
 * A:P to A:P`. Fields that are not written are not compared; neither are NOPs and the order of options. Payload that is
 * not written is a function of its sequence number, and every packet sent is checked against it.
 *
 * `open` stands for these lines, which run as if they were written:
 *
 * ```
 * +0     source  S   99:99(0) win 64240 <mss 1460>
 * +0     sent    S   99:99(0)
 * +20    target  S.  500:500(0) ack 100 win 65535 <mss 1460>
 * +0     source  .   100:100(0) ack 301 win 64240
 * +0     sent    .   100:100(0) ack 501
 * ```
 *
 * Then the client's next byte is 100, the source's 301 and the target's 501. Its options, in any order:
 *
 * - `<options>`: those of both SYNs. `<options> <options>`: those of the SYN and of the SYN-ACK. The client's ACK has
 * the timestamps and the scaled window that they imply.
 * - `rtt N`: time until the SYN-ACK (default: 20). `win N`: window of the SYN-ACK (default: 65535).
 * - `ack +N`: the client's ACK is captured N ms later. `ack none`: it is not captured, and nothing is sent yet.
 * - `request N`: the client's first N bytes follow and are sent at once. `answer N`: 9 ms later the target answers with
 * N bytes, acknowledged after 40 ms. Neither has timestamps. With `request 10 answer 40` the added lines are
 *
 * ```
 * +0     source  P.  100:110(10) ack 301
 * +0     sent    P.  100:110(10) ack 501
 * +9     target  P.  501:541(40) ack 110 win 65535
 * +40    sent    .   110:110(0) ack 541
 * ```
 *
 * Each script runs with both versions of the channel, and in the other variants of `drill`. Every packet consists of
 * real bytes with a valid checksum. After every script the books must close, and after a shutdown nothing may be left.
 */
import assert from 'node:assert/strict'
import type { Counters } from '../../core/books/counters.ts'
import type { AddressRange } from '../../core/selection/mapping.ts'
import { formatAddress, formatEndpoint, parseAddress } from '../../wire/address.ts'
import { u8 } from '../../wire/bytes.ts'
import { formatFlags, formatOptions, formatSegment } from '../../wire/packetdrill.ts'
import { ACK, Segment, urgentPointer } from '../../wire/segment.ts'
import { normalOption } from '../network/packet.ts'
import { byteAt, client, packetOf, perform, source, TOLERANCE_MS, target } from './drill-lines.ts'
import { type Endpoint, type Line, parseScript, type SegmentLine } from './drill-script.ts'
import { type SentPacket, SimulatedWorker, type SimulatedWorkerOptions } from './simulated-worker.ts'
import { StreamDrill } from './stream-drill.ts'

export interface DrillOptions extends Partial<SimulatedWorkerOptions> {
  /** `-c` */
  readonly ranges?: readonly AddressRange[]
  /** Maps the script's addresses to IPv6 ones, and makes the MTU larger by as much as the IPv6 header is longer. */
  readonly isIpv6?: boolean
}

/** The `-x` of a script. */
const MAP = {
  sourceAddress: 0,
  sourcePort: source.port,
  targetAddress: target.address,
  targetPort: target.port
}

/** In IPv6 runs it precedes the bytes of an IPv4 address. */
const PREFIX_6 = '2001:db8::'
const MTU = 1500
/** By how much the IPv6 header is longer than the IPv4 header. */
const LONGER_6 = 20

/** Steps of the clock that a second may have: more means that a session spins. */
const STEPS_PER_SECOND = 100

/**
 * Runs a script about bytes, order, gating, ends and reconnects: on our TCP, as `drillTcp` does, and on the target side of
 * `stream-drill.ts`, which has nothing of TCP.
 * @returns the counters of our TCP, for what a script cannot say
 */
export function drill(script: string, options: DrillOptions = {}): Counters {
  for (const hibernateAfterMs of [0, Number.POSITIVE_INFINITY]) {
    new StreamDrill({ maps: [MAP], hibernateAfterMs, ...options }).run(parseScript(script))
  }
  return drillTcp(script, options)
}

/**
 * Runs a script about TCP itself: with a sender that takes super-packets and with one that does not, with both versions of the channel
 * (unless one is given), over IPv6, and with sessions that hibernate whenever they can. All must send the same packets.
 * @returns the counters, for what a script cannot say
 */
export function drillTcp(script: string, options: DrillOptions = {}): Counters {
  const run = (variant: DrillOptions): Counters =>
    new Drill({ ...variant, ...options }, !script.includes('"')).run(parseScript(script))
  if (options.channelVersion === undefined) run({ canSegment: true, channelVersion: 1 })
  if (isOfEitherVersion(options)) run({ canSegment: true, channelVersion: 2, isIpv6: true })
  run({ canSegment: false, channelVersion: 2, hibernateAfterMs: 0 })
  return run({ canSegment: false, channelVersion: 2 })
}

/**
 * Whether a script means the same over IPv6. It does not with options that have addresses or count bytes of packets.
 */
function isOfEitherVersion({ maps, ranges, bytesPerSecondMax, channelVersion }: DrillOptions): boolean {
  return [maps, ranges, bytesPerSecondMax, channelVersion].every((option) => option === undefined)
}

class Drill {
  readonly #worker: SimulatedWorker
  readonly #isPatterned: boolean
  readonly #isIpv6: boolean
  readonly #isHibernating: boolean
  readonly #segment = new Segment()
  readonly #begun: number
  #nominal: number
  #steps = 0
  #line: Line | undefined

  constructor(options: DrillOptions, isPatterned: boolean) {
    this.#isIpv6 = options.isIpv6 === true
    this.#isHibernating = options.hibernateAfterMs === 0
    this.#worker = new SimulatedWorker({
      maps: [{ ...MAP, targetAddress: this.#as(target).address }],
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
    assert.equal(books, 0, `${books} bytes are missing from the books`)
    assert.equal(worker.counters.requests.unaccounted(), 0, 'requests are missing from the books')
    worker.close()
    return worker.counters
  }

  #perform(line: Line): void {
    if (line.kind === 'source') this.#worker.source(this.#packet(line.segment, client, source))
    else if ('segment' in line) {
      this.#worker.target(this.#packet(line.segment, target, client), line.kind === 'target+')
    } else {
      perform(
        {
          worker: this.#worker,
          nominal: this.#nominal,
          as: (endpoint) => this.#as(endpoint),
          isHibernating: this.#isHibernating,
          counts: () => true,
          fail: (message) => this.#fail(message)
        },
        line
      )
    }
  }

  #packet(line: SegmentLine, from: Endpoint, to: Endpoint): Uint8Array {
    return packetOf(line, this.#as(line.from ?? from), this.#as(line.to ?? to))
  }

  /** Runs the timers that are due up to an instant, or until something is sent. */
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

  /** Maps an endpoint of the script to this run's IP version. */
  #as({ address, port }: Endpoint): Endpoint {
    return { address: this.#isIpv6 ? (parseAddress(PREFIX_6 + formatAddress(address)) ?? 0) : address, port }
  }

  /** The part of a line that this run can check: IPv6 packets have no id. */
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

  /** Describes the packet with the fields that the line has, so that both texts can be compared. */
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
      if (u8(segment.bytes, segment.payloadAt + index) === byteAt(segment.seq + index)) continue
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

  #fail(message: string): never {
    const where = this.#line === undefined ? 'drill, at its end' : `drill line ${this.#line.number}: ${this.#line.text}`
    assert.fail(`${where}\n  ${message}`)
  }
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
