/**
 * When sessions have to be stepped: their deadlines in a wheel. A deadline that moves later is found out when the wheel
 * fires; one that moves earlier is armed anew.
 */
import type { Session } from './session.ts'
import { State } from './session-context.ts'
import { TimerWheel } from './timer-wheel.ts'

export class Agenda {
  readonly #sessions: readonly (Session | undefined)[]
  readonly #wheel: TimerWheel
  #now = 0
  readonly #fire: (entry: number) => void

  /** @param sessions by slot; they change */
  constructor(sessions: readonly (Session | undefined)[], now: number) {
    this.#sessions = sessions
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
    const session = this.#sessions[slot]
    if (session === undefined) return
    session.armedAt = Number.POSITIVE_INFINITY
    if (session.deadline <= this.#now) session.onTimer(this.#now)
    this.schedule(session)
  }
}
