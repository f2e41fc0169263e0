/**
 * When sessions have to be stepped: their deadlines in a wheel. A deadline that moves later is found out when the wheel
 * fires; one that moves earlier is armed anew. A session that has long had nothing to do hibernates.
 */
import { TimerWheel } from '../memory/timer-wheel.ts'
import type { Session } from '../session/session.ts'
import type { SessionSlots } from './session-slots.ts'

const NEVER = Number.POSITIVE_INFINITY

export class Deadlines {
  readonly #slots: SessionSlots
  readonly #keepAliveMs: number
  readonly #wheel: TimerWheel

  /** @param keepAliveMs when a hibernated session has to be looked at, from its last progress on */
  constructor(slots: SessionSlots, keepAliveMs: number, now: number) {
    this.#slots = slots
    this.#keepAliveMs = keepAliveMs
    this.#wheel = new TimerWheel(now)
  }

  /** The instant by which `advance` has to be called. */
  get next(): number {
    return this.#wheel.next()
  }

  /** To be called when a session's deadline may have moved. */
  schedule(session: Session): void {
    if (session.deadline >= session.armedAt) return
    session.armedAt = session.deadline
    this.#wheel.arm(session.id, session.deadline)
  }

  forget(session: Session): void {
    session.armedAt = NEVER
    this.#wheel.disarm(session.id)
  }

  /** Gives every slot whose time has come to `take`. */
  advance(now: number, take: (slot: number) => void): void {
    this.#wheel.advance(now, take)
  }

  /** Lets a session hibernate, if it may; else its deadline is armed. To be called when the wheel has fired for it. */
  rest(session: Session, now: number): void {
    if (session.hibernateAt > now) {
      this.schedule(session)
      return
    }
    this.#slots.hibernate(session)
    this.#wheel.arm(session.id, session.progressAt + this.#keepAliveMs)
  }
}
