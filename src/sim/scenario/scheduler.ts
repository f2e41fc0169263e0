/**
 * The scheduler is a fake clock with its events, in a binary heap. Events at the same instant run in the order of `at`.
 */
import type { Clock } from '../../ports.ts'

interface Event {
  readonly at: number
  readonly serial: number
  readonly run: () => void
}

export class Scheduler implements Clock {
  #now: number
  #serial = 0
  readonly #heap: Event[] = []

  constructor(now: number) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  /** Schedules an event. A past instant means as soon as possible. */
  at(instant: number, run: () => void): void {
    const event = { at: Math.max(instant, this.#now), serial: this.#serial++, run }
    let index = this.#heap.length
    this.#heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.#isBefore(index, parent)) break
      this.#swap(index, parent)
      index = parent
    }
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.#now + delayMs, run)
  }

  /** Moves the clock to the next event and runs it. @returns false if there is none */
  step(): boolean {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (first === undefined || last === undefined) return false
    if (this.#heap.length > 0) {
      this.#heap[0] = last
      this.#sink()
    }
    this.#now = first.at
    first.run()
    return true
  }

  #sink(): void {
    let index = 0
    for (;;) {
      let least = index
      for (const child of [index * 2 + 1, index * 2 + 2]) {
        if (child < this.#heap.length && this.#isBefore(child, least)) least = child
      }
      if (least === index) return
      this.#swap(index, least)
      index = least
    }
  }

  #isBefore(a: number, b: number): boolean {
    const first = this.#heap[a]
    const second = this.#heap[b]
    if (first === undefined || second === undefined) return false
    return first.at < second.at || (first.at === second.at && first.serial < second.serial)
  }

  #swap(a: number, b: number): void {
    const first = this.#heap[a]
    const second = this.#heap[b]
    if (first === undefined || second === undefined) return
    this.#heap[a] = second
    this.#heap[b] = first
  }
}
