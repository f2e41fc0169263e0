/**
 * When sessions have to be stepped: their deadlines in a wheel. A deadline that moves later is found out when the wheel
 * fires; one that moves earlier is armed anew. A session that has long had nothing to do is laid down.
 */

import { TimerWheel } from '../memory/timer-wheel.ts'
import type { Session } from '../session/session.ts'
import { State } from '../session/session-context.ts'
import type { SessionSlots } from './session-slots.ts'

export class Deadlines {
  readonly #slots: SessionSlots
  readonly #keepAliveMs: number
  readonly #wheel: TimerWheel
  #now = 0
  readonly #fire: (entry: number) => void

  /** @param keepAliveMs when a session at rest has to be looked at, from its last progress on */
  constructor(slots: SessionSlots, keepAliveMs: number, now: number) {
    this.#slots = slots
    this.#keepAliveMs = keepAliveMs
    this.#wheel = new TimerWheel(now)
    this.#fire = (entry) => this.#onDue(entry)
  }

  /** The instant by which `advance` has to be called. */
  get deadline(): number {
    return this.#wheel.next()
  }

  /** To be called when a session's deadline may have moved. */
  schedule(session: Session): void {
    if (session.state === State.Closed || session.deadline >= session.armedAt) return
    session.armedAt = session.deadline
    this.#wheel.arm(session.id, session.deadline)
  }

  forget(session: Session): void {
    this.#wheel.disarm(session.id)
  }

  /** Steps every session that is due. */
  advance(now: number): void {
    this.#now = now
    this.#wheel.advance(now, this.#fire)
  }

  #onDue(slot: number): void {
    const session = this.#slots.at(slot, this.#now)
    if (session === undefined) return
    session.armedAt = Number.POSITIVE_INFINITY
    if (session.deadline <= this.#now) session.onTimer(this.#now)
    if (session.state === State.Closed || session.hibernateAt > this.#now) {
      this.schedule(session)
      return
    }
    this.#slots.rest(session)
    this.#wheel.arm(slot, session.progressAt + this.#keepAliveMs)
  }
}
