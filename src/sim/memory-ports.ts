/** The ports in memory: packets in arrays, streams that deliver after a delay, and a waiter that never blocks. */
import { createHmac } from 'node:crypto'
import type { Outbox } from '../core/outbox.ts'
import {
  type Capture,
  ChecksumState,
  type Cryptography,
  type Listener,
  type Network,
  type PacketSink,
  type Sender,
  type Stream,
  type Waiter
} from '../ports.ts'
import { formatEndpoint } from '../wire/address.ts'
import type { Scheduler } from './scheduler.ts'

export class MemoryCapture implements Capture {
  readonly waiting: Uint8Array[] = []

  receive(sink: PacketSink, packetsMax: number): number {
    const packets = this.waiting.splice(0, packetsMax)
    for (const packet of packets) sink(packet, 0, packet.length, packet.length, ChecksumState.Unknown)
    return packets.length
  }

  dropped(): number {
    return 0
  }

  close(): void {}
}

/** The bytes of a frame, headers and payload in one piece. */
export function frameBytes(outbox: Outbox, frame: number): Uint8Array {
  const { memory } = outbox
  const headerAt = outbox.headerAt[frame] ?? 0
  const payloadAt = outbox.payloadAt[frame] ?? 0
  const header = memory.subarray(headerAt, headerAt + (outbox.headerLength[frame] ?? 0))
  const payload = memory.subarray(payloadAt, payloadAt + (outbox.payloadLength[frame] ?? 0))
  const bytes = new Uint8Array(header.length + payload.length)
  bytes.set(header)
  bytes.set(payload, header.length)
  return bytes
}

export class MemorySender implements Sender {
  sentCount = 0
  readonly refused = new Map<number, number>()
  readonly #deliver: (packet: Uint8Array) => void
  readonly #isRefused: () => boolean

  /** @param isRefused asked for each frame: true makes it fail as with EPERM */
  constructor(deliver: (packet: Uint8Array) => void, isRefused: () => boolean) {
    this.#deliver = deliver
    this.#isRefused = isRefused
  }

  flush(outbox: Outbox): void {
    for (let frame = 0; frame < outbox.count; frame++) {
      if (this.#isRefused()) this.refused.set(1, (this.refused.get(1) ?? 0) + 1)
      else {
        this.sentCount += 1
        this.#deliver(frameBytes(outbox, frame))
      }
    }
    outbox.clear()
  }

  close(): void {}
}

/** Octets that follow from their number, and real codes over them. */
export function countingCryptography(): Cryptography {
  let count = 0
  return {
    random: (length) => new Uint8Array(length).fill(++count),
    hmac: (key, message) => new Uint8Array(createHmac('sha256', key).update(message).digest()),
    isEqual: (one, other) => Buffer.from(one).equals(other)
  }
}

/** Never blocks: it notes how long the daemon would have slept. */
export class NotingWaiter implements Waiter {
  timeoutMs = 0

  wait(timeoutMs: number): void {
    this.timeoutMs = timeoutMs
  }
}

const INPUT_LENGTH = 16384

class MemoryStream implements Stream {
  readonly peer: string
  readonly failure = ''
  readonly input = new Uint8Array(INPUT_LENGTH)
  inputLength = 0
  open = true
  other: MemoryStream | undefined
  readonly #scheduler: Scheduler
  readonly #delayMs: number
  readonly #wake: () => void
  #arrived: number[] = []
  #hasEnded = false

  constructor(peer: string, scheduler: Scheduler, delayMs: number, wake: () => void) {
    this.peer = peer
    this.#scheduler = scheduler
    this.#delayMs = delayMs
    this.#wake = wake
  }

  read(): number {
    const taken = this.#arrived.splice(0, INPUT_LENGTH - this.inputLength)
    this.input.set(taken, this.inputLength)
    this.inputLength += taken.length
    return taken.length === 0 && this.#hasEnded ? -1 : taken.length
  }

  write(bytes: Uint8Array, at: number, length: number): number {
    if (this.#hasEnded) return -1
    const octets = bytes.slice(at, at + length)
    const { other } = this
    this.#scheduler.after(this.#delayMs, () => other?.arrive(octets))
    return length
  }

  arrive(octets: Uint8Array): void {
    for (const octet of octets) this.#arrived.push(octet)
    this.#wake()
  }

  end(): void {
    this.#hasEnded = true
    this.#wake()
  }

  awaitWritable(): void {}

  close(): void {
    this.open = false
    this.#hasEnded = true
    const { other } = this
    this.#scheduler.after(this.#delayMs, () => other?.end())
  }
}

/** One listener and everybody who connects to it. */
export class MemoryNetwork implements Network, Listener {
  readonly #scheduler: Scheduler
  readonly #delayMs: number
  readonly #wakeClient: () => void
  readonly #wakeServer: () => void
  readonly #accepted: MemoryStream[] = []
  readonly #live: MemoryStream[] = []

  constructor(scheduler: Scheduler, delayMs: number, wakeClient: () => void, wakeServer: () => void) {
    this.#scheduler = scheduler
    this.#delayMs = delayMs
    this.#wakeClient = wakeClient
    this.#wakeServer = wakeServer
  }

  connect(address: number, port: number): Stream {
    const near = new MemoryStream(formatEndpoint(address, port), this.#scheduler, this.#delayMs, this.#wakeClient)
    const far = new MemoryStream('copier', this.#scheduler, this.#delayMs, this.#wakeServer)
    near.other = far
    far.other = near
    this.#accepted.push(far)
    this.#live.push(near)
    this.#scheduler.after(this.#delayMs, this.#wakeServer)
    this.#scheduler.after(this.#delayMs, this.#wakeClient)
    return near
  }

  accept(): Stream | undefined {
    return this.#accepted.shift()
  }

  /** Cuts all connections, as a firewall that restarts. */
  cut(): void {
    for (const stream of this.#live.splice(0)) {
      stream.end()
      stream.other?.end()
    }
  }

  close(): void {}
}

/** A daemon that is run whenever something came for it, and when it wanted to wake up. */
export class Runner {
  readonly #scheduler: Scheduler
  readonly #waiter: NotingWaiter
  readonly #turn: () => void
  #isPoked = false
  #generation = 0

  /** @param turn one turn of the daemon; it has to take all that waits in two */
  constructor(scheduler: Scheduler, waiter: NotingWaiter, turn: () => void) {
    this.#scheduler = scheduler
    this.#waiter = waiter
    this.#turn = turn
  }

  poke(): void {
    if (this.#isPoked) return
    this.#isPoked = true
    this.#scheduler.after(0, () => this.#run())
  }

  #run(): void {
    this.#isPoked = false
    this.#turn()
    this.#turn() // finds nothing new, but says how long it would sleep
    const generation = ++this.#generation
    // poll() takes whole milliseconds: it sleeps a little too long, never too short.
    this.#scheduler.after(Math.ceil(this.#waiter.timeoutMs), () => {
      if (generation === this.#generation) this.poke()
    })
  }
}
