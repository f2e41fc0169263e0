/**
 * A program of the lab: makes two TUN devices and forwards packets between them after a delay, in order.
 * relay.js MILLISECONDS NAME NAME
 *
 * It prints `ready` when the devices exist, and its counters as JSON at SIGTERM.
 */

import { mapMemory } from '../../src/io/linux/system/memory.ts'
import { POLLIN, Poller } from '../../src/io/linux/system/poller.ts'
import { Tun } from './tun.ts'

/** Bytes of a slot, enough for an MTU of 1500. */
const SLOT_LENGTH = 2048
/** Packets in flight in one direction: 1 Gbit/s at 100 ms. */
const SLOTS = 8192
const BATCH_MAX = 256
/** Signals are handled between waits. */
const WAIT_MAX_MS = 20

/** A queue of packets in one direction, which are due in order of arrival. */
class Direction {
  carried = 0
  /** Because the queue was full. */
  dropped = 0
  /** By the kernel: the device was down. */
  refused = 0
  /** The most that a packet was late. */
  latestMs = 0
  readonly #from: Tun
  readonly #to: Tun
  readonly #delayMs: number
  readonly #memory = mapMemory((SLOTS + 1) * SLOT_LENGTH)
  readonly #lengths = new Int32Array(SLOTS)
  readonly #dueMs = new Float64Array(SLOTS)
  #first = 0
  #count = 0

  constructor(from: Tun, to: Tun, delayMs: number) {
    this.#from = from
    this.#to = to
    this.#delayMs = delayMs
  }

  /** When the next packet is due; Infinity if there is none. */
  get dueMs(): number {
    return this.#count > 0 ? (this.#dueMs[this.#first] ?? 0) : Number.POSITIVE_INFINITY
  }

  take(): void {
    for (let left = BATCH_MAX; left > 0; left--) {
      const isFull = this.#count === SLOTS
      const slot = isFull ? SLOTS : (this.#first + this.#count) % SLOTS
      const length = this.#from.read(this.#memory.address + slot * SLOT_LENGTH, SLOT_LENGTH)
      if (length === 0) return
      if (isFull) this.dropped++
      else {
        this.#lengths[slot] = length
        this.#dueMs[slot] = performance.now() + this.#delayMs
        this.#count++
      }
    }
  }

  handOver(): void {
    for (let nowMs = performance.now(); this.dueMs <= nowMs; ) {
      this.latestMs = Math.max(this.latestMs, nowMs - this.dueMs)
      const slot = this.#first
      const isTaken = this.#to.write(this.#memory.address + slot * SLOT_LENGTH, this.#lengths[slot] ?? 0)
      if (isTaken) this.carried++
      else this.refused++
      this.#first = (slot + 1) % SLOTS
      this.#count--
    }
  }

  report(): object {
    const { carried, dropped, refused, latestMs } = this
    return { carried, dropped, refused, latestMs }
  }
}

const [, , delayMs, ...names] = process.argv
const [near, far] = names.map((name) => new Tun(name))
if (near === undefined || far === undefined) throw new Error('relay.js needs two device names.')
const directions = [new Direction(near, far, Number(delayMs)), new Direction(far, near, Number(delayMs))]
const poller = new Poller()
poller.add(near.descriptor, POLLIN)
poller.add(far.descriptor, POLLIN)

function turn(): void {
  const nextMs = Math.min(...directions.map(({ dueMs }) => dueMs)) - performance.now()
  poller.wait(Math.min(Math.max(0, nextMs), WAIT_MAX_MS))
  for (const direction of directions) {
    direction.take()
    direction.handOver()
  }
  setImmediate(turn)
}

const cpuAtStart = process.cpuUsage()
process.on('SIGTERM', () => {
  const { user, system } = process.cpuUsage(cpuAtStart)
  const cpuMs = (user + system) / 1000
  console.log(JSON.stringify({ cpuMs, directions: directions.map((direction) => direction.report()) }))
  process.exit(0)
})
console.log('ready')
turn()
