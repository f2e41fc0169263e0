/**
 * The deadlines of all sessions, in a timer wheel. A deadline that moves later is noticed only when the wheel fires;
 * one that moves earlier is armed again. An idle session hibernates when the wheel fires for it.
 */
import { TimerWheel } from '../memory/timer-wheel.ts'
import type { Session } from '../session/session.ts'
import type { SessionSlots } from './session-slots.ts'

const NEVER = Number.POSITIVE_INFINITY

export class Deadlines {
  readonly #slots: SessionSlots
  readonly #keepAliveMs: number
  readonly #wheel: TimerWheel

  /** @param keepAliveMs time from a hibernated session's last progress until it must be woken to end (`-k`) */
  constructor(slots: SessionSlots, keepAliveMs: number, now: number) {
    this.#slots = slots
    this.#keepAliveMs = keepAliveMs
    this.#wheel = new TimerWheel(now)
  }

  /** When `advance` must be called at the latest. */
  get next(): number {
    return this.#wheel.next()
  }

  /** To be called when a session's deadline may have moved earlier. */
  schedule(session: Session): void {
    if (session.deadline >= session.armedAt) return
    session.armedAt = session.deadline
    this.#wheel.arm(session.id, session.deadline)
  }

  forget(session: Session): void {
    session.armedAt = NEVER
    this.#wheel.disarm(session.id)
  }

  /** Passes every slot whose time has come to `take`. */
  advance(now: number, take: (slot: number) => void): void {
    this.#wheel.advance(now, take)
  }

  /**
   * Hibernates a session if its time has come; otherwise arms its deadline. To be called after the wheel fired for it.
   */
  hibernateOrSchedule(session: Session, now: number): void {
    if (session.hibernateAt > now) {
      this.schedule(session)
      return
    }
    this.#slots.hibernate(session)
    this.#wheel.arm(session.id, session.progressAt + this.#keepAliveMs)
  }
}
