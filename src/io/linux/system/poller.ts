/** Waits for several descriptors at once, with ppoll(2). */
import type { Millis, PausingWaiter } from '../../../ports.ts'
import { int32At } from '../../../wire/bytes.ts'
import { close, ppoll, read } from './libc.ts'
import { allocate, type Block } from './memory.ts'
import { openWake } from './wake.ts'

/** poll(2): readable. Errors and hang-ups are always reported. */
export const POLLIN = 0x001
/** poll(2): writable. */
export const POLLOUT = 0x004

const POLLFD_LENGTH = 8
const CAPACITY_INITIAL = 64
const ABSENT = -1

/**
 * Blocks the thread until a descriptor is ready, a time is reached, or another thread wakes it. ppoll(2).
 *
 * The set is an array of pollfd, which changes only when a descriptor is added or removed, in constant time.
 */
export class Poller implements PausingWaiter {
  /** The descriptor for `wake`, from any thread. */
  readonly wakeDescriptor: number
  #set: Block = allocate(CAPACITY_INITIAL * POLLFD_LENGTH)
  /** Index of each descriptor in the set. */
  #slotOf = new Int32Array(CAPACITY_INITIAL).fill(ABSENT)
  #count = 0
  #readyCount = 0
  readonly #timeout: Block = allocate(16)
  readonly #counter: Block = allocate(8)
  readonly #isWakeOwn: boolean

  /** @param wakeDescriptor of `openWake`, owned by the caller; by default the poller opens one */
  constructor(wakeDescriptor?: number) {
    this.wakeDescriptor = wakeDescriptor ?? openWake()
    this.#isWakeOwn = wakeDescriptor === undefined
    this.add(this.wakeDescriptor, POLLIN)
  }

  /** Starts to watch `fd` for `events`: POLLIN, POLLOUT, both or 0. */
  add(fd: number, events: number): void {
    if (this.#count * POLLFD_LENGTH === this.#set.bytes.length) this.#growSet()
    if (fd >= this.#slotOf.length) this.#growSlots(fd)
    const slot = this.#count++
    this.#slotOf[fd] = slot
    this.#set.words[2 * slot] = fd
    this.#set.words[2 * slot + 1] = events
  }

  /** Changes the events of `fd`. */
  setEvents(fd: number, events: number): void {
    const slot = this.#slot(fd)
    if (slot === ABSENT) return
    this.#set.words[2 * slot + 1] = (int32At(this.#set.words, 2 * slot + 1) & ~0xffff) | events
  }

  /** Stops watching `fd`, if it is watched. Call it before `fd` is closed. */
  remove(fd: number): void {
    const slot = this.#slot(fd)
    if (slot === ABSENT) return
    const words = this.#set.words
    const last = --this.#count
    const lastFd = int32At(words, 2 * last)
    words[2 * slot] = lastFd
    words[2 * slot + 1] = int32At(words, 2 * last + 1)
    this.#slotOf[lastFd] = slot
    this.#slotOf[fd] = ABSENT
  }

  /** @inheritDoc A signal ends the wait early. */
  wait(timeoutMs: Millis): void {
    // A failed call leaves the previous results in place; `#readyCount` invalidates them.
    this.#readyCount = ppoll(this.#set.address, this.#count, this.#timespec(timeoutMs), 0)
    if (this.wasReady(this.wakeDescriptor)) read(this.wakeDescriptor, this.#counter.address, 8)
  }

  /** @inheritDoc A signal ends it early. */
  pause(ms: Millis): void {
    ppoll(0, 0, this.#timespec(ms), 0)
  }

  /** Whether `fd` was ready or had an error when `wait` last returned. */
  wasReady(fd: number): boolean {
    const slot = this.#readyCount > 0 ? this.#slot(fd) : ABSENT
    return slot !== ABSENT && int32At(this.#set.words, 2 * slot + 1) >>> 16 !== 0
  }

  /** Closes the wake descriptor if the poller opened it, but none that it watches. */
  close(): void {
    if (this.#slot(this.wakeDescriptor) === ABSENT) return
    this.remove(this.wakeDescriptor)
    if (this.#isWakeOwn) close(this.wakeDescriptor)
  }

  #slot(fd: number): number {
    return fd >= 0 && fd < this.#slotOf.length ? int32At(this.#slotOf, fd) : ABSENT
  }

  /** @returns the address of a timespec, rounded up to nanoseconds; 0 to wait without a limit */
  #timespec(timeoutMs: Millis): number {
    if (timeoutMs === Infinity) return 0
    const ms = Math.min(Math.max(timeoutMs, 0), 0x7fffffff)
    const seconds = Math.floor(ms / 1000)
    this.#timeout.words[0] = seconds
    this.#timeout.words[2] = Math.min(Math.ceil((ms - seconds * 1000) * 1e6), 999_999_999)
    return this.#timeout.address
  }

  #growSet(): void {
    const larger = allocate(this.#set.bytes.length * 2)
    larger.bytes.set(this.#set.bytes)
    this.#set = larger
  }

  #growSlots(fd: number): void {
    const larger = new Int32Array(Math.max(this.#slotOf.length * 2, fd + 1)).fill(ABSENT)
    larger.set(this.#slotOf)
    this.#slotOf = larger
  }
}
