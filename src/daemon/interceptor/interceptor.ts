/**
 * intercept's loop takes a batch of the target's answers, and sends each header to the tcpcopy that announced its
 * client.
 */
import { AnswerBatch } from '../../core/assistant/answer-batch.ts'
import { Router, type Routing } from '../../core/assistant/router.ts'
import { SingleGroup } from '../../core/assistant/single-group.ts'
import { TargetFindings } from '../../core/assistant/target-findings.ts'
import { InterceptCounter, type InterceptCounters } from '../../core/books/intercept-counters.ts'
import type { Capture, Clock, Cryptography, Exchange, Listener, Log, PausingWaiter } from '../../ports.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { copyBytes } from '../../wire/bytes.ts'
import { isOrdinary, putHeaderRecord } from '../../wire/channel/answer-records.ts'
import {
  HEADER_LENGTH,
  parseRecord,
  putHeader,
  putHeader6,
  putPayload,
  RECORD_LENGTH,
  RECORD_LENGTH_MAX
} from '../../wire/channel/channel-v1.ts'
import { RECORD_MAX, VERSION_2 } from '../../wire/channel/channel-v2.ts'
import { Flaw } from '../../wire/flaw.ts'
import { Flow } from '../../wire/flow.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { ACK, RST, Segment, SYN } from '../../wire/segment.ts'
import { ChannelServer, type ServerOptions } from '../channel/channel-server.ts'
import { PeerWorkers } from '../channel/peer-workers.ts'
import type { Notices } from '../notices/notices.ts'
import { Coalescing } from './coalescing.ts'

/** Packets taken in one turn. A response of 20 KB takes 10.5 µs, and 11.8 µs with batches of 256. */
const BATCH = 1024
/** Interval of housekeeping, and the longest wait of a turn. */
const IDLE_MS = 1000

export interface InterceptorPorts {
  readonly captures: readonly Capture[]
  readonly listener: Listener
  readonly cryptography: Cryptography
  readonly clock: Clock
  readonly waiter: PausingWaiter
  readonly notices: Notices
  /** Gets the notices once a turn. */
  readonly log: Log
  /** Undefined: this is the only worker. */
  readonly exchange?: Exchange | undefined
  /** Shared by all workers; default: its own. */
  readonly findings?: TargetFindings | undefined
  /** Routes of all workers; default: those of this one. */
  readonly routes?: (() => number) | undefined
}

export interface InterceptorOptions extends ServerOptions {
  /** `-s`: most headers that may wait for their routes. */
  readonly delayMax: number
  /** Default: `ROUTES_MAX`. */
  readonly routesMax?: number
  /** `-c`: in single mode, refuse another tcpcopy while the first is connected. */
  readonly keepsFirst: boolean
}

export class Interceptor {
  readonly #ports: InterceptorPorts
  readonly #counters: InterceptCounters
  readonly #routing: Routing
  readonly #peerWorkers: PeerWorkers | undefined
  readonly #server: ChannelServer
  readonly #findings: TargetFindings
  readonly #segment = new Segment()
  /** The flow of the packet at hand. */
  readonly #flow = new Flow()
  readonly #batch: AnswerBatch
  /** The header at hand as `putHeader` writes it, followed by the payload if the framing has it. */
  readonly #header = new Uint8Array(RECORD_LENGTH_MAX)
  readonly #hasPayload: boolean
  readonly #record = new Uint8Array(RECORD_MAX)
  #now = 0
  /** Subtracted from a packet's time of day, gives an instant of the clock; NaN: unknown. */
  #epoch = Number.NaN
  #capture: Capture | undefined
  #housekeepingAt = 0
  /** Messages of other workers are waiting. */
  #hasMore = false
  readonly #coalescing = new Coalescing()
  /** The last turn took a full batch, so more packets are waiting. */
  #isFull = false
  readonly #takePacket = this.#onPacket.bind(this)

  constructor(ports: InterceptorPorts, options: InterceptorOptions, counters: InterceptCounters) {
    this.#ports = ports
    this.#counters = counters
    const { exchange } = ports
    if (exchange !== undefined)
      this.#peerWorkers = new PeerWorkers(exchange, (bytes, captured, length) =>
        this.#onForwarded(bytes, captured, length)
      )
    this.#findings = ports.findings ?? new TargetFindings()
    const server = new ChannelServer({ ...ports, findings: this.#findings }, options, counters, this.#peerWorkers)
    this.#server = server
    this.#hasPayload = options.channel.framing.recordLength > RECORD_LENGTH
    this.#routing = options.channel.isSingle
      ? new SingleGroup(options.keepsFirst)
      : new Router(
          options.delayMax,
          counters,
          (peer, header, at) => this.#deliverLate(peer, header, at),
          options.routesMax
        )
    this.#batch = new AnswerBatch((peer, record, length, segments) => server.deliver2(peer, record, length, segments))
  }

  run(shouldStop: () => boolean): void {
    while (!shouldStop()) this.turn()
    this.stop()
  }

  /** One turn of the loop. Routes are read before answers, so that an answer finds a route that arrived with it. */
  turn(): void {
    const { clock, notices, log } = this.#ports
    this.#now = this.#wait()
    this.#hasMore = this.#server.receive(this.#routing, this.#now)
    this.#isFull = false
    for (const capture of this.#ports.captures) {
      this.#capture = capture
      const packets = capture.receive(this.#takePacket, BATCH)
      if (packets === BATCH) this.#isFull = true
      if (packets === 0) continue
      this.#counters.add(InterceptCounter.capturedPackets, packets)
      this.#findings.captured(this.#now)
    }
    if (!this.#batch.isEmpty) this.#batch.flush(clock.now())
    if (this.#now >= this.#housekeepingAt) this.#keepHouse()
    this.#server.flush()
    notices.drain(log, this.#now)
  }

  /** Waits for something to do, and a little longer if coalescing. @returns the instant of the turn */
  #wait(): number {
    const { waiter, clock } = this.#ports
    waiter.wait(this.#hasMore ? 0 : IDLE_MS)
    const now = clock.now()
    const pauseMs = this.#coalescing.pauseMs(now)
    if (pauseMs === 0 || this.#isFull || this.#hasMore) return now
    waiter.pause(pauseMs)
    waiter.wait(0)
    return clock.now()
  }

  /** Closes the channel; the captures stay open. */
  stop(): void {
    this.#keepHouse()
    this.#server.close()
    this.#ports.notices.drain(this.#ports.log, this.#now)
  }

  #keepHouse(): void {
    this.#housekeepingAt = this.#now + IDLE_MS
    this.#epoch = this.#ports.clock.epoch?.() ?? Number.NaN
    this.#routing.sweep(this.#now)
    let dropped = 0
    let passed = 0
    for (const capture of this.#ports.captures) {
      dropped += capture.dropped()
      passed += capture.passed?.() ?? 0
    }
    this.#counters.set(InterceptCounter.captureDropped, dropped)
    this.#counters.set(InterceptCounter.passedPackets, passed)
    if (addressBook.isReclaimDue) addressBook.reclaim((keep) => this.#routing.eachAddress(keep))
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number): void {
    const segment = this.#segment
    if (parseIp(bytes, at, captured, length, true, segment) !== Flaw.None) {
      this.#counters.add(InterceptCounter.flawedPackets, 1)
      return
    }
    const { toPort, fromAddress, flags } = segment
    if (this.#peerWorkers !== undefined && !this.#peerWorkers.owns(toPort)) {
      if (!this.#peerWorkers.packet(toPort, bytes, at, captured, length))
        this.#counters.add(InterceptCounter.backlogDropped, 1)
      return
    }
    const flow = this.#flow.fromServer(segment)
    const slot = this.#routing.find(flow)
    const peer = slot < 0 ? slot : this.#routing.peerOf(slot)
    const version = slot < 0 ? 0 : this.#server.versionOf(peer)
    if (version > 0) {
      this.#routing.used(slot, this.#now)
      this.#coalescing.answered(toPort)
    }
    if (version === VERSION_2) segment.arrivedAt = (this.#capture?.capturedAtMs ?? Number.NaN) - this.#epoch
    if (version === VERSION_2 && isOrdinary(flags)) {
      this.#batch.add(slot, peer, segment)
      return
    }
    if ((flags & (SYN | RST)) !== 0) this.#findings.saw(segment, version > 0, this.#now)
    if (isIpv6(fromAddress)) putHeader6(segment, this.#header, 0)
    else putHeader(bytes, at, this.#header, 0)
    if (this.#hasPayload) putPayload(segment, at + captured, this.#header)
    if (version === VERSION_2) this.#batch.addHeader(slot, peer, this.#header, segment)
    else if (version > 0 && !isIpv6(fromAddress)) this.#server.deliver1(peer, this.#header)
    else {
      this.#counters.add(InterceptCounter.unroutedHeaders, 1)
      const mayBeEarly = (flags & (SYN | ACK)) === (SYN | ACK) || (flags & RST) !== 0
      if (mayBeEarly) this.#routing.delay(this.#header, flow, this.#now)
    }
  }

  /** Takes a packet that another worker captured: the kernel's fanout saw another client port. */
  #onForwarded(bytes: Uint8Array, captured: number, length: number): void {
    this.#capture = undefined // the time of capture is unknown
    this.#onPacket(bytes, 0, captured, length)
    // Further messages may change routes, and with them the slots that the batch uses.
    if (!this.#batch.isEmpty) this.#batch.flush(this.#now)
  }

  /** Sends a header that waited for its route. */
  #deliverLate(peer: number, header: Uint8Array, at: number): void {
    if (this.#server.versionOf(peer) !== VERSION_2) {
      copyBytes(header, at, this.#header, 0, HEADER_LENGTH)
      this.#header.fill(0, HEADER_LENGTH)
      this.#server.deliver1(peer, this.#header)
    } else if (parseRecord(header, at, this.#segment) === Flaw.None) {
      const length = putHeaderRecord(header, at, this.#segment, this.#record, 0)
      this.#server.deliver2(peer, this.#record, length, 1)
    }
  }
}
