/** intercept's loop: take a batch of the target's answers, and give each header to the tcpcopy that announced its client. */
import { InterceptCounter, type InterceptCounters } from '../core/intercept-counters.ts'
import { Router } from '../core/router.ts'
import type { Capture, Clock, Listener, Log, Waiter } from '../ports.ts'
import { putRecord, RECORD_LENGTH } from '../wire/channel-v1.ts'
import { Flaw } from '../wire/flaw.ts'
import { ACK, parseIpv4, RST, Segment, SYN } from '../wire/segment.ts'
import { ChannelServer } from './channel-server.ts'

const BATCH = 256
/** How often the kernel's drop count is read, and how long a turn may wait. */
const IDLE_MS = 1000

export interface InterceptorPorts {
  readonly captures: readonly Capture[]
  readonly listener: Listener
  readonly clock: Clock
  readonly waiter: Waiter
  readonly log: Log
}

export interface InterceptorOptions {
  /** `-s`: most headers that wait for their routes. */
  readonly delayMax: number
  /** `-n`: most headers in one message. */
  readonly recordsMax: number
}

export class Interceptor {
  readonly #ports: InterceptorPorts
  readonly #counters: InterceptCounters
  readonly #router: Router
  readonly #server: ChannelServer
  readonly #segment = new Segment()
  readonly #record = new Uint8Array(RECORD_LENGTH)
  #now = 0
  #housekeepingAt = 0
  readonly #takePacket = this.#onPacket.bind(this)
  readonly #isAlive = (peer: number): boolean => this.#server.isAlive(peer)

  constructor(ports: InterceptorPorts, options: InterceptorOptions, counters: InterceptCounters) {
    this.#ports = ports
    this.#counters = counters
    this.#server = new ChannelServer(ports.listener, options.recordsMax, counters, ports.log)
    this.#router = new Router(options.delayMax, counters, (peer, record, at) => this.#server.deliver(peer, record, at))
  }

  run(shouldStop: () => boolean): void {
    while (!shouldStop()) this.turn()
    this.stop()
  }

  /** One turn of the loop. Routes are taken before answers: those that came with them then find their way. */
  turn(): void {
    this.#ports.waiter.wait(IDLE_MS)
    this.#now = this.#ports.clock.now()
    this.#server.receive(this.#router, this.#now)
    for (const capture of this.#ports.captures) {
      const packets = capture.receive(this.#takePacket, BATCH)
      if (packets > 0) this.#counters.add(InterceptCounter.capturedPackets, packets)
    }
    this.#router.sweep(this.#now)
    if (this.#now >= this.#housekeepingAt) this.#keepHouse()
    this.#server.flush()
  }

  /** Closes the channel; the captures stay open. */
  stop(): void {
    this.#keepHouse()
    this.#server.close()
  }

  #keepHouse(): void {
    this.#housekeepingAt = this.#now + IDLE_MS
    let dropped = 0
    let passed = 0
    for (const capture of this.#ports.captures) {
      dropped += capture.dropped()
      passed += capture.passed?.() ?? 0
    }
    this.#counters.set(InterceptCounter.captureDropped, dropped)
    this.#counters.set(InterceptCounter.passedPackets, passed)
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number): void {
    const segment = this.#segment
    if (parseIpv4(bytes, at, captured, length, true, segment) !== Flaw.None) {
      this.#counters.add(InterceptCounter.flawedPackets, 1)
      return
    }
    putRecord(bytes, at, this.#record, 0)
    const { toAddress, toPort, fromAddress, fromPort, flags } = segment
    const peer = this.#router.find(toAddress, toPort, fromAddress, fromPort, this.#now, this.#isAlive)
    if (peer >= 0) {
      this.#server.deliver(peer, this.#record, 0)
      return
    }
    this.#counters.add(InterceptCounter.unroutedHeaders, 1)
    const mayBeEarly = (flags & (SYN | ACK)) === (SYN | ACK) || (flags & RST) !== 0
    if (mayBeEarly) this.#router.delay(this.#record, 0, toAddress, toPort, fromAddress, fromPort, this.#now)
  }
}
