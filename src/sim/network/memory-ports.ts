/** The other ports in memory: a capture from an array, a sender to a function, and a waiter that never blocks. */
import { createHmac } from 'node:crypto'
import type { Outbox } from '../../core/packets/outbox.ts'
import {
  type Capture,
  ChecksumState,
  type Cryptography,
  type PacketSender,
  type PacketSink,
  type PausingWaiter
} from '../../ports.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import { packetsOf } from './segmentation.ts'

export class MemoryCapture implements Capture {
  readonly waiting: Uint8Array[] = []
  /** Packets that the kernel reports as lost. */
  lostCount = 0

  receive(sink: PacketSink, packetsMax: number): number {
    const packets = this.waiting.splice(0, packetsMax)
    for (const packet of packets) sink(packet, 0, packet.length, packet.length, ChecksumState.Unknown)
    return packets.length
  }

  dropped(): number {
    return this.lostCount
  }

  close(): void {}
}

export class MemorySender implements PacketSender {
  sentCount = 0
  readonly refused = new Map<number, number>()
  readonly #deliver: (packet: Uint8Array) => void
  readonly #isRefused: () => boolean

  /** @param isRefused called for each packet; true makes it fail with EPERM */
  constructor(deliver: (packet: Uint8Array) => void, isRefused: () => boolean) {
    this.#deliver = deliver
    this.#isRefused = isRefused
  }

  canSegment(): boolean {
    return true
  }

  mtu(): number {
    return 0
  }

  refresh(): void {}

  flush(outbox: Outbox): void {
    for (let frame = 0; frame < outbox.count; frame++) {
      let refused = 0
      for (const packet of packetsOf(outbox, frame)) {
        if (this.#isRefused()) refused += 1
        else {
          this.sentCount += 1
          this.#deliver(packet)
        }
      }
      if (refused === 0) continue
      this.refused.set(1, (this.refused.get(1) ?? 0) + refused)
      outbox.refuse(frame)
    }
    outbox.clear()
  }

  close(): void {}
}

/** Predictable random bytes, and a real HMAC. */
export function countingCryptography(): Cryptography {
  let count = 0
  return {
    random: (length) => new Uint8Array(length).fill(++count),
    hmac: (key, message) => new Uint8Array(createHmac('sha256', key).update(message).digest()),
    isEqual: (one, other) => Buffer.from(one).equals(other)
  }
}
/** Shortest time that a turn takes. */
const TURN_MS = 0.01

/** A waiter that never blocks, but records how long the daemon would have slept. */
export class NotingWaiter implements PausingWaiter {
  timeoutMs = 0
  #isPaused = false

  /** After a pause, the daemon only polls, so the recorded time stays that of the wait before. */
  wait(timeoutMs: number): void {
    if (!this.#isPaused) this.timeoutMs = timeoutMs
    this.#isPaused = false
  }

  pause(): void {
    this.#isPaused = true
  }
}

/** Runs a daemon whenever something has arrived for it, and when it wanted to wake up. */
export class Runner {
  readonly #scheduler: Scheduler
  readonly #waiter: NotingWaiter
  readonly #turn: () => void
  readonly #hasInput: () => boolean
  #isPoked = false
  #generation = 0
  #pauses = 0

  /**
   * @param turn runs one turn of the daemon; @param hasInput whether something waits for it, so that it does not sleep
   */
  constructor(scheduler: Scheduler, waiter: NotingWaiter, turn: () => void, hasInput: () => boolean) {
    this.#scheduler = scheduler
    this.#waiter = waiter
    this.#turn = turn
    this.#hasInput = hasInput
  }

  poke(): void {
    if (this.#isPoked) return
    this.#isPoked = true
    this.#scheduler.after(0, () => this.#run())
  }

  /** Stops the daemon for a time. */
  pause(forMs: number): void {
    this.#pauses += 1
    this.#scheduler.after(forMs, () => {
      this.#pauses -= 1
      this.poke()
    })
  }

  #run(): void {
    this.#isPoked = false
    if (this.#pauses > 0) return
    this.#turn()
    this.#turn() // finds nothing new, but records how long the daemon would sleep
    const generation = ++this.#generation
    // poll() takes whole milliseconds, so it sleeps a little too long, but never too short.
    this.#scheduler.after(this.#hasInput() ? TURN_MS : Math.ceil(this.#waiter.timeoutMs), () => {
      if (generation === this.#generation) this.poke()
    })
  }
}
