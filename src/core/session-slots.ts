/** The sessions of one worker by slot: awake, or at rest. A slot of an ended session is used again. */
import { Resting } from './rest.ts'
import type { Session } from './session.ts'
import { type SessionContext, State } from './session-context.ts'

/** As whom a session speaks, and to whom. */
export interface Speaker {
  readonly id: number
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
}

export class SessionSlots {
  /** By slot; those at rest are not in it. */
  readonly awake: (Session | undefined)[] = []
  readonly #resting: (Resting | undefined)[] = []
  readonly #free: number[] = []
  readonly #context: SessionContext

  constructor(context: SessionContext) {
    this.#context = context
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.awake.length - this.#free.length
  }

  /** The slot that a new session gets. It is taken with `set`. */
  take(): number {
    return this.#free.pop() ?? this.awake.length
  }

  set(session: Session): void {
    this.awake[session.id] = session
    if (session.id === this.#resting.length) this.#resting.push(undefined)
  }

  free(slot: number): void {
    this.awake[slot] = undefined
    this.#free.push(slot)
  }

  /** The session in a slot, which is woken if it rests; −1: none. */
  at(slot: number, now: number): Session | undefined {
    if (slot < 0) return undefined
    const session = this.awake[slot]
    return session === undefined && this.#resting[slot] !== undefined ? this.#wake(slot, now) : session
  }

  /** Lays a session down whose `restAt` has come. */
  rest(session: Session): void {
    this.#resting[session.id] = new Resting(session)
    this.awake[session.id] = undefined
  }

  #wake(slot: number, now: number): Session | undefined {
    const session = this.#resting[slot]?.wake(slot, this.#context, now)
    if (session === undefined) return undefined
    this.#resting[slot] = undefined
    this.awake[slot] = session
    return session
  }

  /** Ends all; first those go that would begin when another ends. */
  endAll(end: (session: Session) => void, now: number): void {
    for (const session of this.awake) if (session?.state === State.Waiting) end(session)
    for (let slot = 0; slot < this.awake.length; slot++) {
      const session = this.at(slot, now)
      if (session !== undefined) end(session)
    }
  }

  /** The first session from a slot on whose SYN is out; at rest it stays so. */
  startedFrom(slot: number): Speaker | undefined {
    for (let index = slot; index < this.awake.length; index++) {
      const session = this.awake[index]
      if (session !== undefined && session.state !== State.Waiting) return session
      const origin = this.#resting[index]?.origin
      if (origin !== undefined) return { ...origin, id: index }
    }
    return undefined
  }
}
