/** intercept's loop: take a batch of the target's answers, and give each header to the tcpcopy that announced its client. */
import { AnswerBatch } from '../../core/assistant/answer-batch.ts'
import { Router, type Routing } from '../../core/assistant/router.ts'
import { SingleGroup } from '../../core/assistant/single-group.ts'
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

/** Packets taken in one turn: what has waited for a busy core is sent at once. 10.5 µs a response of 20 KB; by 256 11.8. */
const BATCH = 1024
/** How often the kernel's drop count is read, and how long a turn may wait. */
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
  /** Undefined: there is one worker. */
  readonly exchange?: Exchange | undefined
}

export interface InterceptorOptions extends ServerOptions {
  /** `-s`: most headers that wait for their routes. */
  readonly delayMax: number
  /** `-c`: in single mode the first tcpcopy stays, as long as it is there. */
  readonly keepsFirst: boolean
}

export class Interceptor {
  readonly #ports: InterceptorPorts
  readonly #counters: InterceptCounters
  readonly #routing: Routing
  readonly #peerWorkers: PeerWorkers | undefined
  readonly #server: ChannelServer
  readonly #segment = new Segment()
  /** The flow of the packet at hand. */
  readonly #flow = new Flow()
  readonly #batch: AnswerBatch
  /** As `putHeader` leaves it; behind that an answer's payload, where the framing has it. */
  readonly #header = new Uint8Array(RECORD_LENGTH_MAX)
  readonly #hasPayload: boolean
  readonly #record = new Uint8Array(RECORD_MAX)
  #now = 0
  /** What makes instants of the times of day at which packets were captured; NaN: nothing does. */
  #epoch = Number.NaN
  #capture: Capture | undefined
  #housekeepingAt = 0
  /** Other workers have sent more than was taken. */
  #hasMore = false
  readonly #coalescing = new Coalescing()
  /** The last turn has taken so much that more waits for sure. */
  #isFull = false
  readonly #takePacket = this.#onPacket.bind(this)

  constructor(ports: InterceptorPorts, options: InterceptorOptions, counters: InterceptCounters) {
    this.#ports = ports
    this.#counters = counters
    const { exchange } = ports
    if (exchange !== undefined)
      this.#peerWorkers = new PeerWorkers(exchange, (bytes, captured, length) =>
        this.#onHanded(bytes, captured, length)
      )
    const server = new ChannelServer(ports, options, counters, this.#peerWorkers)
    this.#server = server
    this.#hasPayload = options.channel.framing.recordLength > RECORD_LENGTH
    this.#routing = options.channel.isSingle
      ? new SingleGroup(options.keepsFirst)
      : new Router(options.delayMax, counters, (peer, header, at) => this.#deliverLate(peer, header, at))
    this.#batch = new AnswerBatch((peer, record, length, segments) => server.deliver2(peer, record, length, segments))
  }

  run(shouldStop: () => boolean): void {
    while (!shouldStop()) this.turn()
    this.stop()
  }

  /** One turn of the loop. Routes are taken before answers: those that came with them then find their way. */
  turn(): void {
    const { clock, notices, log } = this.#ports
    this.#now = this.#wait()
    this.#hasMore = this.#server.receive(this.#routing, this.#now)
    this.#isFull = false
    for (const capture of this.#ports.captures) {
      this.#capture = capture
      const packets = capture.receive(this.#takePacket, BATCH)
      if (packets === BATCH) this.#isFull = true
      if (packets > 0) this.#counters.add(InterceptCounter.capturedPackets, packets)
    }
    if (!this.#batch.isEmpty) this.#batch.flush(clock.now())
    if (this.#now >= this.#housekeepingAt) this.#keepHouse()
    this.#server.flush()
    notices.drain(log)
  }

  /** Until there is something to do, and among many answers a little longer. @returns the turn's instant */
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
    this.#ports.notices.drain(this.#ports.log)
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

  /** A packet that another worker has captured: where the kernel knows the client's port by another number. */
  #onHanded(bytes: Uint8Array, captured: number, length: number): void {
    this.#capture = undefined // nobody knows any more when it came
    this.#onPacket(bytes, 0, captured, length)
    // Routes may come and go before the turn's own packets do.
    if (!this.#batch.isEmpty) this.#batch.flush(this.#now)
  }

  /** A header that has waited for its route. */
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
